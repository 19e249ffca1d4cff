//! `rag-api index rebuild` and `switch`: a new index beside the old, and the alias that chooses between them.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use time::{OffsetDateTime, macros::format_description};

use super::{FAILED, evaluate, ingest};
use crate::{
    app,
    config::{AzureConfig, Config},
    domain::SearchMode,
    evaluation::{Dataset, Runner},
    ingest::{Plan, Shard},
    retrieval::{
        IndexWriter, Retriever,
        azure::{AzureAdmin, AzureIndex, AzureWriter},
    },
    telemetry::Metrics,
};

/// How long the service may take to show what was written.
const SETTLE: Duration = Duration::from_secs(60);

/// Fill a new index beside the one in use, check it, and switch to it (search service only)
///
/// AZURE_SEARCH_INDEX_NAME must be an alias, or free: then it becomes one. Searches go on in the old index until
/// the new one is complete, and the old one is kept, so that `index switch` can go back.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rag-api index rebuild docs/\n  rag-api index rebuild docs/ --evaluate collection/ --min-ndcg10 0.8"
)]
pub(super) struct Rebuild {
    /// Folders or files
    #[arg(default_value = "data")]
    paths: Vec<PathBuf>,
    /// Ask the new index the questions of this collection before switching: queries.jsonl and qrels.tsv, whose documents are
    /// among PATHS
    #[arg(long, value_name = "DIR")]
    evaluate: Option<PathBuf>,
    /// Do not switch when hybrid nDCG@10 is lower
    #[arg(long, value_name = "X", requires = "evaluate")]
    min_ndcg10: Option<f64>,
    /// Go on with the index of a rebuild that was interrupted
    #[arg(long, value_name = "INDEX")]
    into: Option<String>,
}

/// Point the alias to another index, as to go back after a rebuild (search service only)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rag-api index switch ragdocs-20261122-101500")]
pub(super) struct Switch {
    /// An index of this service that was built with this program's model
    index: String,
}

impl Rebuild {
    pub(super) async fn run(
        self,
        config: &Config,
        azure: &AzureConfig,
        metrics: &Metrics,
    ) -> Result<ExitCode> {
        let dataset = self.evaluate.as_deref().map(Dataset::load).transpose()?;
        let admin = app::admin(azure, metrics)?;
        let alias = &azure.index;
        let old = admin.alias(alias).await?;
        if old.is_none() && admin.status().await?.exists {
            bail!(
                "{alias} is an index, and a rebuild switches an alias: set AZURE_SEARCH_INDEX_NAME to a name that is free, \
                 such as {alias}-live, rebuild, and give that name to the servers"
            );
        }
        let new = self.into.clone().unwrap_or_else(|| format!("{alias}-{}", stamp()));
        if old.as_ref() == Some(&new) {
            bail!("{new} is the index in use: the alias {alias} points to it");
        }
        let keep = || {
            format!(
                "the alias {alias} is unchanged; go on with --into {new}, or remove it by `rag-api index delete --name {new}`"
            )
        };
        let embedder = tokio::task::block_in_place(|| app::embedder(&config.embedding))?;
        let writer = AzureWriter::open_index(azure, &new, &app::fingerprint(), metrics.clone()).await?;
        eprintln!("filling the index {new}");
        let ingestion = app::ingestion(config, embedder.clone())?;
        let plan = Plan { paths: &self.paths, prune: self.into.is_some(), shard: Shard::default() };
        let report =
            ingest::watched(&ingestion, plan, IndexWriter::Azure(writer)).await.with_context(keep)?;
        if report.interrupted {
            bail!("interrupted; {}", keep());
        }
        let index = AzureIndex::connect_index(azure, &new, app::fingerprint(), metrics.clone())?;
        let chunks =
            report.files.iter().filter(|file| file.error.is_none()).map(|file| u64::from(file.chunks)).sum();
        settle(&index, chunks).await.with_context(keep)?;
        if let Some(dataset) = dataset {
            let runner =
                Runner::over(dataset, Retriever::Azure(index), embedder, config.retrieval.vector_weight);
            let figures = runner.run(None).await.with_context(keep)?;
            evaluate::print(&figures);
            let hybrid =
                figures.modes.get(SearchMode::Hybrid.as_str()).map_or(0.0, |mode| mode.measures.ndcg_10);
            if let Some(least) = self.min_ndcg10.filter(|least| hybrid < *least) {
                eprintln!("hybrid nDCG@10 is {hybrid:.4}, below {least}; {}", keep());
                return Ok(FAILED);
            }
        }
        admin.switch_alias(alias, &new).await.with_context(keep)?;
        say!("the alias {alias} now points to {new}, {chunks} chunks");
        if let Some(old) = old {
            say!(
                "to go back: rag-api index switch {old}\nto remove the old index: rag-api index delete --name {old}"
            );
        }
        Ok(if report.failed() > 0 { FAILED } else { ExitCode::SUCCESS })
    }
}

impl Switch {
    pub(super) async fn run(self, azure: &AzureConfig, metrics: &Metrics) -> Result<ExitCode> {
        let admin: AzureAdmin = app::admin(azure, metrics)?;
        let index = AzureIndex::connect_index(azure, &self.index, app::fingerprint(), metrics.clone())?;
        index.refresh().await;
        if let Some(problem) = index.problem() {
            bail!("{} is not switched to: {problem}", self.index);
        }
        admin.switch_alias(&azure.index, &self.index).await?;
        say!("the alias {} now points to {}, {} chunks", azure.index, self.index, index.chunk_count());
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits until what was written can be found.
async fn settle(index: &AzureIndex, chunks: u64) -> Result<()> {
    let start = std::time::Instant::now();
    loop {
        index.refresh().await;
        if index.problem().is_none() && index.chunk_count() >= chunks {
            return Ok(());
        }
        if start.elapsed() > SETTLE {
            let found = index.chunk_count();
            bail!("the new index shows {found} of {chunks} chunks after {} s", SETTLE.as_secs());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn stamp() -> String {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    OffsetDateTime::now_utc().format(format).unwrap_or_else(|_| "new".into())
}
