//! `rag-api serve`: the HTTP server.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;

use crate::{app, config::Config, http};

/// Answer questions over HTTP
///
/// Listens on HOST and PORT, 0.0.0.0:8000 unless they say otherwise. Stops on SIGTERM or Ctrl-C after finishing
/// what runs. What `rag-api ingest` commits is seen within a second, without a restart.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rag-api serve\n  PORT=9000 LOG_FORMAT=json rag-api serve\n\n  \
                        curl -s localhost:8000/query -H 'Content-Type: application/json' -d '{\"question\": \"…\"}'")]
pub(super) struct Serve {}

impl Serve {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let address = SocketAddr::new(config.server.host, config.server.port);
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; is another server running? PORT chooses another port")
        })?;
        app::serve(config, listener, http::shutdown_signal()).await?;
        Ok(ExitCode::SUCCESS)
    }
}
