//! `rag-api search`: the passages alone.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tracing::Instrument;

use super::options::Retrieval;
use crate::{
    app,
    config::Config,
    http::SearchReply,
    telemetry::{TraceId, spans},
};

/// Find passages without answering
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rag-api search \"reciprocal rank fusion\" --top-k 10\n  rag-api search \"limits\" --mode keyword --json"
)]
pub(super) struct Search {
    #[command(flatten)]
    retrieval: Retrieval,
    /// Print the body that POST /search would answer
    #[arg(long)]
    json: bool,
}

impl Search {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let query = self.retrieval.into_query()?;
        let rag = tokio::task::block_in_place(|| app::rag(config, app::metrics(config)?))?;
        let span = spans::command("rag-api search");
        let trace_id = TraceId::of_root(&span);
        let found = rag.search(&query).instrument(span).await?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&SearchReply::new(found, trace_id))?);
            return Ok(ExitCode::SUCCESS);
        }
        for (place, hit) in (1..).zip(&found.hits) {
            let page = hit.chunk.page_number.map(|page| format!(", page {page}")).unwrap_or_default();
            let title = hit.chunk.title.as_deref().map(|title| format!("  {title}")).unwrap_or_default();
            let preview: String = hit
                .chunk
                .content
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .chars()
                .take(240)
                .collect();
            say!("{place}. {:.4}  {}{page}{title}\n   {preview}", hit.score, hit.chunk.source);
        }
        if found.hits.is_empty() {
            eprintln!("nothing found");
        }
        Ok(ExitCode::SUCCESS)
    }
}
