//! `rag-api index`: create, look at, empty, remove or renew the index.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::rebuild::{Rebuild, Switch};
use crate::{
    app,
    config::{AzureConfig, Config, SearchBackend},
    retrieval::{RetrievalError, azure::IndexStatus, local},
    telemetry::Metrics,
};

/// Create, inspect, empty, remove or renew the index
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  rag-api index status\n  rag-api index clear\n  INDEX_DIR=/var/lib/rag rag-api index create\n\n\
                  With AZURE_SEARCH_ENDPOINT set, the index of that service:\n  rag-api index create\n  \
                  rag-api index rebuild docs/ --evaluate collection/ --min-ndcg10 0.8"
)]
pub(super) enum Index {
    /// Make an empty index; does nothing where there is one that fits
    Create,
    /// Say where the index is and what it holds; exits with 1 when it cannot be searched
    Status(Status),
    /// Remove every passage, keep the index
    Clear,
    /// Remove the index
    Delete(Delete),
    Rebuild(Rebuild),
    Switch(Switch),
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Another index of the search service, such as the one a rebuild kept
    #[arg(long, value_name = "INDEX")]
    name: Option<String>,
}

impl Index {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let metrics = app::metrics(config)?;
        match (self, &config.search) {
            (Self::Rebuild(command), SearchBackend::Azure(azure)) => {
                command.run(config, azure, &metrics).await
            }
            (Self::Switch(command), SearchBackend::Azure(azure)) => command.run(azure, &metrics).await,
            (Self::Rebuild(_) | Self::Switch(_), SearchBackend::Local { .. }) => bail!(
                "this is for the indexes of a search service; the local index is rebuilt by `rag-api index delete` \
                 and `rag-api ingest`"
            ),
            (command, SearchBackend::Azure(azure)) => command.azure(azure, &metrics).await,
            (command, SearchBackend::Local { dir }) => command.local(&config.search, dir, &metrics).await,
        }
    }

    async fn local(self, config: &SearchBackend, dir: &Path, metrics: &Metrics) -> Result<ExitCode> {
        let place = dir.display();
        match self {
            Self::Create => {
                app::writer(config, Duration::ZERO, metrics).await?.finish().await?;
                say!("the index is in {place}");
            }
            Self::Status(Status { json }) => {
                let index = app::index(config, metrics)?;
                let problem = index.problem().map(|problem| problem.to_string());
                if json {
                    let status = serde_json::json!({
                        "backend": "local", "directory": dir, "chunks": index.chunk_count(),
                        "version": index.version(), "problem": problem,
                    });
                    say!("{status}");
                } else {
                    say!(
                        "local index in {place}: {} chunks, version {}",
                        index.chunk_count(),
                        index.version()
                    );
                }
                if let Some(problem) = problem {
                    bail!(problem);
                }
            }
            Self::Clear => {
                let mut writer = app::writer(config, Duration::ZERO, metrics).await?;
                writer.clear().await?;
                writer.finish().await?;
                say!("the index in {place} is empty");
            }
            Self::Delete(Delete { name: Some(_) }) => bail!("--name is for the indexes of a search service"),
            Self::Delete(Delete { name: None }) => {
                let there = local::delete(dir)?;
                say!("{} {place}", if there { "removed the index in" } else { "there is no index in" });
            }
            Self::Rebuild(_) | Self::Switch(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn azure(self, azure: &AzureConfig, metrics: &Metrics) -> Result<ExitCode> {
        let admin = app::admin(azure, metrics)?;
        let name = &azure.index;
        match self {
            Self::Create => {
                let made = admin.create().await?;
                let what = if made { "made the index" } else { "there is already a fitting index" };
                say!("{what} {name} at {}", azure.endpoint);
            }
            Self::Status(Status { json }) => {
                let status = admin.status().await?;
                print_status(azure, &status, json);
                if let Some(problem) = status.problem {
                    bail!(problem.to_string());
                }
            }
            Self::Clear => {
                match admin.clear().await {
                    Err(RetrievalError::Missing) => bail!("there is no index {name} at {}", azure.endpoint),
                    other => other?,
                }
                say!("the index {name} is empty");
            }
            Self::Delete(Delete { name: other }) => {
                let there = match &other {
                    Some(other) if admin.alias(name).await?.as_ref() == Some(other) => {
                        bail!("{other} is the index in use: the alias {name} points to it")
                    }
                    Some(other) => admin.delete_named(other).await?,
                    None => admin.delete().await?,
                };
                let which = other.as_ref().unwrap_or(name);
                say!("{} {which}", if there { "removed the index" } else { "there is no index" });
            }
            Self::Rebuild(_) | Self::Switch(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_status(azure: &AzureConfig, status: &IndexStatus, json: bool) {
    if json {
        let json = serde_json::json!({
            "backend": "azure", "endpoint": azure.endpoint, "index": status.name, "alias_of": status.alias_of,
            "exists": status.exists, "chunks": status.chunks, "documents": status.documents,
            "storage_bytes": status.storage_bytes, "vector_bytes": status.vector_bytes,
            "fingerprint": status.fingerprint, "version": status.version,
            "problem": status.problem.as_ref().map(ToString::to_string),
        });
        say!("{json}");
        return;
    }
    let alias = status.alias_of.as_ref().map(|index| format!(", an alias of {index}")).unwrap_or_default();
    say!(
        "index {}{alias} at {}: {} chunks, {} documents, {} bytes, {} of them vectors",
        status.name,
        azure.endpoint,
        status.chunks,
        status.documents,
        status.storage_bytes,
        status.vector_bytes
    );
    if let Some(fingerprint) = &status.fingerprint {
        say!("made with {}, chunker {}", fingerprint.model, fingerprint.chunker);
    }
}
