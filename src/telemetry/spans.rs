//! The hops of a request and of an ingestion, under the names that Datadog and OpenTelemetry know.
//!
//! Only spans made here are exported. Names without a dot are for log lines too, names with one for
//! traces alone. No field holds text of a question, passage, answer, key or header.

use std::{fmt::Display, time::Duration};

use tracing::{Span, field::Empty, info_span};

use super::metrics::known_method;

/// Spans of this target are exported.
pub(super) const TARGET: &str = module_path!();

/// One HTTP request, from its head to its reply. Platforms probe every few seconds, and nobody looks
/// at traces of that: a probe's span is for log lines alone.
pub fn request(method: &str, route: &str, probe: bool) -> Span {
    let method = known_method(method);
    if probe {
        return tracing::info_span!(
            target: "rag_api::probe",
            "request",
            "http.request.method" = method,
            "http.route" = route,
            trace_id = Empty,
        );
    }
    let resource = format!("{method} {route}");
    info_span!(
        "http.server.request",
        "otel.name" = resource,
        "otel.kind" = "server",
        "operation.name" = "http.server.request",
        "resource.name" = resource,
        "span.type" = "web",
        "http.request.method" = method,
        "http.route" = route,
        "http.response.status_code" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
        trace_id = Empty,
        question_hash = Empty,
        question_chars = Empty,
    )
}

/// A question asked in the terminal, `query` or `search`, from beginning to end.
pub fn command(name: &'static str) -> Span {
    info_span!(
        "command",
        "otel.name" = name,
        "operation.name" = name,
        "resource.name" = name,
        "span.type" = "custom",
        trace_id = Empty,
    )
}

/// Passages for who wants no answer.
pub fn passages(mode: &'static str, top_k: usize) -> Span {
    info_span!(
        "rag.search",
        "operation.name" = "rag.search",
        "resource.name" = "rag.search",
        "span.type" = "custom",
        "search.mode" = mode,
        "search.top_k" = size(top_k),
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

/// The reply's status; from 500 on it is a failure, of the kind that the problem's code names.
pub fn responded(span: &Span, status: u16, code: Option<&str>, cause: Option<&str>) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        let code = code.unwrap_or("internal");
        failed(span, code, &cause.unwrap_or(code));
    }
}

/// What went wrong, for the span's status and Datadog's error tracking.
pub fn failed(span: &Span, kind: &str, message: &dyn Display) {
    let message = message.to_string();
    span.record("error.type", kind);
    span.record("error.message", message.as_str());
    span.record("otel.status_description", message);
}

/// As [`failed`], with the variant's name as the kind.
pub fn failure<E: std::error::Error>(span: &Span, error: &E) {
    failed(span, &kind(error), error);
}

/// The name of an error's variant: it has few values and holds no text of others.
pub fn kind<E: std::error::Error>(error: &E) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// A question on its way to its answer.
pub fn answer(mode: &'static str, top_k: usize) -> Span {
    info_span!(
        "rag.answer",
        "operation.name" = "rag.answer",
        "resource.name" = "rag.answer",
        "span.type" = "custom",
        "search.mode" = mode,
        "search.top_k" = size(top_k),
        "rag.mode" = Empty,
        "rag.grounded" = Empty,
        "rag.evidence" = Empty,
        "rag.citations.supported" = Empty,
        "rag.citations.weak" = Empty,
        "rag.citations.unsupported" = Empty,
        "rag.reason" = Empty,
        "rag.cancelled" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

/// How an answer came out.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub mode: &'static str,
    /// Why an extractive answer is no generated one.
    pub reason: Option<&'static str>,
    pub grounded: bool,
    /// Something similar enough was found.
    pub evidence: bool,
    /// Citations: supported, weak, unsupported.
    pub verdicts: [usize; 3],
}

pub fn answered(span: &Span, outcome: Outcome) {
    let [supported, weak, unsupported] = outcome.verdicts.map(size);
    span.record("rag.mode", outcome.mode);
    span.record("rag.reason", outcome.reason);
    span.record("rag.grounded", outcome.grounded);
    span.record("rag.evidence", outcome.evidence);
    span.record("rag.citations.supported", supported);
    span.record("rag.citations.weak", weak);
    span.record("rag.citations.unsupported", unsupported);
}

/// Nobody waits for the answer any more.
pub fn cancelled(span: &Span) {
    span.record("rag.cancelled", true);
}

/// Texts on their way through the model; `name` is `embed.query`, `embed.sentences` or `embed.passages`.
pub fn embed(name: &'static str, texts: usize) -> Span {
    info_span!(
        "embed",
        "otel.name" = name,
        "operation.name" = name,
        "resource.name" = name,
        "span.type" = "custom",
        "embedding.texts" = size(texts),
        "embedding.queue_ms" = Empty,
        "embedding.compute_ms" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

/// How long the texts waited for the model, and how long it then took.
pub fn embedded(span: &Span, waited: Duration, computed: Duration) {
    span.record("embedding.queue_ms", milliseconds(waited));
    span.record("embedding.compute_ms", milliseconds(computed));
}

/// A search of the index, tries and pages together; `backend` is `local` or `azure`.
pub fn search(backend: &'static str, mode: &'static str, top: usize) -> Span {
    let name = format!("search.{mode}");
    info_span!(
        "search",
        "otel.name" = name,
        "otel.kind" = "client",
        "operation.name" = name,
        "resource.name" = name,
        "span.type" = "db",
        "search.backend" = backend,
        "search.mode" = mode,
        "search.top" = size(top),
        "search.hits" = Empty,
        "search.top_similarity" = Empty,
        "upstream.status_code" = Empty,
        "upstream.retries" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

pub fn found(span: &Span, hits: usize, top_similarity: Option<f32>) {
    span.record("search.hits", size(hits));
    if let Some(similarity) = top_similarity {
        span.record("search.top_similarity", f64::from(similarity));
    }
}

/// The status of the last try of a request to a service, on the span around it.
pub fn upstream_status(status: u16) {
    Span::current().record("upstream.status_code", i64::from(status));
}

/// A request to a service is tried again for the `retry`-th time.
pub fn upstream_retry(retry: u32) {
    Span::current().record("upstream.retries", i64::from(retry));
}

/// A completion of the LLM, tries together, named as OpenTelemetry's GenAI conventions do. They are
/// written out here, as the crate of conventions has them marked as moved.
pub fn chat(model: &str) -> Span {
    let name = format!("chat {model}");
    info_span!(
        "chat",
        "otel.name" = name,
        "otel.kind" = "client",
        "operation.name" = "chat",
        "resource.name" = name,
        "span.type" = "llm",
        "gen_ai.operation.name" = "chat",
        "gen_ai.provider.name" = "openai",
        "gen_ai.request.model" = model,
        "gen_ai.response.model" = Empty,
        "gen_ai.response.finish_reasons" = Empty,
        "gen_ai.usage.input_tokens" = Empty,
        "gen_ai.usage.output_tokens" = Empty,
        "gen_ai.usage.cost_usd" = Empty,
        "gen_ai.response.time_to_first_chunk" = Empty,
        "upstream.status_code" = Empty,
        "upstream.retries" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

/// What the LLM's server said of its completion.
#[derive(Debug, Clone, Copy)]
pub struct Completed<'a> {
    pub model: Option<&'a str>,
    pub finish_reason: Option<&'a str>,
    /// Input and output tokens.
    pub tokens: Option<(u64, u64)>,
    pub cost_usd: Option<f64>,
}

pub fn completed(span: &Span, completed: Completed<'_>) {
    if let Some(model) = completed.model {
        span.record("gen_ai.response.model", model);
    }
    if let Some(reason) = completed.finish_reason {
        span.record("gen_ai.response.finish_reasons", reason);
    }
    if let Some((input, output)) = completed.tokens {
        span.record("gen_ai.usage.input_tokens", i64::try_from(input).unwrap_or(i64::MAX));
        span.record("gen_ai.usage.output_tokens", i64::try_from(output).unwrap_or(i64::MAX));
    }
    if let Some(cost) = completed.cost_usd {
        span.record("gen_ai.usage.cost_usd", cost);
    }
}

/// How long a stream's first words took, in seconds, as OpenTelemetry counts them.
pub fn first_token(span: &Span, waited: Duration) {
    span.record("gen_ai.response.time_to_first_chunk", waited.as_secs_f64());
}

/// A run of an ingestion.
pub fn ingest_run() -> Span {
    info_span!(
        "ingest.run",
        "operation.name" = "ingest.run",
        "resource.name" = "ingest.run",
        "span.type" = "custom",
        "ingest.files" = Empty,
        "ingest.unchanged" = Empty,
        "ingest.failed" = Empty,
        "ingest.removed" = Empty,
        "ingest.chunks" = Empty,
        "ingest.interrupted" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

/// Files of a run by what became of them.
#[derive(Debug, Clone, Copy)]
pub struct Ingested {
    pub files: usize,
    pub unchanged: usize,
    pub failed: usize,
    pub removed: usize,
    pub chunks: u64,
    pub interrupted: bool,
}

pub fn ingested(span: &Span, run: Ingested) {
    span.record("ingest.files", size(run.files));
    span.record("ingest.unchanged", size(run.unchanged));
    span.record("ingest.failed", size(run.failed));
    span.record("ingest.removed", size(run.removed));
    span.record("ingest.chunks", i64::try_from(run.chunks).unwrap_or(i64::MAX));
    span.record("ingest.interrupted", run.interrupted);
}

/// One document of a run, until it is written. Made where no span is current, so the run is named.
pub fn document(run: &Span, source: &str) -> Span {
    info_span!(
        parent: run,
        "ingest.document",
        "operation.name" = "ingest.document",
        "resource.name" = "ingest.document",
        "span.type" = "custom",
        "document.source" = source,
        "document.pages" = Empty,
        "document.chunks" = Empty,
        "document.unchanged" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

pub fn document_done(span: &Span, pages: usize, chunks: usize, unchanged: bool, error: Option<&str>) {
    span.record("document.pages", size(pages));
    span.record("document.chunks", size(chunks));
    span.record("document.unchanged", unchanged);
    if let Some(error) = error {
        failed(span, "document_failed", &error);
    }
}

/// A step of a document: `extract` or `index.upsert`.
pub fn step(name: &'static str) -> Span {
    info_span!(
        "step",
        "otel.name" = name,
        "operation.name" = name,
        "resource.name" = name,
        "span.type" = if name == "index.upsert" { "db" } else { "custom" },
        "upstream.status_code" = Empty,
        "upstream.retries" = Empty,
        "error.type" = Empty,
        "error.message" = Empty,
        "otel.status_description" = Empty,
    )
}

/// Attributes are signed; unsigned numbers would become text.
fn size(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
