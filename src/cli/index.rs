//! `rag-api index`: create, look at, empty or remove the index.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    app,
    config::{Config, SearchBackend},
    retrieval::local,
};

/// Create, inspect, empty or remove the index
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  rag-api index status\n  rag-api index clear\n  INDEX_DIR=/var/lib/rag rag-api index create"
)]
pub(super) enum Index {
    /// Make an empty index; does nothing where there is one
    Create,
    /// Say where the index is and what it holds; exits with 1 when it cannot be searched
    Status(Status),
    /// Remove every passage, keep the index
    Clear,
    /// Remove the index from disk
    Delete,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Index {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let SearchBackend::Local { dir } = &config.search else {
            anyhow::bail!("Azure AI Search is not plugged in here yet; set SEARCH_BACKEND=local");
        };
        match self {
            Self::Create => {
                app::writer(&config.search, Duration::ZERO)?.finish()?;
                say!("the index is in {}", dir.display());
            }
            Self::Status(Status { json }) => {
                let index = app::index(&config.search)?;
                let problem = index.problem().map(|problem| problem.to_string());
                if json {
                    let status = serde_json::json!({
                        "backend": "local", "directory": dir, "chunks": index.chunk_count(),
                        "version": index.version(), "problem": problem,
                    });
                    say!("{status}");
                } else {
                    say!(
                        "local index in {}: {} chunks, version {}",
                        dir.display(),
                        index.chunk_count(),
                        index.version()
                    );
                }
                if let Some(problem) = problem {
                    anyhow::bail!(problem);
                }
            }
            Self::Clear => {
                let mut writer = app::writer(&config.search, Duration::ZERO)?;
                writer.clear()?;
                writer.finish()?;
                say!("the index in {} is empty", dir.display());
            }
            Self::Delete => {
                let there = local::delete(dir)?;
                say!(
                    "{} {}",
                    if there { "removed the index in" } else { "there is no index in" },
                    dir.display()
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
