//! `rag-api query`: one question, answered in the terminal.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use tracing::Instrument;

use super::options::Retrieval;
use crate::{
    app,
    config::Config,
    domain::Answer,
    http::QueryReply,
    rag::{Event, Query as Asked, Rag},
    telemetry::{TraceId, spans},
};

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
        let span = spans::command("rag-api query");
        let trace_id = TraceId::of_root(&span);
        if self.json {
            let answered = rag.answer(&query).instrument(span).await?;
            say!("{}", serde_json::to_string_pretty(&QueryReply::new(answered, trace_id))?);
        } else {
            tell(&rag, query).instrument(span).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints the answer as it grows, then what it rests on.
async fn tell(rag: &Rag, query: Asked) -> Result<()> {
    let mut events = rag.stream(query);
    loop {
        match events.next().await {
            Some(Event::Contexts(_)) => {}
            Some(Event::Delta(text)) => say_on!("{text}"),
            Some(Event::Done(answered)) => {
                say!("");
                print_citations(&answered.answer);
                return Ok(());
            }
            Some(Event::Failed(error)) => return Err(error.into()),
            None => return Err(anyhow!("the answer broke off")),
        }
    }
}

fn print_citations(answer: &Answer) {
    for citation in answer.grounding.citations() {
        let Some(hit) = answer.contexts.get(citation.context) else { continue };
        let page = hit.chunk.page_number.map(|page| format!(", page {page}")).unwrap_or_default();
        let quote = citation.quote.split_whitespace().collect::<Vec<_>>().join(" ");
        say!("  [{}] {}{page} ({}): “{quote}”", citation.number, hit.chunk.source, citation.verdict.as_str());
    }
}
