//! Latency, throughput and errors of the whole server over real HTTP, and whether `/health` answers under load.
//!
//! `cargo bench --profile release --bench server [-- SECONDS]`, 8 for each row unless told otherwise; needs
//! `rag-api model fetch`. Answers are extractive, questions and documents are the project's own.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod load;
mod times;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use load::{Load, Outcome, bodies, client, milliseconds, model_dir, project};
use rag_api::{
    app,
    config::{Config, EnvReader},
    ingest::{Ingestion, Plan, Shard, extract::WorkerCommand},
};
use times::Times;

/// The binary under test, which also reads PDF files for the ingestion.
const PROGRAM: &str = env!("CARGO_BIN_EXE_rag-api");
const PROBE_INTERVAL: Duration = Duration::from_millis(10);
const HEALTH_LIMIT_MS: f64 = 50.0;

fn main() -> Outcome<()> {
    let seconds = std::env::args().skip(1).find(|argument| argument != "--bench");
    let time = Duration::from_secs(seconds.map_or(Ok(8), |text| text.parse())?.max(1));
    let index_dir = tempfile::tempdir()?;
    // As the program builds its own. Load and probes come from threads of their own.
    let server = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let address = server.block_on(start(index_dir.path()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let load = Load { runtime, bodies: bodies()?, address };
    let cores = std::thread::available_parallelism()?;
    println!("server, clients and probe share {cores} cores; no log is written\n");
    println!("route    clients  p50 ms   p95 ms   p99 ms   requests/s  replies by status");
    for route in ["/query", "/search"] {
        load.send(route, 1, time / 4)?;
        for clients in [1, 8, 32] {
            println!("{}", load.send(route, clients, time)?);
        }
    }
    let (line, health) = probed(address, || load.send("/query", 64, time))?;
    println!("\n{line}\n/health meanwhile: {health}");
    let Some(mut command) = ingestion(index_dir.path()) else {
        println!("SKIPPED: /health during an ingestion needs contoso-handbook-pdf in RAG_SHARED");
        return Ok(());
    };
    let start = Instant::now();
    let (status, health) = probed(address, || Ok(command.status()?))?;
    let seconds = start.elapsed().as_secs_f64();
    println!("\nan ingestion in another process: {seconds:.1} s, {status}\n/health meanwhile: {health}");
    Ok(())
}

/// The server as it is shipped, over an index of the project's own documents.
async fn start(index_dir: &Path) -> Outcome<SocketAddr> {
    let (index_dir, model_dir) = (index_dir.to_string_lossy(), model_dir());
    let variables = [("INDEX_DIR", &*index_dir), ("MODEL_DIR", &*model_dir.to_string_lossy())];
    let config = Config::read(EnvReader::from_pairs(variables))?;
    let writer = app::writer(&config.search, Duration::ZERO, &app::metrics(&config)?).await?;
    let ingestion =
        Ingestion::new(app::embedder(&config.embedding)?, &config.ingest, WorkerCommand::new(PROGRAM));
    let paths = [project().join("data")];
    let plan = Plan { paths: &paths, prune: false, shard: Shard::default() };
    let report = ingestion.run(plan, writer, std::future::pending(), |_| {}).await?;
    println!("{} files, {} chunks", report.files.len(), report.chunks);
    if report.failed() > 0 {
        return Err("a file of data/ was not indexed".into());
    }
    load::serve(&config).await
}

/// Runs `work` while a connection of its own asks for `/health` every 10 ms.
fn probed<T>(address: SocketAddr, work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, String)> {
    let stop = AtomicBool::new(false);
    let probe = || -> Outcome<Vec<f64>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (client, url) = (client()?, format!("http://{address}/health"));
        let mut times = Vec::new();
        while !stop.load(Relaxed) {
            let asked = Instant::now();
            runtime.block_on(async { client.get(&url).send().await?.error_for_status()?.bytes().await })?;
            times.push(milliseconds(asked));
            std::thread::sleep(PROBE_INTERVAL.saturating_sub(asked.elapsed()));
        }
        Ok(times)
    };
    let (done, times) = std::thread::scope(|scope| {
        let probe = scope.spawn(probe);
        let done = work();
        stop.store(true, Relaxed);
        (done, probe.join())
    });
    let times = Times::sorted(times.map_err(|_| "the probe panicked")??);
    let (p50, p99, max) = (times.median(), times.at(0.99), times.at(1.0));
    let verdict = if max < HEALTH_LIMIT_MS { "met" } else { "MISSED" };
    let line = format!("{} probes, p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms", times.0.len());
    Ok((done?, format!("{line}; target max < {HEALTH_LIMIT_MS} ms: {verdict}")))
}

/// Into the index the server reads, so that it reloads meanwhile.
fn ingestion(index_dir: &Path) -> Option<Command> {
    let shared = std::env::var_os("RAG_SHARED").map_or_else(|| project().join("../shared"), PathBuf::from);
    let corpus = shared.join("eval/contoso-handbook-pdf/corpus");
    let mut command = Command::new(PROGRAM);
    command.arg("ingest").arg(&corpus).env("INDEX_DIR", index_dir).env("MODEL_DIR", model_dir());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    corpus.exists().then_some(command)
}
