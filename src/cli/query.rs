//! `rag-api query`: one question, answered in the terminal.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::options::Retrieval;
use crate::{app, config::Config, domain::Answer, http::QueryReply, telemetry::TraceId};

/// Answer one question, with citations
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rag-api query \"How many characters may a question have?\"\n  \
                        rag-api query \"質問は何文字まで?\" --top-k 5\n  rag-api query \"Exit codes?\" --source faq.txt --json")]
pub(super) struct Query {
    #[command(flatten)]
    retrieval: Retrieval,
    /// Print the body that POST /query would answer
    #[arg(long)]
    json: bool,
}

impl Query {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let query = self.retrieval.into_query()?;
        let rag = tokio::task::block_in_place(|| app::rag(config, app::metrics(config)?))?;
        let answered = rag.answer(&query).await?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&QueryReply::new(answered, TraceId::random()))?);
        } else {
            print(&answered.answer);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(answer: &Answer) {
    say!("{}", answer.text);
    for citation in answer.grounding.citations() {
        let Some(hit) = answer.contexts.get(citation.context) else { continue };
        let page = hit.chunk.page_number.map(|page| format!(", page {page}")).unwrap_or_default();
        let quote = citation.quote.split_whitespace().collect::<Vec<_>>().join(" ");
        say!("  [{}] {}{page} ({}): “{quote}”", citation.number, hit.chunk.source, citation.verdict.as_str());
    }
}
