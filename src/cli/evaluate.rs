//! `rag-api evaluate`: retrieval quality on a test collection.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;

use super::FAILED;
use crate::{
    app,
    config::Config,
    domain::SearchMode,
    evaluation::{Abstention, Dataset, Questions, Report, Runner},
};

/// Measure retrieval on a test collection
///
/// DIR holds corpus.jsonl ({_id, title, text}) or a folder corpus/ of files, queries.jsonl ({_id, text})
/// and qrels.tsv (query-id, corpus-id, score). The collection is indexed by the real pipeline into a
/// temporary folder; the index in INDEX_DIR is not touched.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rag-api evaluate tests/golden\n  rag-api evaluate tests/golden --min-ndcg10 0.8 --report quality.json\n  \
                        rag-api evaluate tests/golden --foreign tests/abstention --held-out\n  \
                        rag-api evaluate collection/ --run first      writes first.keyword, first.vector and first.hybrid"
)]
pub(super) struct Evaluate {
    /// Folder of the collection
    #[arg(value_name = "DIR")]
    dataset: PathBuf,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Write the ranked documents of each mode in TREC format, at FILE.MODE
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
    /// Exit with 1 when hybrid nDCG@10 is lower
    #[arg(long, value_name = "X")]
    min_ndcg10: Option<f64>,
    /// Also print, for each MIN_EVIDENCE_COSINE, which share of the questions would be answered: of DIR's own, and
    /// of those in this folder's queries.jsonl, which DIR cannot answer; may be given several times
    #[arg(long, value_name = "DIR")]
    foreign: Vec<PathBuf>,
    /// The same for DIR's own questions, asked as if the documents that answer them were not there
    #[arg(long)]
    held_out: bool,
}

impl Evaluate {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let dataset = Dataset::load(&self.dataset)?;
        let foreign = self.foreign.iter().map(|dir| Questions::load(dir)).collect::<Result<Vec<_>, _>>()?;
        let embedder = tokio::task::block_in_place(|| app::embedder(&config.embedding))?;
        let ingestion = app::ingestion(config, embedder.clone())?;
        let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let runner = Runner::prepare(
            dataset,
            dir.path(),
            &ingestion,
            embedder,
            app::fingerprint(),
            config.retrieval.vector_weight,
            |done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            },
        )
        .await?;
        bar.finish_and_clear();
        let mut report = runner.run(self.run.as_deref()).await?;
        print(&report);
        if self.held_out || !foreign.is_empty() {
            let abstention = runner.abstention(&foreign, self.held_out).await?;
            print_curve(&abstention);
            report.abstention = Some(abstention);
        }
        if let Some(path) = &self.report {
            write(path, &report)?;
        }
        let hybrid = report.modes.get(SearchMode::Hybrid.as_str()).map_or(0.0, |mode| mode.measures.ndcg_10);
        match self.min_ndcg10 {
            Some(least) if hybrid < least => {
                eprintln!("hybrid nDCG@10 is {hybrid:.4}, below {least}");
                Ok(FAILED)
            }
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

fn write(path: &Path, report: &Report) -> Result<()> {
    if path.as_os_str().is_empty() {
        bail!("--report wants a file name");
    }
    std::fs::write(path, serde_json::to_string_pretty(report)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn print(report: &Report) {
    say!(
        "{}: {} documents, {} chunks, {} queries, indexed in {:.1} s",
        report.dataset,
        report.documents,
        report.chunks,
        report.queries,
        report.index_seconds
    );
    say!("mode      nDCG@10  Recall@10  Recall@100  MRR@10   p50 ms   p99 ms");
    for mode in SearchMode::ALL {
        let Some(figures) = report.modes.get(mode.as_str()) else { continue };
        let measures = figures.measures;
        say!(
            "{:<8}  {:.4}   {:.4}     {:.4}      {:.4}   {:>6.2}   {:>6.2}",
            mode.as_str(),
            measures.ndcg_10,
            measures.recall_10,
            measures.recall_100,
            measures.mrr_10,
            figures.latency_ms.p50,
            figures.latency_ms.p99
        );
    }
}

fn print_curve(abstention: &Abstention) {
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.1}%", share * 100.0));
    say!("MIN_EVIDENCE_COSINE  own answered  foreign answered  held out answered");
    for point in &abstention.curve {
        say!(
            "{:>19.2}  {:>12}  {:>16}  {:>17}",
            point.threshold,
            percent(point.own),
            percent(point.foreign),
            percent(point.held_out)
        );
    }
}
