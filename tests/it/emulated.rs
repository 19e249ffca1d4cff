//! The emulator as a process of its own, and clients of it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rag_api::{
    app,
    config::{AzureConfig, Config, EnvReader, SearchBackend},
    retrieval::{
        RetrievalError,
        azure::{AzureAdmin, AzureIndex, AzureWriter},
    },
    telemetry::Metrics,
};

pub const ADMIN_KEY: &str = "admin-key-of-tests";
pub const QUERY_KEY: &str = "query-key-of-tests";

/// Killed when dropped.
pub struct Emulator {
    child: Child,
    pub endpoint: String,
}

impl Emulator {
    /// `faults`: specifications for `--fault`.
    pub fn start(dir: &Path, faults: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rag-api"));
        command.args(["emulate", "--port", "0"]).env("INDEX_DIR", dir);
        command.env("AZURE_SEARCH_API_KEY", ADMIN_KEY).env("AZURE_SEARCH_QUERY_KEY", QUERY_KEY);
        command.args(faults.iter().flat_map(|fault| ["--fault", fault]));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(!address.is_empty(), "the emulator did not start");
        let address = address.trim().trim_start_matches("http://");
        let address = if address.contains(':') { address.to_owned() } else { format!("127.0.0.1:{address}") };
        Self { child, endpoint: format!("http://{address}") }
    }

    /// Variables of a process that uses this emulator.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("AZURE_SEARCH_ENDPOINT", self.endpoint.clone()),
            ("AZURE_SEARCH_API_KEY", ADMIN_KEY.to_owned()),
            ("AZURE_SEARCH_QUERY_KEY", QUERY_KEY.to_owned()),
        ]
    }

    pub fn service(&self, more: &[(&'static str, &str)]) -> Service {
        let variables = self.variables();
        let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
        // Later ones win over earlier ones.
        let mut all: Vec<(&str, &str)> = variables.collect();
        for &(name, value) in more {
            all.retain(|(other, _)| *other != name);
            all.push((name, value));
        }
        Service::new(all.into_iter())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service as the variables describe it.
pub struct Service {
    pub config: AzureConfig,
    pub metrics: Metrics,
}

impl Service {
    pub fn new<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let config = Config::read(EnvReader::from_pairs(variables)).unwrap();
        let metrics = app::metrics(&config).unwrap();
        let SearchBackend::Azure(config) = config.search else { panic!("no endpoint is set") };
        Self { config: *config, metrics }
    }

    pub async fn try_writer(&self) -> Result<AzureWriter, RetrievalError> {
        AzureWriter::open(&self.config, &app::fingerprint(), self.metrics.clone()).await
    }

    pub async fn writer(&self) -> AzureWriter {
        self.try_writer().await.unwrap()
    }

    pub async fn index(&self) -> AzureIndex {
        let index = AzureIndex::connect(&self.config, app::fingerprint(), self.metrics.clone()).unwrap();
        index.refresh().await;
        index
    }

    pub fn admin(&self) -> AzureAdmin {
        AzureAdmin::connect(&self.config, app::fingerprint(), self.metrics.clone()).unwrap()
    }
}
