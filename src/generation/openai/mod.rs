//! A client of OpenAI-compatible chat completions.

mod dialect;
mod error;
mod wire;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect,
};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use tracing::Instrument;

use self::{dialect::Dialect, error::ErrorBody};
pub use self::{error::LlmError, wire::Completion};
use super::prompt::Message;
use crate::{
    config::{LlmConfig, LlmPrices},
    domain::Usage,
    telemetry::{spans, traceparent},
    upstream::{Advice, bounded},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A reply of a model is kilobytes; a larger body is no reply of a model.
const MAX_BODY_BYTES: usize = 8 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum OpenAiSetupError {
    #[error("OPENAI_BASE_URL is not an address that requests can go to")]
    BaseUrl,
    #[error("OPENAI_API_KEY holds characters that a header cannot carry")]
    ApiKey,
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[source] reqwest::Error),
}

/// How long [`OpenAi::reachable`] waits.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one server. Cheap to clone; clones share connections and what was learned about the server.
#[derive(Clone)]
pub struct OpenAi {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    url: Url,
    config: LlmConfig,
    dialect: Dialect,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAi({})", self.inner.config.model)
    }
}

impl OpenAi {
    pub fn new(config: &LlmConfig) -> Result<Self, OpenAiSetupError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = &config.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| OpenAiSetupError::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("rag-api/", env!("CARGO_PKG_VERSION")))
            // The question and the key go to the configured address alone.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(OpenAiSetupError::Client)?;
        let url = url_below(&config.base_url, &["chat", "completions"]).ok_or(OpenAiSetupError::BaseUrl)?;
        Ok(Self { inner: Arc::new(Inner { http, url, config: config.clone(), dialect: Dialect::default() }) })
    }

    /// Asks for one completion. Tries again after passing failures as often as configured, and never
    /// goes on past `deadline`.
    pub async fn complete(&self, messages: &[Message], deadline: Instant) -> Result<Completion, LlmError> {
        let span = spans::chat(self.model());
        let result = self.tries(messages, deadline).instrument(span.clone()).await;
        match &result {
            Ok(completion) => {
                let usage = completion.usage.map(|usage| self.priced(usage));
                let completed = spans::Completed {
                    model: completion.model.as_deref(),
                    finish_reason: completion.finish_reason.as_deref(),
                    tokens: usage.map(|usage| (usage.input_tokens, usage.output_tokens)),
                    cost_usd: usage.and_then(|usage| usage.cost_usd),
                };
                spans::completed(&span, completed);
            }
            Err(error) => spans::failure(&span, error),
        }
        result
    }

    async fn tries(&self, messages: &[Message], deadline: Instant) -> Result<Completion, LlmError> {
        let Inner { config, dialect, .. } = &*self.inner;
        let mut retry = 0;
        loop {
            let sent = dialect.current();
            let body = wire::request(config, messages, sent).to_string();
            let failure = match self.attempt(body, deadline).await {
                Ok(completion) => return Ok(completion),
                Err(Failure { body: Some(error), .. }) if dialect.learn(config, sent, &error) => continue,
                Err(failure) => failure,
            };
            let wait = failure.advice.delay(retry, fastrand::f64());
            let again = failure.passing && retry < config.max_retries;
            match wait.filter(|wait| again && Instant::now() + *wait < deadline) {
                Some(wait) => {
                    retry += 1;
                    spans::upstream_retry(retry);
                    tracing::warn!(retry, wait_ms = wait.as_millis() as u64, error = %failure.error, "an llm request is tried again");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(failure.error),
            }
        }
    }

    /// Whether the server answers and takes the key; asks for its list of models, which costs nothing.
    /// A server without such a list counts as reached.
    pub async fn reachable(&self) -> Result<(), LlmError> {
        let Inner { http, config, .. } = &*self.inner;
        let url = url_below(&config.base_url, &["models"])
            .ok_or_else(|| LlmError::Rejected { reason: "OPENAI_BASE_URL is no address".into() })?;
        let request = http.get(url).timeout(config.timeout.min(CHECK_TIMEOUT));
        match request.send().await {
            Err(error) if error.is_timeout() => Err(LlmError::Timeout),
            Err(_) => Err(LlmError::Unavailable { reason: "no connection".into() }),
            Ok(reply) => match reply.status().as_u16() {
                status @ (401 | 403) => Err(LlmError::Unauthorized { status }),
                status @ 500.. => Err(LlmError::Unavailable { reason: format!("status {status}") }),
                _ => Ok(()),
            },
        }
    }

    /// Usage with its price, where prices are configured: an upper bound, as cached tokens cost less.
    pub fn priced(&self, usage: Usage) -> Usage {
        let cost = |LlmPrices { input, output }: LlmPrices| {
            (usage.input_tokens as f64 * input + usage.output_tokens as f64 * output) / 1e6
        };
        Usage { cost_usd: self.inner.config.prices.map(cost), ..usage }
    }

    /// The configured name, for replies that name none.
    pub fn model(&self) -> &str {
        &self.inner.config.model
    }

    async fn attempt(&self, body: String, deadline: Instant) -> Result<Completion, Failure> {
        let Inner { http, url, config, .. } = &*self.inner;
        let left = deadline.saturating_duration_since(Instant::now()).min(config.timeout);
        let exchange = async {
            let mut request = http.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
            if let Some(parent) = traceparent() {
                request = request.header("traceparent", parent);
            }
            let mut response = request.send().await.map_err(|error| Failure::transport(&error))?;
            let status = response.status().as_u16();
            spans::upstream_status(status);
            if response.status().is_success() {
                let body = bounded(&mut response, MAX_BODY_BYTES)
                    .await
                    .map_err(|error| Failure::transport(&error))?
                    .ok_or_else(|| {
                        Failure::lasting(LlmError::Malformed { reason: "it is larger than 8 MiB" })
                    })?;
                return wire::completion(&body).map_err(Failure::lasting);
            }
            let advice = Advice::of(response.headers(), OffsetDateTime::now_utc());
            // The status says enough where the body cannot be read.
            let body = bounded(&mut response, MAX_ERROR_BYTES).await.ok().flatten().unwrap_or_default();
            Err(Failure::refused(status, advice, ErrorBody::parse(&body)))
        };
        tokio::time::timeout(left, exchange)
            .await
            .unwrap_or_else(|_| Err(Failure::passing(LlmError::Timeout)))
    }
}

/// One failed try.
struct Failure {
    error: LlmError,
    /// Another try may succeed.
    passing: bool,
    advice: Advice,
    /// Of a refusal that may be about parameters.
    body: Option<Box<ErrorBody>>,
}

impl Failure {
    fn passing(error: LlmError) -> Self {
        Self { error, passing: true, advice: Advice::default(), body: None }
    }

    fn lasting(error: LlmError) -> Self {
        Self {
            passing: matches!(error, LlmError::Throttled { .. } | LlmError::Unavailable { .. }),
            ..Self::passing(error)
        }
    }

    /// The text of a transport error holds the address, which may hold a secret, so only its kind goes on.
    fn transport(error: &reqwest::Error) -> Self {
        let reason = match error {
            error if error.is_timeout() => return Self::passing(LlmError::Timeout),
            error if error.is_connect() => "no connection",
            error if error.is_body() || error.is_decode() => "the reply broke off",
            error if error.is_builder() => {
                return Self::lasting(LlmError::Rejected { reason: "not a request".into() });
            }
            _ => "the exchange broke off",
        };
        Self::passing(LlmError::Unavailable { reason: reason.to_owned() })
    }

    fn refused(status: u16, advice: Advice, body: ErrorBody) -> Self {
        let passing = advice.retries(status) && !body.is_quota();
        let about_parameters = matches!(status, 400 | 422);
        let kept = about_parameters.then(|| Box::new(body.clone()));
        Self { error: body.into_error(status, advice.after), passing, advice, body: kept }
    }
}

/// Appends to the path, so that a query such as `?api-version=…` stays behind it.
fn url_below(base: &str, path: &[&str]) -> Option<Url> {
    let mut url = Url::parse(base).ok().filter(|url| url.has_host())?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_appended_before_a_query() {
        let url = |base| url_below(base, &["chat", "completions"]).map(String::from);
        assert_eq!(url("http://h:1/v1").as_deref(), Some("http://h:1/v1/chat/completions"));
        assert_eq!(url("https://h/v1/").as_deref(), Some("https://h/v1/chat/completions"));
        assert_eq!(url("https://h").as_deref(), Some("https://h/chat/completions"));
        assert_eq!(
            url("https://h/d/x?api-version=1").as_deref(),
            Some("https://h/d/x/chat/completions?api-version=1")
        );
        assert_eq!(url("https://"), None);
        assert_eq!(url("nonsense"), None);
    }
}
