//! Sends requests to the service: credential, time limits, retries, circuit breaker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Body, Client, Request, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use super::{call::Call, error::Failure};
use crate::{
    config::{AzureAuth, AzureConfig},
    retrieval::RetrievalError,
    telemetry::{Metrics, spans, traceparent},
    upstream::{Advice, Breaker, BreakerState, Tokens, bounded},
};

/// The name in metrics.
const UPSTREAM: &str = "azure_search";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A thousand passages with their vectors are a tenth of this.
const MAX_BODY_BYTES: usize = 64 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;

/// What the requests are for: it decides which key they carry and how patient they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Documents and definitions. Nobody waits for an answer, so these wait out throttling and an open
    /// breaker up to their deadline, which is [`AzureConfig::WRITE_PATIENCE`] times as long.
    Write,
}

/// What came back: what the caller wanted, or a status it said it would handle.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply<T> {
    Done(T),
    Status(u16),
}

impl<T> Reply<T> {
    pub(super) fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Status(_) => None,
        }
    }
}

/// Cheap to clone; clones share connections, tokens and the breaker.
#[derive(Clone)]
pub(super) struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    http: Client,
    endpoint: String,
    api_version: String,
    credential: Credential,
    access: Access,
    timeout: Duration,
    deadline: Duration,
    max_retries: u32,
    breaker: Breaker,
    metrics: Metrics,
}

enum Credential {
    Key(HeaderValue),
    Entra(Tokens),
}

impl Transport {
    pub(super) fn new(
        config: &AzureConfig,
        access: Access,
        metrics: Metrics,
    ) -> Result<Self, RetrievalError> {
        let rejected = |reason: &str| RetrievalError::Rejected { reason: reason.to_owned() };
        if Url::parse(&config.endpoint).ok().is_none_or(|url| !url.has_host()) {
            return Err(rejected("AZURE_SEARCH_ENDPOINT is not an address that requests can go to"));
        }
        let mut http = Client::builder()
            .user_agent(concat!("rag-api/", env!("CARGO_PKG_VERSION")))
            // The question and the credential go to the configured address alone.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT);
        if config.endpoint.starts_with("http://") {
            // Allowed towards this machine only, and a proxy would be another one.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|_| rejected("the HTTP client cannot be set up"))?;
        let patience = match access {
            Access::Read => 1,
            Access::Write => AzureConfig::WRITE_PATIENCE,
        };
        metrics.expect_upstream(UPSTREAM);
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                endpoint: config.endpoint.clone(),
                api_version: config.api_version.clone(),
                credential: Credential::new(&config.auth, access)?,
                access,
                timeout: config.timeout * patience,
                deadline: config.deadline * patience,
                max_retries: config.max_retries,
                breaker: Breaker::default(),
                metrics,
            }),
        })
    }

    /// When a request that starts now, with all its tries and pages, must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.inner.deadline
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.inner.breaker.state()
    }

    /// Sends until it succeeds, fails for good, was tried often enough, or `deadline` is near. Every
    /// request of ours has the same effect once or twice, so each may be sent again. `read` gives
    /// `None` for a body that is not what was asked for, which counts as a passing failure.
    pub(super) async fn send<T>(
        &self,
        call: Call,
        deadline: Instant,
        read: fn(&[u8]) -> Option<T>,
    ) -> Result<Reply<T>, RetrievalError> {
        let Inner { breaker, metrics, max_retries, .. } = &*self.inner;
        let expected = call.expected;
        let request = self.inner.request(call)?;
        let patient = self.inner.access == Access::Write;
        let (mut retry, mut last) = (0, None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let credential = tokio::time::timeout(left, self.inner.credential.header());
            let credential = credential.await.map_err(|_| RetrievalError::Timeout)??;
            if let Err(wait) = breaker.admit(Instant::now()) {
                if patient && Instant::now() + wait < deadline {
                    tokio::time::sleep(wait).await;
                    continue;
                }
                let reason = "it failed several times in a row and is left alone for some seconds".to_owned();
                return Err(last.unwrap_or(RetrievalError::Unavailable { reason }));
            }
            metrics.upstream_breaker_state(UPSTREAM, breaker.state().as_number());
            let attempt = self.inner.attempt(&request, credential, expected, read, deadline).await;
            match &attempt {
                Err(failure) if failure.passing => breaker.failed(Instant::now(), fastrand::f64()),
                _ => breaker.succeeded(),
            }
            metrics.upstream_breaker_state(UPSTREAM, breaker.state().as_number());
            let failure = match attempt {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let advice = Advice { should_retry: None, after: failure.retry_after };
            let again = failure.passing && (retry < *max_retries || (patient && failure.throttled));
            let wait = advice.delay(retry, fastrand::f64());
            match wait.filter(|wait| again && Instant::now() + *wait < deadline) {
                Some(wait) => {
                    retry += 1;
                    metrics.upstream_retry(UPSTREAM);
                    spans::upstream_retry(retry);
                    tracing::warn!(retry, wait_ms = wait.as_millis() as u64, error = %failure.error, "a search service request is tried again");
                    last = Some(failure.error);
                    tokio::time::sleep(wait).await;
                }
                None => return Err(failure.error),
            }
        }
    }
}

impl Inner {
    fn request(&self, call: Call) -> Result<Request, RetrievalError> {
        let refused = || RetrievalError::Rejected { reason: "not a request".into() };
        let more = call.query.map(|query| format!("&{query}")).unwrap_or_default();
        let url = format!("{}{}?api-version={}{more}", self.endpoint, call.path, self.api_version);
        let mut request = Request::new(call.method, Url::parse(&url).map_err(|_| refused())?);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(call.accept.as_str()));
        for (name, value) in call.headers {
            let value = HeaderValue::try_from(value).map_err(|_| refused())?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        if let Some(body) = call.body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(Body::from(body));
        }
        Ok(request)
    }

    async fn attempt<T>(
        &self,
        request: &Request,
        (name, value): (HeaderName, HeaderValue),
        expected: &[u16],
        read: fn(&[u8]) -> Option<T>,
        deadline: Instant,
    ) -> Result<Reply<T>, Failure> {
        let not_cloned = || Failure::lasting(RetrievalError::Rejected { reason: "not a request".into() });
        let mut request = request.try_clone().ok_or_else(not_cloned)?;
        request.headers_mut().insert(name, value);
        if let Ok(id) = HeaderValue::try_from(request_id()) {
            request.headers_mut().insert("x-ms-client-request-id", id);
        }
        if let Some(Ok(parent)) = traceparent().map(HeaderValue::try_from) {
            request.headers_mut().insert("traceparent", parent);
        }
        let exchange = async {
            let mut response =
                self.http.execute(request).await.map_err(|error| Failure::transport(&error))?;
            let status = response.status().as_u16();
            spans::upstream_status(status);
            if expected.contains(&status) {
                return Ok(Reply::Status(status));
            }
            if response.status().is_success() {
                let body = bounded(&mut response, MAX_BODY_BYTES)
                    .await
                    .map_err(|error| Failure::transport(&error))?
                    .ok_or_else(|| {
                        let reason = "the reply is larger than 64 MiB".to_owned();
                        Failure::lasting(RetrievalError::Rejected { reason })
                    })?;
                return read(&body).map(Reply::Done).ok_or_else(|| {
                    let reason = "the reply is not one of a search service".to_owned();
                    Failure::passing(RetrievalError::Unavailable { reason })
                });
            }
            let after = Advice::of(response.headers(), OffsetDateTime::now_utc()).after;
            // The status says enough where the body cannot be read.
            let body = bounded(&mut response, MAX_ERROR_BYTES).await.ok().flatten().unwrap_or_default();
            Err(Failure::refused(status, after, &body, self.credential.advice(self.access)))
        };
        let left = deadline.saturating_duration_since(Instant::now()).min(self.timeout);
        tokio::time::timeout(left, exchange)
            .await
            .unwrap_or_else(|_| Err(Failure::passing(RetrievalError::Timeout)))
    }
}

impl Credential {
    fn new(auth: &AzureAuth, access: Access) -> Result<Self, RetrievalError> {
        let key = match (auth, access) {
            (AzureAuth::Entra(entra), _) => {
                return Tokens::new(entra).map(Self::Entra).map_err(|error| unavailable(&error));
            }
            (AzureAuth::Key { admin, query }, Access::Read) => query.as_ref().or(admin.as_ref()),
            (AzureAuth::Key { admin, .. }, Access::Write) => admin.as_ref(),
        };
        let reason = "writing needs AZURE_SEARCH_API_KEY; AZURE_SEARCH_QUERY_KEY only reads".to_owned();
        let key = key.ok_or(RetrievalError::Rejected { reason })?;
        sensitive(key.expose_secret()).map(Self::Key)
    }

    async fn header(&self) -> Result<(HeaderName, HeaderValue), RetrievalError> {
        match self {
            Self::Key(key) => Ok((HeaderName::from_static("api-key"), key.clone())),
            Self::Entra(tokens) => {
                let token: SecretString = tokens.get().await.map_err(|error| unavailable(&error))?;
                Ok((AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose_secret()))?))
            }
        }
    }

    fn advice(&self, access: Access) -> &'static str {
        match (self, access) {
            (Self::Key(_), Access::Read) => "check AZURE_SEARCH_QUERY_KEY or AZURE_SEARCH_API_KEY",
            (Self::Key(_), Access::Write) => "check AZURE_SEARCH_API_KEY; it must be an admin key",
            (Self::Entra(_), Access::Read) => "give the identity the role Search Index Data Reader",
            (Self::Entra(_), Access::Write) => {
                "give the identity the roles Search Index Data Contributor and Search Service Contributor"
            }
        }
    }
}

fn unavailable(error: &crate::upstream::EntraError) -> RetrievalError {
    RetrievalError::Unavailable { reason: error.to_string() }
}

fn sensitive(text: &str) -> Result<HeaderValue, RetrievalError> {
    let reason = "the credential holds characters that a header cannot carry".to_owned();
    let mut value = HeaderValue::try_from(text).map_err(|_| RetrievalError::Rejected { reason })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A fresh random UUID (version 4), which the service logs beside its own.
fn request_id() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76 | 0x3 << 62)) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids() {
        for _ in 0..100 {
            let id = request_id();
            let bytes = id.as_bytes();
            assert_eq!((id.len(), bytes[14]), (36, b'4'), "{id}");
            assert!(b"89ab".contains(&bytes[19]), "{id}");
        }
    }
}
