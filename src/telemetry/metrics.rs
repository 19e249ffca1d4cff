//! What Prometheus reads: one registry, typed methods, labels of bounded variety.

use std::{sync::Arc, time::Duration};

use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use super::{
    maker::Maker,
    spans::{Ingested, Outcome},
};

/// Seconds, from a cached search to a slow LLM.
pub(super) const BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

#[derive(Debug, thiserror::Error)]
#[error("the metrics failed: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Passages of a search; at most 50 are asked for.
const HITS: [f64; 7] = [0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0];
/// Cosines; below `MIN_EVIDENCE_COSINE` there is no evidence.
const SIMILARITIES: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

const VERDICTS: [&str; 3] = ["supported", "weak", "unsupported"];
const OUTCOMES: [&str; 4] = ["indexed", "unchanged", "failed", "removed"];

/// Created once by the assembly and handed to those who record. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Series>);

struct Series {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    requests_in_flight: IntGauge,
    search_seconds: HistogramVec,
    embedding_seconds: Histogram,
    llm_seconds: Histogram,
    first_token_seconds: Histogram,
    llm_tokens: IntCounterVec,
    llm_cost: CounterVec,
    llm_requests: IntCounterVec,
    answers: IntCounterVec,
    abstentions: IntCounter,
    citations: IntCounterVec,
    hits: Histogram,
    top_similarity: Histogram,
    errors: IntCounterVec,
    queue_seconds: Histogram,
    ingested: IntCounterVec,
    ingested_chunks: IntCounter,
    queue_depth: IntGauge,
    chunks: IntGauge,
    upstream_retries: IntCounterVec,
    upstream_breaker: IntGaugeVec,
    startup_seconds: GaugeVec,
    model: String,
}

impl Metrics {
    /// `version` and `build_sha` go out as the labels of `build_info`, `llm_model` as the label of
    /// the tokens; it is the configured name, as what a server calls itself has no bound.
    pub fn new(version: &str, build_sha: &str, llm_model: Option<&str>) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build = IntGaugeVec::new(
            Opts::new("build_info", "Always 1; the labels say what is running."),
            &["version", "build_sha"],
        )?;
        build.with_label_values(&[version, build_sha]).set(1);
        registry.register(Box::new(build))?;

        let make = Maker(&registry);
        let series = Series {
            requests: make.counters(
                "http_requests_total",
                "Requests answered; status 499: the client went away first.",
                &["route", "method", "status"],
            )?,
            request_seconds: make.histograms(
                "http_request_duration_seconds",
                "Time from the request's head to the reply.",
                &["route"],
            )?,
            requests_in_flight: make.gauge("http_requests_in_flight", "Requests at work now.")?,
            search_seconds: make.histograms(
                "search_duration_seconds",
                "Time in the index, without embedding the question.",
                &["mode"],
            )?,
            embedding_seconds: make.histogram(
                "embedding_duration_seconds",
                "Time to embed a question, waiting included.",
                &BUCKETS,
            )?,
            llm_seconds: make.histogram(
                "llm_duration_seconds",
                "Time of the LLM request, retries included.",
                &BUCKETS,
            )?,
            first_token_seconds: make.histogram(
                "llm_first_token_seconds",
                "Time from a streamed LLM request to its first words.",
                &BUCKETS,
            )?,
            llm_cost: make.amounts(
                "llm_cost_usd_total",
                "Price of those tokens, where prices are configured: an upper bound.",
                &["model"],
            )?,
            llm_requests: make.counters(
                "llm_requests_total",
                "Completions asked for; outcome: ok, or the kind of error.",
                &["outcome"],
            )?,
            abstentions: make
                .counter("rag_abstentions_total", "Questions not answered, as nothing similar was found.")?,
            citations: make.counters(
                "rag_citations_total",
                "Citations of answers; verdict: supported, weak or unsupported by the passage.",
                &["verdict"],
            )?,
            hits: make.histogram("retrieval_hits", "Passages a search found.", &HITS)?,
            top_similarity: make.histogram(
                "retrieval_top_similarity",
                "Cosine of a search's most similar passage to the question.",
                &SIMILARITIES,
            )?,
            errors: make.counters(
                "rag_errors_total",
                "Hops that failed: embed, search or llm; kind: the kind of error.",
                &["hop", "kind"],
            )?,
            queue_seconds: make.histogram(
                "embedding_queue_seconds",
                "Time that texts somebody waits for waited for the model.",
                &BUCKETS,
            )?,
            ingested: make.counters(
                "ingest_documents_total",
                "Documents of ingestions; outcome: indexed, unchanged, failed or removed.",
                &["outcome"],
            )?,
            ingested_chunks: make.counter("ingest_chunks_total", "Chunks written by ingestions.")?,
            llm_tokens: make.counters(
                "llm_tokens_total",
                "Tokens as the LLM server counted them.",
                &["direction", "model"],
            )?,
            answers: make.counters(
                "rag_answers_total",
                "Answers given; grounded: with a citation that holds.",
                &["mode", "grounded"],
            )?,
            queue_depth: make.gauge("embedding_queue_depth", "Jobs waiting for the model.")?,
            chunks: make.gauge("index_chunks", "Chunks that can be retrieved.")?,
            upstream_retries: make.counters(
                "upstream_retries_total",
                "Requests to another service that were tried again.",
                &["upstream"],
            )?,
            upstream_breaker: make.gauges(
                "upstream_breaker_state",
                "Circuit breaker: 0 closed, 1 half-open, 2 open.",
                &["upstream"],
            )?,
            startup_seconds: make.second_gauges(
                "startup_seconds",
                "How long the phases of starting took; those of loading overlap.",
                &["phase"],
            )?,
            model: llm_model.unwrap_or("none").to_owned(),
            registry: registry.clone(),
        };
        let metrics = Self(Arc::new(series));
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// A series that appears with its first event hides that event from `rate()`, so those that
    /// are known begin at 0.
    fn start_at_zero(&self) {
        self.count_llm_tokens(0, 0);
        self.add_llm_cost(0.0);
        self.0.llm_requests.with_label_values(&["ok"]);
        for verdict in VERDICTS {
            self.0.citations.with_label_values(&[verdict]);
        }
        for outcome in OUTCOMES {
            self.0.ingested.with_label_values(&[outcome]);
        }
        for mode in ["keyword", "vector", "hybrid"] {
            self.0.search_seconds.with_label_values(&[mode]);
        }
        for (mode, grounded) in
            [("generative", "true"), ("generative", "false"), ("extractive", "true"), ("extractive", "false")]
        {
            self.0.answers.with_label_values(&[mode, grounded]);
        }
    }

    /// A route that will be observed.
    pub fn expect_route(&self, route: &str, method: &str) {
        self.0.requests.with_label_values(&[route, known_method(method), "200"]);
        self.0.request_seconds.with_label_values(&[route]);
    }

    /// `route` is the pattern that matched, never the path as it was sent: paths have no bound.
    pub fn observe_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.0.requests.with_label_values(&[route, known_method(method), &status.to_string()]).inc();
        self.0.request_seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub fn request_started(&self) {
        self.0.requests_in_flight.inc();
    }

    pub fn request_ended(&self) {
        self.0.requests_in_flight.dec();
    }

    /// `mode`: hybrid, vector or keyword.
    pub fn observe_search(&self, mode: &'static str, took: Duration) {
        self.0.search_seconds.with_label_values(&[mode]).observe(took.as_secs_f64());
    }

    pub fn observe_embedding(&self, took: Duration) {
        self.0.embedding_seconds.observe(took.as_secs_f64());
    }

    pub fn observe_llm(&self, took: Duration) {
        self.0.llm_seconds.observe(took.as_secs_f64());
    }

    pub fn observe_first_token(&self, waited: Duration) {
        self.0.first_token_seconds.observe(waited.as_secs_f64());
    }

    pub fn count_llm_tokens(&self, input: u64, output: u64) {
        self.0.llm_tokens.with_label_values(&["input", &self.0.model]).inc_by(input);
        self.0.llm_tokens.with_label_values(&["output", &self.0.model]).inc_by(output);
    }

    /// What the tokens cost, where that is known.
    pub fn add_llm_cost(&self, usd: f64) {
        self.0.llm_cost.with_label_values(&[&self.0.model]).inc_by(usd.max(0.0));
    }

    /// `outcome`: ok, or the kind of error.
    pub fn count_llm_request(&self, outcome: &str) {
        self.0.llm_requests.with_label_values(&[outcome]).inc();
    }

    pub fn count_answer(&self, outcome: &Outcome) {
        let grounded = if outcome.grounded { "true" } else { "false" };
        self.0.answers.with_label_values(&[outcome.mode, grounded]).inc();
        self.0.abstentions.inc_by(u64::from(!outcome.evidence));
        for (verdict, count) in VERDICTS.into_iter().zip(outcome.verdicts) {
            self.0.citations.with_label_values(&[verdict]).inc_by(count as u64);
        }
    }

    /// What a search found; the similarity where there is a vector.
    pub fn observe_hits(&self, hits: usize, top_similarity: Option<f32>) {
        self.0.hits.observe(hits as f64);
        top_similarity.into_iter().for_each(|cosine| self.0.top_similarity.observe(f64::from(cosine)));
    }

    /// `hop`: embed, search or llm.
    pub fn count_error(&self, hop: &'static str, kind: &str) {
        self.0.errors.with_label_values(&[hop, kind]).inc();
    }

    pub fn observe_queue(&self, waited: Duration) {
        self.0.queue_seconds.observe(waited.as_secs_f64());
    }

    pub fn count_ingestion(&self, run: &Ingested) {
        let indexed = run.files.saturating_sub(run.unchanged + run.failed);
        for (outcome, count) in OUTCOMES.into_iter().zip([indexed, run.unchanged, run.failed, run.removed]) {
            self.0.ingested.with_label_values(&[outcome]).inc_by(count as u64);
        }
        self.0.ingested_chunks.inc_by(run.chunks);
    }

    /// A service that will be asked.
    pub fn expect_upstream(&self, name: &'static str) {
        self.0.upstream_retries.with_label_values(&[name]);
        self.upstream_breaker_state(name, 0);
    }

    /// A request to the service `name` is tried again.
    pub fn upstream_retry(&self, name: &'static str) {
        self.0.upstream_retries.with_label_values(&[name]).inc();
    }

    /// 0 closed, 1 half-open, 2 open.
    pub fn upstream_breaker_state(&self, name: &'static str, state: i64) {
        self.0.upstream_breaker.with_label_values(&[name]).set(state);
    }

    /// `phase`: tokenizer, verify, pack, load or first_inference.
    pub fn set_startup(&self, phase: &'static str, took: Duration) {
        self.0.startup_seconds.with_label_values(&[phase]).set(took.as_secs_f64());
    }

    /// Set when somebody reads, as neither changes by an event of ours.
    pub fn set_gauges(&self, queue_depth: usize, chunks: u64) {
        self.0.queue_depth.set(i64::try_from(queue_depth).unwrap_or(i64::MAX));
        self.0.chunks.set(i64::try_from(chunks).unwrap_or(i64::MAX));
    }

    pub(super) fn gather(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.registry.gather()
    }

    /// The text exposition format, version 0.0.4.
    pub fn render(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.0.registry.gather())?)
    }

    /// What `render` gives, as a `Content-Type`.
    pub fn content_type() -> String {
        TextEncoder::new().format_type().to_owned()
    }
}

/// Any token may stand where a method does, so that only the registered ones become labels.
pub(super) fn known_method(method: &str) -> &str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    if KNOWN.contains(&method) { method } else { "other" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_rendered_under_the_agreed_names() {
        let metrics = Metrics::new("1.2.3", "abc", Some("m")).unwrap();
        metrics.observe_request("/query", "POST", 200, Duration::from_millis(3));
        metrics.observe_request("unmatched", "BREW", 404, Duration::ZERO);
        metrics.observe_search("hybrid", Duration::from_millis(2));
        metrics.observe_embedding(Duration::from_millis(9));
        metrics.observe_llm(Duration::from_secs(4));
        metrics.count_llm_tokens(10, 5);
        let outcome =
            Outcome { mode: "extractive", reason: None, grounded: true, evidence: true, verdicts: [2, 1, 0] };
        metrics.count_answer(&outcome);
        metrics.count_answer(&Outcome { evidence: false, grounded: false, verdicts: [0; 3], ..outcome });
        metrics.add_llm_cost(0.25);
        metrics.count_llm_request("Timeout");
        metrics.observe_hits(3, Some(0.45));
        metrics.count_error("search", "Throttled");
        metrics.observe_queue(Duration::from_millis(4));
        let run = Ingested { files: 9, unchanged: 2, failed: 1, removed: 4, chunks: 70, interrupted: false };
        metrics.count_ingestion(&run);
        metrics.set_gauges(7, 42);
        metrics.expect_upstream("azure_search");
        metrics.upstream_retry("azure_search");
        metrics.upstream_breaker_state("azure_search", 2);
        metrics.set_startup("pack", Duration::from_millis(250));
        let text = metrics.render().unwrap();
        for line in [
            r#"http_requests_total{method="POST",route="/query",status="200"} 1"#,
            r#"http_requests_total{method="other",route="unmatched",status="404"} 1"#,
            r#"http_request_duration_seconds_bucket{route="/query",le="0.005"} 1"#,
            r#"search_duration_seconds_bucket{mode="hybrid",le="0.001"} 0"#,
            "embedding_duration_seconds_count 1",
            r#"llm_duration_seconds_bucket{le="5"} 1"#,
            r#"llm_tokens_total{direction="input",model="m"} 10"#,
            r#"rag_answers_total{grounded="true",mode="extractive"} 1"#,
            r#"rag_abstentions_total 1"#,
            r#"rag_citations_total{verdict="supported"} 2"#,
            r#"llm_cost_usd_total{model="m"} 0.25"#,
            r#"llm_requests_total{outcome="Timeout"} 1"#,
            r#"retrieval_hits_bucket{le="3"} 1"#,
            r#"retrieval_top_similarity_bucket{le="0.4"} 0"#,
            r#"rag_errors_total{hop="search",kind="Throttled"} 1"#,
            r#"embedding_queue_seconds_bucket{le="0.005"} 1"#,
            r#"ingest_documents_total{outcome="indexed"} 6"#,
            "ingest_chunks_total 70",
            "embedding_queue_depth 7",
            "index_chunks 42",
            r#"upstream_retries_total{upstream="azure_search"} 1"#,
            r#"upstream_breaker_state{upstream="azure_search"} 2"#,
            r#"startup_seconds{phase="pack"} 0.25"#,
            r#"build_info{build_sha="abc",version="1.2.3"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_known_beforehand_begins_at_zero() {
        let metrics = Metrics::new("0", "0", None).unwrap();
        metrics.expect_route("/query", "POST");
        let text = metrics.render().unwrap();
        for line in [
            r#"http_requests_total{method="POST",route="/query",status="200"} 0"#,
            r#"http_request_duration_seconds_count{route="/query"} 0"#,
            r#"search_duration_seconds_count{mode="keyword"} 0"#,
            r#"llm_tokens_total{direction="output",model="none"} 0"#,
            r#"rag_answers_total{grounded="false",mode="generative"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn resident_memory_is_measured() {
        let text = Metrics::new("0", "0", None).unwrap().render().unwrap();
        let line = text.lines().find(|line| line.starts_with("process_resident_memory_bytes")).unwrap();
        let bytes: f64 = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(bytes > 1e6, "{line}");
    }
}
