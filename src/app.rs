//! Assembly: configuration to components; the only place that picks implementations.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::{
    config::{AzureConfig, Config, EmbeddingConfig, SearchBackend},
    domain::EMBEDDING_DIMENSION,
    embedding::{Embedder, LoadTimes, MODEL_ID, MiniLm, ModelOptions, WEIGHTS_SHA256},
    generation::OpenAi,
    http::{self, AppState, Ended},
    ingest::{Ingestion, chunk::CHUNKER_VERSION, extract::WorkerCommand},
    rag::{Parts, Rag},
    retrieval::{
        Fingerprint, IndexWriter, Retriever,
        azure::{AzureAdmin, AzureIndex, AzureWriter},
        local::{LocalIndex, LocalWriter},
    },
    telemetry::{self, Metrics},
};

/// What this program builds indexes with and searches them with.
pub fn fingerprint() -> Fingerprint {
    Fingerprint {
        model: MODEL_ID.to_owned(),
        weights_sha256: WEIGHTS_SHA256.to_owned(),
        chunker: CHUNKER_VERSION.to_owned(),
        dimensions: EMBEDDING_DIMENSION,
    }
}

/// Loads the model and starts its worker.
pub fn embedder(config: &EmbeddingConfig) -> Result<Embedder> {
    let model = MiniLm::load_with(&config.model_dir, &ModelOptions::from(config))?;
    let LoadTimes { tokenizer, verify, pack, load } = model.load_times();
    tracing::info!(
        kernel = model.kernel_name(),
        threads = model.threads(),
        tokenizer_ms = tokenizer.as_millis() as u64,
        verify_ms = verify.as_millis() as u64,
        pack_ms = pack.as_millis() as u64,
        duration_ms = load.as_millis() as u64,
        "model loaded"
    );
    Ok(Embedder::start(model, config.queue_capacity)?)
}

/// Opens the index for reading. That of a search service is first asked when it is used; needs a runtime.
pub fn index(config: &SearchBackend, metrics: &Metrics) -> Result<Retriever> {
    Ok(match config {
        SearchBackend::Local { dir } => Retriever::Local(LocalIndex::open(dir, fingerprint())?),
        SearchBackend::Azure(config) => {
            Retriever::Azure(AzureIndex::connect(config, fingerprint(), metrics.clone())?)
        }
    })
}

/// Opens the index for writing; the local one waits for another writer at most `wait`.
pub async fn writer(config: &SearchBackend, wait: Duration, metrics: &Metrics) -> Result<IndexWriter> {
    match config {
        SearchBackend::Local { dir } => {
            let writer = tokio::task::block_in_place(|| LocalWriter::open(dir, &fingerprint(), wait));
            let writer = writer.with_context(|| format!("cannot write to {}", dir.display()))?;
            Ok(IndexWriter::Local(writer))
        }
        SearchBackend::Azure(config) => {
            let writer = AzureWriter::open(config, &fingerprint(), metrics.clone()).await;
            let writer = writer.with_context(|| format!("cannot write to the index {}", config.index))?;
            Ok(IndexWriter::Azure(writer))
        }
    }
}

/// The administration of a search service's indexes.
pub fn admin(config: &AzureConfig, metrics: &Metrics) -> Result<AzureAdmin> {
    Ok(AzureAdmin::connect(config, fingerprint(), metrics.clone())?)
}

/// The way of files into an index.
pub fn ingestion(config: &Config, embedder: Embedder) -> Result<Ingestion> {
    let worker = WorkerCommand::current().context("cannot find this program's own file")?;
    Ok(Ingestion::new(embedder, &config.ingest, worker))
}

/// Everything between a question and its answer.
pub fn rag(config: &Config, metrics: Metrics) -> Result<Rag> {
    let llm = config.llm.as_ref().map(|llm| OpenAi::new(llm, metrics.clone())).transpose()?;
    // The answer must be out before the request times out, also when it falls back to sentences.
    let timeout = config.server.request_timeout;
    let reserve = (timeout / 10).max(Duration::from_secs(2)).min(timeout / 2);
    let llm_deadline = timeout - reserve;
    let embedder = embedder(&config.embedding)?;
    let LoadTimes { tokenizer, verify, pack, load } = embedder.load_times();
    for (phase, took) in [("tokenizer", tokenizer), ("verify", verify), ("pack", pack), ("load", load)] {
        metrics.set_startup(phase, took);
    }
    Ok(Rag::new(Parts {
        embedder,
        index: index(&config.search, &metrics)?,
        llm,
        retrieval: config.retrieval.clone(),
        llm_deadline,
        stream_timeout: config.server.stream_timeout,
        metrics,
    }))
}

/// Created before everything that records into it.
pub fn metrics(config: &Config) -> Result<Metrics> {
    let model = config.llm.as_ref().map(|llm| llm.model.as_str());
    Ok(Metrics::new(&config.service.version, &config.service.build_sha, model)?)
}

/// The HTTP application as it is shipped; tests build it with other addresses and nothing else.
pub fn state(config: &Config) -> Result<AppState> {
    let metrics = metrics(config)?;
    Ok(AppState {
        rag: rag(config, metrics.clone())?,
        metrics,
        service: config.service.clone(),
        server: config.server.clone(),
        embedding_model: MODEL_ID.to_owned(),
    })
}

/// Serves until `shutdown` resolves and what was running has finished.
pub async fn serve(config: &Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
    let state = tokio::task::block_in_place(|| state(config))?;
    let _push = telemetry::push(&config.telemetry, &config.service, &state.metrics);
    let first_inference = state.rag.warm_up().await?;
    state.metrics.set_startup("first_inference", first_inference);
    let first_inference_us = first_inference.as_micros() as u64;
    tracing::info!(address = %listener.local_addr()?, first_inference_us, "listening");
    match http::serve(listener, http::router(state), shutdown, config.server.shutdown_grace).await {
        Ended::Finished => tracing::info!("stopped; every request was answered"),
        Ended::Cut(connections) => tracing::warn!(connections, "stopped; the grace was over"),
    }
    Ok(())
}

/// Serves the emulated search service until `shutdown` resolves and what was running has finished.
pub async fn emulate(
    listener: TcpListener,
    router: axum::Router,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) {
    match http::serve(listener, router, shutdown, grace).await {
        Ended::Finished => tracing::info!("stopped; every request was answered"),
        Ended::Cut(connections) => tracing::warn!(connections, "stopped; the grace was over"),
    }
}
