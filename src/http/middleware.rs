//! What surrounds every request: its trace id, its log line, its time limit, its place in the queue.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span};

use super::{
    body,
    problem::{Code, Problem},
    streamed::Streamed,
};
use crate::{
    config::{IncomingTrace, ServerConfig},
    telemetry::{Metrics, TraceId, spans},
};

const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
/// What other servers log when the client went away before the reply; no reply carries it.
const CLIENT_GONE: u16 = 499;

/// The limits all requests share.
pub struct Gate {
    metrics: Metrics,
    slots: Arc<Semaphore>,
    max_body_bytes: usize,
    request_timeout: Duration,
    incoming: IncomingTrace,
}

impl Gate {
    pub fn new(config: &ServerConfig, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            slots: Arc::new(Semaphore::new(config.max_concurrency)),
            max_body_bytes: config.max_body_bytes,
            request_timeout: config.request_timeout,
            incoming: config.incoming_trace,
        })
    }
}

/// Outermost: whatever happens within, exactly one reply with a trace id, one log line and one
/// count come out.
pub async fn observe(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let watch = Watch::start(
        gate.metrics.clone(),
        route.unwrap_or_else(|| "unmatched".to_owned()),
        request.method().to_string(),
    );
    let openai = request.uri().path().starts_with("/v1/");
    let span = spans::request(&watch.method, &watch.route, watch.is_probe());
    let trace_id = TraceId::of_request(&span, gate.incoming, |name| only(request.headers(), name));
    request.extensions_mut().insert(trace_id);
    async move {
        let work = tokio::time::timeout(gate.request_timeout, next.run(request));
        let mut response = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                let seconds = gate.request_timeout.as_secs_f64();
                let detail = format!("the request took longer than {seconds} seconds");
                Problem::new(Code::Timeout, detail).into_response()
            }
            // The panic hook has logged it, under the same trace id.
            Err(_) => Problem::internal(Some("a handler panicked".to_owned())).into_response(),
        };
        let refusal = response.extensions_mut().remove::<Problem>();
        let refusal = refusal.or_else(|| Problem::of_status(response.status()));
        if let Some(problem) = &refusal {
            match openai {
                true => problem.write_openai(&mut response),
                false => problem.write_into(&mut response, trace_id),
            }
        }
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&trace_id.to_string()) {
            headers.insert(X_TRACE_ID, value);
        }
        if let Some(streamed) = response.extensions_mut().remove::<Streamed>() {
            return streamed.watched(response, watch);
        }
        watch.finish(response.status().as_u16(), refusal.as_ref());
        response
    }
    .instrument(span)
    .await
}

/// For the routes that do work: takes the body in, then a place among those at work; there is no
/// queue here, as whoever would wait is better off asking another replica.
///
/// The body comes first, so that slow senders take up connections but no places.
pub async fn admit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // Bodies are read as they come: a compressed one would be reported as broken JSON.
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Problem::invalid("send the body without Content-Encoding").into_response();
    }
    let bytes = match body::read(&parts.headers, body, gate.max_body_bytes).await {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let Ok(place) = gate.slots.clone().try_acquire_owned() else {
        return Problem::overloaded().into_response();
    };
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if let Some(streamed) = response.extensions().get::<Streamed>() {
        streamed.holds(place);
    }
    response
}

/// A header that occurs once: W3C Trace Context tells to ignore several.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (first, more) = (values.next()?, values.next());
    if more.is_some() { None } else { first.to_str().ok() }
}

/// One request under way. Dropped before it is finished, it reports that the client went away.
pub struct Watch {
    metrics: Metrics,
    route: String,
    method: String,
    started: Instant,
    finished: bool,
}

impl Watch {
    fn start(metrics: Metrics, route: String, method: String) -> Self {
        metrics.request_started();
        Self { metrics, route, method, started: Instant::now(), finished: false }
    }

    /// Platforms probe every few seconds.
    fn is_probe(&self) -> bool {
        matches!(self.route.as_str(), "/health" | "/ready" | "/health/ready" | "/metrics")
    }

    pub fn finish(mut self, status: u16, refusal: Option<&Problem>) {
        self.finished = true;
        let took = self.started.elapsed();
        self.metrics.observe_request(&self.route, &self.method, status, took);
        let duration_ms = took.as_micros() as f64 / 1e3;
        // A detail may quote the question, so only the code is logged.
        let code = refusal.map(|problem| problem.code.as_str());
        let cause = refusal.and_then(|problem| problem.cause.as_deref());
        spans::responded(&Span::current(), status, code, cause);
        if status == 200
            && let Some(code) = code
        {
            // The head of a stream had gone out when it failed. Datadog goes by the status alone, others by this.
            spans::failed(&Span::current(), code, &cause.unwrap_or(code));
        }
        match status {
            500 => tracing::error!(status, duration_ms, code, error = cause, "request failed"),
            200 if refusal.is_some() => {
                tracing::warn!(status, duration_ms, code, error = cause, "stream broken off");
            }
            501.. => tracing::warn!(status, duration_ms, code, error = cause, "request failed"),
            200 if self.is_probe() => {
                tracing::debug!(status, duration_ms, "request answered");
            }
            _ => tracing::info!(status, duration_ms, code, "request answered"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.metrics.request_ended();
        if !self.finished {
            let took = self.started.elapsed();
            self.metrics.observe_request(&self.route, &self.method, CLIENT_GONE, took);
            let duration_ms = took.as_micros() as f64 / 1e3;
            spans::responded(&Span::current(), CLIENT_GONE, None, None);
            tracing::info!(status = CLIENT_GONE, duration_ms, "client went away");
        }
    }
}
