//! A client of OpenAI-compatible servers: chat completions and responses, whole and streamed.

mod dialect;
mod error;
mod events;
mod failure;
mod family;
mod stream;
mod wire;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Response, Url,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use tracing::{Instrument, Span};

use self::{
    dialect::{Dialect, Parameter},
    error::ErrorBody,
    failure::Failure,
    wire::Ask,
};
pub use self::{
    error::LlmError,
    stream::LlmStream,
    wire::{Completion, Form},
};
use super::prompt::Message;
use crate::{
    config::{LlmApi, LlmAuth, LlmConfig, LlmPrices},
    domain::{Sampling, Usage},
    telemetry::{Metrics, spans, traceparent},
    upstream::{Advice, Breaker, BreakerState, Tokens, bounded},
};

/// The name in metrics.
const UPSTREAM: &str = "llm";
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
    #[error("OPENAI_AUTH: {0}")]
    Identity(String),
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[source] reqwest::Error),
}

/// What came back, in the form that was asked for.
pub enum Reply {
    Whole(Completion),
    Growing(Box<LlmStream>),
}

/// How long [`OpenAi::reachable`] waits.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one server. Cheap to clone; clones share connections, tokens, the breaker and what was
/// learned about the server.
#[derive(Clone)]
pub struct OpenAi {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    url: Url,
    credential: Credential,
    config: LlmConfig,
    dialect: Dialect,
    breaker: Breaker,
    metrics: Metrics,
}

enum Credential {
    None,
    Header(HeaderName, HeaderValue),
    Entra(Tokens),
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenAi({})", self.inner.config.model)
    }
}

impl OpenAi {
    pub fn new(config: &LlmConfig, metrics: Metrics) -> Result<Self, OpenAiSetupError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("rag-api/", env!("CARGO_PKG_VERSION")))
            // The question and the key go to the configured address alone.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(OpenAiSetupError::Client)?;
        let path: &[&str] = match config.api {
            LlmApi::Chat => &["chat", "completions"],
            LlmApi::Responses => &["responses"],
        };
        metrics.expect_upstream(UPSTREAM);
        let inner = Inner {
            http,
            url: url_below(&config.base_url, path).ok_or(OpenAiSetupError::BaseUrl)?,
            credential: Credential::new(&config.auth)?,
            config: config.clone(),
            dialect: Dialect::new(config),
            breaker: Breaker::default(),
            metrics,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks for one completion; see [`OpenAi::ask`].
    pub async fn complete(
        &self,
        messages: &[Message],
        form: Form,
        deadline: Instant,
    ) -> Result<Completion, LlmError> {
        match self.ask(messages, form, Sampling::default(), deadline).await? {
            Reply::Whole(completion) => Ok(completion),
            Reply::Growing(_) => Err(LlmError::Malformed { reason: "it is a stream" }),
        }
    }

    /// Tries again after passing failures as often as configured, and never goes on past `deadline`. A stream
    /// is returned with its first words, and is not tried again after them; it ends by `deadline`, and before
    /// it after a silence as long as a try may take.
    pub async fn ask(
        &self,
        messages: &[Message],
        form: Form,
        sampling: Sampling,
        deadline: Instant,
    ) -> Result<Reply, LlmError> {
        let span = spans::chat(self.model());
        let started = Instant::now();
        let result = self.tries(messages, form, sampling, deadline).instrument(span.clone()).await;
        match &result {
            Ok(Reply::Whole(completion)) => {
                self.inner.breaker.succeeded();
                self.completed(&span, completion);
            }
            Ok(Reply::Growing(_)) => {
                spans::first_token(&span, started.elapsed());
                self.inner.metrics.observe_first_token(started.elapsed());
            }
            Err(error) => spans::failure(&span, error),
        }
        result
    }

    async fn tries(
        &self,
        messages: &[Message],
        form: Form,
        sampling: Sampling,
        deadline: Instant,
    ) -> Result<Reply, LlmError> {
        let Inner { config, dialect, breaker, metrics, .. } = &*self.inner;
        let config = &LlmConfig {
            max_output_tokens: sampling.max_output_tokens.or(config.max_output_tokens),
            temperature: sampling.temperature.or(config.temperature),
            ..config.clone()
        };
        let mut retry = 0;
        let mut plain = false;
        loop {
            breaker.admit(Instant::now()).map_err(|_| LlmError::CircuitOpen)?;
            let mut sent = dialect.current(config);
            if plain {
                sent = sent.without(Parameter::Schema);
            }
            let ask = Ask { config, messages, sent, form };
            let failure = match self.attempt(&ask, deadline).await {
                Ok(reply) => return Ok(reply),
                Err(Failure { body: Some(error), .. }) if dialect.learn(sent, &error) => continue,
                // The model was cramped by the schema, so it is asked once more without.
                Err(Failure { error: LlmError::Malformed { .. }, .. })
                    if form == Form::Sentences && sent.has(Parameter::Schema) =>
                {
                    plain = true;
                    continue;
                }
                Err(failure) => failure,
            };
            self.inner.breaker_failed(&failure.error);
            let wait = failure.advice.delay(retry, fastrand::f64());
            let again = failure.passing && retry < config.max_retries;
            match wait.filter(|wait| again && Instant::now() + *wait < deadline) {
                Some(wait) => {
                    retry += 1;
                    spans::upstream_retry(retry);
                    metrics.upstream_retry(UPSTREAM);
                    tracing::warn!(retry, wait_ms = wait.as_millis() as u64, error = %failure.error, "an llm request is tried again");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(failure.error),
            }
        }
    }

    async fn attempt(&self, ask: &Ask<'_>, deadline: Instant) -> Result<Reply, Failure> {
        let Inner { http, url, config, credential, .. } = &*self.inner;
        let left = deadline.saturating_duration_since(Instant::now()).min(config.timeout);
        let exchange = async {
            let mut request =
                http.post(url.clone()).header(CONTENT_TYPE, "application/json").body(ask.body());
            if let Some((name, value)) = credential.header().await.map_err(Failure::lasting)? {
                request = request.header(name, value);
            }
            if ask.form == Form::Stream {
                // Compression would hold words back until a block is full.
                request = request.header(ACCEPT_ENCODING, "identity");
            }
            if let Some(parent) = traceparent() {
                request = request.header("traceparent", parent);
            }
            let mut response = request.send().await.map_err(|error| Failure::transport(&error))?;
            let status = response.status().as_u16();
            spans::upstream_status(status);
            if response.status().is_success() {
                return self.read(ask, response, deadline).await;
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

    /// What the passages of one prompt may take.
    pub fn prompt_tokens(&self) -> usize {
        self.inner.config.prompt_tokens
    }

    async fn read(&self, ask: &Ask<'_>, mut response: Response, deadline: Instant) -> Result<Reply, Failure> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let streams = ask.form == Form::Stream;
        if streams && !kind.is_some_and(|kind| kind.starts_with("application/json")) {
            let stream = LlmStream::open(self.clone(), response, Span::current(), deadline).await?;
            return Ok(Reply::Growing(Box::new(stream)));
        }
        let body = bounded(&mut response, MAX_BODY_BYTES)
            .await
            .map_err(|error| Failure::transport(&error))?
            .ok_or(Failure::lasting(LlmError::Malformed { reason: "it is larger than 8 MiB" }))?;
        let completion = ask.completion(&body).map_err(Failure::lasting)?;
        if streams {
            // The server cannot stream: its reply is one piece.
            let stream = LlmStream::whole(self.clone(), completion, Span::current());
            return Ok(Reply::Growing(Box::new(stream)));
        }
        Ok(Reply::Whole(completion))
    }

    /// Whether the server answers and takes the key; asks for its list of models, which costs nothing.
    /// A server without such a list counts as reached.
    pub async fn reachable(&self) -> Result<(), LlmError> {
        let Inner { http, config, credential, .. } = &*self.inner;
        let url = url_below(&config.base_url, &["models"])
            .ok_or_else(|| LlmError::Rejected { reason: "OPENAI_BASE_URL is no address".into() })?;
        let mut request = http.get(url).timeout(config.timeout.min(CHECK_TIMEOUT));
        if let Some((name, value)) = credential.header().await? {
            request = request.header(name, value);
        }
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

    /// How requests to the server are faring.
    pub fn breaker(&self) -> BreakerState {
        self.inner.breaker.state()
    }

    /// Usage with its price, by the model that answered, where its prices are configured.
    pub fn priced(&self, usage: Usage, model: Option<&str>) -> Usage {
        let table = &self.inner.config.prices;
        let prices = model.and_then(|model| table.of(model)).or_else(|| table.of(self.model()));
        let cost = |LlmPrices { input, cached_input, output }: LlmPrices| {
            let cached = usage.cached_input_tokens.min(usage.input_tokens);
            let fresh = usage.input_tokens - cached;
            (fresh as f64 * input + cached as f64 * cached_input + usage.output_tokens as f64 * output) / 1e6
        };
        Usage { cost_usd: prices.map(cost), ..usage }
    }

    /// The configured name, for replies that name none.
    pub fn model(&self) -> &str {
        &self.inner.config.model
    }

    fn completed(&self, span: &Span, completion: &Completion) {
        let usage = completion.usage.map(|usage| self.priced(usage, completion.model.as_deref()));
        let completed = spans::Completed {
            model: completion.model.as_deref(),
            finish_reason: completion.finish_reason.as_deref(),
            tokens: usage.map(|usage| (usage.input_tokens, usage.output_tokens)),
            cost_usd: usage.and_then(|usage| usage.cost_usd),
        };
        spans::completed(span, completed);
    }
}

impl Inner {
    /// A refusal is an answer; only a server that is ill is left alone for a while.
    fn breaker_failed(&self, error: &LlmError) {
        match error {
            LlmError::Unavailable { .. } | LlmError::Timeout => {
                self.breaker.failed(Instant::now(), fastrand::f64());
            }
            _ => self.breaker.succeeded(),
        }
        self.metrics.upstream_breaker_state(UPSTREAM, self.breaker.state().as_number());
    }
}

impl Credential {
    fn new(auth: &LlmAuth) -> Result<Self, OpenAiSetupError> {
        let header = |name: HeaderName, text: String| {
            let mut value = HeaderValue::try_from(text).map_err(|_| OpenAiSetupError::ApiKey)?;
            value.set_sensitive(true);
            Ok(Self::Header(name, value))
        };
        match auth {
            LlmAuth::None => Ok(Self::None),
            LlmAuth::Bearer(key) => header(AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
            LlmAuth::ApiKey(key) => {
                header(HeaderName::from_static("api-key"), key.expose_secret().to_owned())
            }
            LlmAuth::Entra(config) => Tokens::new(config)
                .map(Self::Entra)
                .map_err(|error| OpenAiSetupError::Identity(error.to_string())),
        }
    }

    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, LlmError> {
        match self {
            Self::None => Ok(None),
            Self::Header(name, value) => Ok(Some((name.clone(), value.clone()))),
            Self::Entra(tokens) => {
                let token: SecretString =
                    tokens.get().await.map_err(|error| LlmError::NoToken { reason: error.to_string() })?;
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| LlmError::NoToken { reason: "it is no header".into() })?;
                value.set_sensitive(true);
                Ok(Some((AUTHORIZATION, value)))
            }
        }
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
