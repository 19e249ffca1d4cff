//! What the way over HTTP to the emulated search service costs, against the local index in the same run.
//!
//! `cargo bench --profile release --bench emulated [-- SECONDS]`, 5 for each row unless told otherwise; needs
//! `rag-api model fetch`. The second part ingests `contoso-handbook-pdf` of `RAG_SHARED` with one and with two jobs.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod load;
mod times;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use load::{Load, Outcome, bodies, model_dir, project};
use rag_api::config::{Config, EnvReader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rag-api");
const KEY: &str = "key-of-a-benchmark";

fn main() -> Outcome<()> {
    let seconds = std::env::args().skip(1).find(|argument| argument != "--bench");
    let time = Duration::from_secs(seconds.map_or(Ok(5), |text| text.parse())?.max(1));
    let (local, emulated) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let emulator = Emulator::start(emulated.path())?;
    search(local.path(), &emulator, time)?;
    let shared = std::env::var_os("RAG_SHARED").map_or_else(|| project().join("../shared"), PathBuf::from);
    let corpus = shared.join("eval/contoso-handbook-pdf/corpus");
    if !corpus.exists() {
        println!("SKIPPED: ingestion needs contoso-handbook-pdf in RAG_SHARED");
        return Ok(());
    }
    println!("\ningestion into   jobs  chunks  seconds  chunks/s");
    for round in 0..2 {
        for jobs in [1, 2] {
            ingest(&emulator, &corpus, &format!("handbook-{round}-{jobs}"), jobs)?;
        }
    }
    Ok(())
}

fn search(local: &Path, emulator: &Emulator, time: Duration) -> Outcome<()> {
    let data = project().join("data");
    let local = local.to_string_lossy().into_owned();
    finished(program(&[("INDEX_DIR", &local)]).arg("ingest").arg(&data).spawn()?)?;
    finished(program(&emulator.variables("data")).arg("ingest").arg(&data).spawn()?)?;
    let server = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let model = model_dir().to_string_lossy().into_owned();
    let start = |variables: &[(&'static str, &str)]| -> Outcome<Load> {
        let variables = variables.iter().copied().chain([("MODEL_DIR", model.as_str())]);
        let config = Config::read(EnvReader::from_pairs(variables))?;
        let address = server.block_on(load::serve(&config))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Load { runtime, bodies: bodies()?, address })
    };
    let backends =
        [("local", start(&[("INDEX_DIR", &local)])?), ("emulated", start(&emulator.variables("data"))?)];
    println!("servers, emulator and clients share the cores; every second row belongs to the one before\n");
    println!("index     route    clients  p50 ms   p95 ms   p99 ms   requests/s  replies by status");
    for clients in [1, 16] {
        for (name, load) in &backends {
            load.send("/search", clients, time / 4)?;
            println!("{name:<9} {}", load.send("/search", clients, time)?);
        }
    }
    Ok(())
}

fn ingest(emulator: &Emulator, corpus: &Path, index: &str, jobs: usize) -> Outcome<()> {
    let variables = emulator.variables(index);
    // Made before, so that the jobs do not compete for it.
    finished(program(&variables).args(["index", "create"]).spawn()?)?;
    let start = Instant::now();
    let job = |number: usize| {
        let shard = format!("{}/{jobs}", number + 1);
        program(&variables).arg("ingest").arg(corpus).args(["--shard", &shard]).spawn()
    };
    let children: Vec<Child> = (0..jobs).map(job).collect::<Result<_, _>>()?;
    for child in children {
        finished(child)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let status = program(&variables).args(["index", "status", "--json"]).stdout(Stdio::piped()).output()?;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
    let chunks = status["chunks"].as_u64().unwrap_or(0);
    println!("the emulator  {jobs:>7} {chunks:>7} {seconds:>8.1} {:>9.1}", chunks as f64 / seconds);
    Ok(())
}

fn program(variables: &[(&'static str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.envs(variables.iter().copied()).env("MODEL_DIR", model_dir());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn finished(mut child: Child) -> Outcome<()> {
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("a job ended with {status}").into()) }
}

/// The emulator as a process, killed when dropped.
struct Emulator {
    child: Child,
    endpoint: String,
}

impl Emulator {
    fn start(dir: &Path) -> Outcome<Self> {
        let dir = dir.to_string_lossy();
        let mut command = program(&[("INDEX_DIR", &*dir), ("AZURE_SEARCH_API_KEY", KEY)]);
        let mut child = command.args(["emulate", "--port", "0"]).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let port = line.trim().rsplit(':').next().unwrap_or_default();
        Ok(Self { endpoint: format!("http://127.0.0.1:{port}"), child })
    }

    fn variables<'a>(&'a self, index: &'a str) -> [(&'static str, &'a str); 3] {
        [
            ("AZURE_SEARCH_ENDPOINT", &self.endpoint),
            ("AZURE_SEARCH_API_KEY", KEY),
            ("AZURE_SEARCH_INDEX_NAME", index),
        ]
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
