//! `rag-api ingest`: a folder of documents into the index.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::FAILED;
use crate::{
    app,
    config::Config,
    ingest::{FileReport, IngestError, Ingestion, Plan, Progress, Report, Shard},
    retrieval::IndexWriter,
    telemetry,
};

/// Index documents: PDF, Markdown and text
///
/// Unchanged files cost nothing, changed files replace their old passages. A file is named in the index by its
/// path below the folder that was given. Ctrl-C keeps what is complete; run again to continue. Exits with 1 when
/// a file could not be read; the others are indexed all the same.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rag-api ingest                        index data/\n  rag-api ingest docs/ --prune          \
                        and drop what is not in docs/ any more\n  rag-api ingest a.pdf b.md --report r.json\n  rag-api ingest docs/ --shard 1/2      \
                        one half; another job takes --shard 2/2"
)]
pub(super) struct Ingest {
    /// Folders or files
    #[arg(default_value = "data")]
    paths: Vec<PathBuf>,
    /// Also drop from the index every document that was not found under PATHS; name all your folders at once
    #[arg(long)]
    prune: bool,
    /// Index only this part of the files, so that N jobs share the work: 1/4, 2/4, 3/4, 4/4
    #[arg(long, value_name = "I/N", default_value = "1/1", hide_default_value = true)]
    shard: Shard,
    /// Write what became of each file as JSON
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Wait at most this long for another process that is writing to the index
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Ingest {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let wait = Duration::from_secs(self.wait);
        let metrics = app::metrics(config)?;
        let _push = telemetry::push(&config.telemetry, &config.service, &metrics);
        let writer = app::writer(&config.search, wait, &metrics).await?;
        let embedder = tokio::task::block_in_place(|| app::embedder(&config.embedding))?;
        let ingestion = app::ingestion(config, embedder)?;
        let plan = Plan { paths: &self.paths, prune: self.prune, shard: self.shard };
        let report = watched(&ingestion, plan, writer).await?;
        metrics.count_ingestion(&report.counts());
        if let Some(path) = &self.report {
            let json = serde_json::to_string_pretty(&report)?;
            std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(if report.failed() > 0 || report.interrupted { FAILED } else { ExitCode::SUCCESS })
    }
}

/// Runs an ingestion as people want to see it: progress, a way to stop it, a summary.
pub(super) async fn watched(ingestion: &Ingestion, plan: Plan<'_>, writer: IndexWriter) -> Result<Report> {
    let mut display = Display::new();
    let report = ingestion.run(plan, writer, interrupted(), |event| display.show(&event)).await;
    display.finish();
    let report = match report {
        Err(error @ (IngestError::Path(_) | IngestError::NothingToKeep)) => return Err(error.into()),
        other => {
            other.context("the ingestion stopped; what was complete is kept, run it again to continue")?
        }
    };
    if report.files.is_empty() {
        eprintln!("there is no PDF, Markdown or text file under the given paths");
    }
    eprintln!("{}", summary(&report));
    Ok(report)
}

/// Resolves at the first Ctrl-C or SIGTERM; the second Ctrl-C ends the process at once.
async fn interrupted() {
    crate::http::shutdown_signal().await;
    eprintln!("\nfinishing what is complete; press Ctrl-C again to stop at once");
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            // The last commit stands; nothing half-written can be read.
            std::process::exit(130);
        }
    });
}

fn summary(report: &Report) -> String {
    let done = report.files.len() - report.failed();
    let mut text = format!(
        "{done} of {} files indexed ({} unchanged), {} new chunks, {:.1} s",
        report.files.len(),
        report.unchanged(),
        report.chunks,
        report.seconds
    );
    if report.seconds > 0.0 && report.chunks > 0 {
        text.push_str(&format!(", {:.0} chunks/s", report.chunks as f64 / report.seconds));
    }
    if !report.removed.is_empty() {
        text.push_str(&format!(", {} sources removed", report.removed.len()));
    }
    if report.interrupted {
        text.push_str("; interrupted, run again to continue");
    }
    text
}

/// A bar on a terminal, one JSON line a file elsewhere.
struct Display {
    bar: Option<ProgressBar>,
    chunks: u64,
}

impl Display {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{bar:30} {pos}/{len} files  {msg}  {elapsed} gone, {eta} left";
            let bar = ProgressBar::new(0);
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, chunks: 0 }
    }

    fn show(&mut self, event: &Progress<'_>) {
        match (&self.bar, event) {
            (Some(bar), Progress::Found { files }) => bar.set_length(*files as u64),
            (Some(bar), Progress::File(file)) => {
                bar.inc(1);
                if !file.unchanged {
                    self.chunks += u64::from(file.chunks);
                }
                bar.set_message(format!(
                    "{:.0} chunks/s",
                    self.chunks as f64 / bar.elapsed().as_secs_f64().max(0.1)
                ));
                for line in remarks(file) {
                    bar.println(line);
                }
            }
            (None, Progress::File(file)) => {
                if let Ok(line) = serde_json::to_string(file) {
                    // Whoever reads this may go away; the ingestion goes on.
                    let _ = writeln!(std::io::stdout(), "{line}");
                }
            }
            (None, Progress::Found { .. }) => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn remarks(file: &FileReport) -> Vec<String> {
    let error = file.error.iter().map(|error| format!("{}: {error}", file.source));
    let warnings = file.warnings.iter().map(|warning| format!("{}: {warning}", file.source));
    if file.unchanged { Vec::new() } else { error.chain(warnings).collect() }
}
