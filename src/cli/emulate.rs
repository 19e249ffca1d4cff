//! `rag-api emulate`: an Azure-AI-Search-compatible server on the local index.

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;

use crate::{
    app,
    config::{Config, EmulatorConfig},
    emulator::Fault,
    http,
};

/// Serve the REST API of Azure AI Search from this machine
///
/// For tests and for work without an account: Microsoft's clients and this program's own
/// (AZURE_SEARCH_ENDPOINT=http://127.0.0.1:8100) work against it. Data lie in INDEX_DIR/emulator and survive a
/// restart. The admin key is AZURE_SEARCH_API_KEY, the query-only key AZURE_SEARCH_QUERY_KEY; without keys any
/// request is let in. The first line on stdout is the address.
#[derive(Debug, Args)]
#[command(after_help = "\
Not emulated, and refused with the code NotEmulated: semantic ranking, queryType=full, scoring profiles,
suggest and autocomplete, synonym maps, custom analyzers, vectorizers, metrics other than cosine, complex and
geographical fields, indexers, knowledge bases. Text scores are BM25 over one shard with the searchable fields
as one text, so their values differ from the service's; vector search is exact, without loss by
approximation or compression.

Faults, for tests of a client; --fault may be repeated, and each has one of these effects:
  status=N[,retry-after=S]   answer with this status, and do nothing
  items=N                    of a batch, fail the first action and every second one after it (207)
  413-over=BYTES             answer 413 to larger batches
  delay-ms=N                 wait first
  cut                        end the body of the reply in its middle
  visibility-delay-ms=N      let searches, counts and lookups see writes only later
on=any|search|index|lookup|manage chooses the requests, every=N each Nth of them, first=N only the first N.

Examples:
  rag-api emulate
  rag-api emulate --port 0
  rag-api emulate --fault 'status=503,on=search,every=3' --fault 'status=429,retry-after=1,on=index,first=2'
  rag-api emulate --fault 'items=503,first=1' --fault 'visibility-delay-ms=3000'")]
pub(super) struct Emulate {
    /// Listen on this address
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Listen on this port; 0 lets the system choose
    #[arg(long, default_value_t = 8100)]
    port: u16,
    /// Do something wrong on purpose, such as status=503,on=search,every=3
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
}

impl Emulate {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        let emulator = EmulatorConfig::load()?;
        let address = SocketAddr::new(self.host, self.port);
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; is another server running? --port chooses another port")
        })?;
        let address = listener.local_addr()?;
        let router = tokio::task::block_in_place(|| crate::emulator::router(&emulator, self.fault))?;
        let stop = http::shutdown_signal();
        say!("http://{address}");
        app::emulate(listener, router, stop, config.server.shutdown_grace).await;
        Ok(ExitCode::SUCCESS)
    }
}
