//! `rag-api check`: is everything in place?

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{FAILED, production};
use crate::{
    app,
    config::{Config, SearchBackend},
    embedding::{ModelOptions, PORTABLE, fetch, kernel_for},
    generation::OpenAi,
};

/// Check the configuration, the model, the index and the language model, one line each
///
/// Exits with 1 when any of them fails. A mistake in the configuration is reported before anything is tried, with
/// exit code 2.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rag-api check\n  rag-api check && rag-api serve\n  rag-api check --production"
)]
pub(super) struct Check {
    /// Go through the list before users come as well: what is fine on a laptop and wrong in production
    #[arg(long)]
    production: bool,
}

impl Check {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let mut lines = vec![("configuration", Ok("no mistakes".to_owned()))];
        let dir = &config.embedding.model_dir;
        let model = tokio::task::block_in_place(|| fetch::verify(dir));
        lines.push((
            "model",
            model.map(|()| format!("{}, SHA-256 verified", dir.display())).map_err(|e| e.to_string()),
        ));
        lines.push((
            "kernel",
            match kernel_for(&ModelOptions::from(&config.embedding)) {
                Ok(name) if name == PORTABLE => Ok(format!("{name}: this CPU has none of the faster ones")),
                Ok(name) => Ok(name.to_owned()),
                Err(error) => Err(error.to_string()),
            },
        ));
        let metrics = app::metrics(config)?;
        let index = app::index(&config.search, &metrics)?;
        index.refresh().await;
        let place = match &config.search {
            SearchBackend::Local { dir } => dir.display().to_string(),
            SearchBackend::Azure(azure) => format!("{} at {}", azure.index, azure.endpoint),
        };
        lines.push((
            "index",
            match index.problem() {
                None => Ok(format!("{place}, {} chunks", index.chunk_count())),
                Some(problem) => Err(format!("{place}: {problem}")),
            },
        ));
        lines.push((
            "llm",
            match &config.llm {
                None => {
                    Ok("none; answers are extractive (OPENAI_API_KEY or OPENAI_BASE_URL sets one)".to_owned())
                }
                Some(llm) => match OpenAi::new(llm, metrics) {
                    Err(error) => Err(error.to_string()),
                    Ok(client) => client
                        .reachable()
                        .await
                        .map(|()| format!("{} at {}", llm.model, llm.base_url))
                        .map_err(|error| error.to_string()),
                },
            },
        ));
        if self.production {
            let chunks = index.problem().is_none().then(|| index.chunk_count());
            lines.extend(production::findings(config, chunks));
        }
        let failed = lines.iter().any(|(_, result)| result.is_err());
        for (what, result) in lines {
            match result {
                Ok(text) => say!("ok      {what}: {text}"),
                Err(text) => say!("failed  {what}: {text}"),
            }
        }
        Ok(if failed { FAILED } else { ExitCode::SUCCESS })
    }
}
