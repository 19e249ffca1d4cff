//! The one table from what went wrong to what the caller is told (RFC 9457).

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    domain::InvalidInput,
    rag::{EmbeddingError, RagError, RetrievalError},
    telemetry::TraceId,
};

/// Characters of a `detail`; parsers quote what they were given, and that may be long.
const MAX_DETAIL: usize = 400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    PayloadTooLarge,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RateLimited,
    Overloaded,
    NotReady,
    EmbeddingUnavailable,
    RetrievalUnavailable,
    GenerationFailed,
    Timeout,
    Internal,
}

impl Code {
    /// Status, `code`, `title`.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => (S::UNPROCESSABLE_ENTITY, "invalid_request", "The request is not valid"),
            Self::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too large"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "Credentials are missing or wrong"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is no such route"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The route does not take this method")
            }
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "The service is overloaded"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "The service is not ready"),
            Self::EmbeddingUnavailable => {
                (S::SERVICE_UNAVAILABLE, "embedding_unavailable", "The embedding model is unavailable")
            }
            Self::RetrievalUnavailable => {
                (S::SERVICE_UNAVAILABLE, "retrieval_unavailable", "The index is unavailable")
            }
            Self::GenerationFailed => {
                (S::BAD_GATEWAY, "generation_failed", "The language model gave no answer")
            }
            Self::Timeout => (S::GATEWAY_TIMEOUT, "timeout", "The request took too long"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "The service failed"),
        }
    }

    pub fn status(self) -> StatusCode {
        self.row().0
    }

    pub fn as_str(self) -> &'static str {
        self.row().1
    }
}

/// A refusal. It becomes a body in the outermost middleware, where the trace id is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    /// For the caller: no paths, no upstream bodies, no keys.
    pub detail: Cow<'static, str>,
    /// For the log only.
    pub cause: Option<String>,
    pub retry_after_seconds: Option<u32>,
    /// For `/ready` only.
    pub missing: Vec<String>,
    /// For clients of OpenAI's API, who have names of their own.
    pub openai: Option<Box<OpenAiNames>>,
}

/// What is wrong, as clients of OpenAI's API look it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiNames {
    pub param: String,
    code: &'static str,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let (cause, missing, openai) = (None, Vec::new(), None);
        Self { code, detail: detail.into(), cause, retry_after_seconds: None, missing, openai }
    }

    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// A parameter of OpenAI's API with a value that cannot be taken.
    pub fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::invalid(format!("{name} {reason}")).named(name, "invalid_value")
    }

    /// A parameter of OpenAI's API that has no meaning here and would be missed.
    pub fn unsupported(name: &str) -> Self {
        let detail = format!("Unsupported parameter: '{name}' is not supported with this model.");
        Self::invalid(detail).named(name, "unsupported_parameter")
    }

    /// A model of OpenAI's API that is not here.
    pub fn no_model(detail: String) -> Self {
        Self::new(Code::NotFound, detail).named("model", "model_not_found")
    }

    fn named(self, param: &str, code: &'static str) -> Self {
        Self { openai: Some(Box::new(OpenAiNames { param: param.to_owned(), code })), ..self }
    }

    pub fn overloaded() -> Self {
        let detail = "too many requests are at work; try again shortly";
        Self { retry_after_seconds: Some(1), ..Self::new(Code::Overloaded, detail) }
    }

    /// For replies of axum itself, which know no more than a status.
    pub fn of_status(status: StatusCode) -> Option<Self> {
        if !status.is_client_error() && !status.is_server_error() {
            return None;
        }
        Some(match status {
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "this route does not take this method; the Allow header names those it takes",
            ),
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::PayloadTooLarge, "the body is too large"),
            status if status.is_client_error() => Self::invalid("the request cannot be read"),
            _ => Self::internal(None),
        })
    }

    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "there is no such route; GET / lists the routes")
    }

    pub fn internal(cause: Option<String>) -> Self {
        let detail = "the service failed; its log has the cause under this trace_id";
        Self { cause, ..Self::new(Code::Internal, detail) }
    }

    /// What the caller reads.
    pub fn members(&self, trace_id: TraceId) -> impl Serialize {
        let (status, code, title) = self.code.row();
        Members {
            kind: format!("urn:rag-api:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: shortened(&self.detail),
            code,
            trace_id: trace_id.to_string(),
            missing: &self.missing,
        }
    }

    /// The same as OpenAI's clients read it.
    pub fn openai_members(&self) -> serde_json::Value {
        let kind = match self.code.status().as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let code = self.openai.as_ref().map_or(self.code.as_str(), |names| names.code);
        let param = self.openai.as_ref().map(|names| &names.param);
        let error = serde_json::json!({
            "message": shortened(&self.detail), "type": kind, "param": param, "code": code
        });
        serde_json::json!({ "error": error })
    }

    /// Writes the body. `Allow` and the like, set by whoever refused, are kept.
    pub fn write_into(&self, response: &mut Response, trace_id: TraceId) {
        let body = serde_json::to_vec(&self.members(trace_id)).unwrap_or_default();
        self.write(response, self.code.status(), "application/problem+json", body);
    }

    /// As `write_into`, for clients of OpenAI's API: what they got wrong is a 400 there.
    pub fn write_openai(&self, response: &mut Response) {
        let status = match self.code {
            Code::InvalidRequest => StatusCode::BAD_REQUEST,
            code => code.status(),
        };
        let body = self.openai_members().to_string().into_bytes();
        self.write(response, status, "application/json", body);
    }

    fn write(&self, response: &mut Response, status: StatusCode, kind: &'static str, body: Vec<u8>) {
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        *response.body_mut() = Body::from(body);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<InvalidInput> for Problem {
    fn from(error: InvalidInput) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<RagError> for Problem {
    fn from(error: RagError) -> Self {
        let (code, detail) = match &error {
            RagError::Embedding(EmbeddingError::Overloaded) => return Self::overloaded(),
            RagError::Embedding(EmbeddingError::Stopped | EmbeddingError::Model(_)) => {
                (Code::EmbeddingUnavailable, "the question could not be embedded; try again later")
            }
            RagError::Retrieval(RetrievalError::Missing) => {
                (Code::RetrievalUnavailable, "there is no index yet; ingest documents first")
            }
            RagError::Retrieval(RetrievalError::Incompatible(_)) => {
                (Code::RetrievalUnavailable, "the index does not fit the model of this server; rebuild it")
            }
            RagError::Retrieval(RetrievalError::NoVector) => return Self::internal(Some(error.to_string())),
            RagError::Retrieval(_) => {
                (Code::RetrievalUnavailable, "the index could not be searched; try again later")
            }
            RagError::Generation(_) => {
                (Code::GenerationFailed, "the language model broke off its answer; try again later")
            }
            RagError::TextTooLong { index, tokens, limit } => {
                let reason = format!("holds {tokens} tokens, at most {limit} are read; cut it into pieces");
                return Self::parameter(&format!("input[{index}]"), reason);
            }
            RagError::TooSlow(_) => (Code::Timeout, "the answer took too long and was broken off"),
        };
        Self { cause: Some(error.to_string()), ..Self::new(code, detail) }
    }
}

#[derive(Serialize)]
struct Members<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: Cow<'a, str>,
    code: &'static str,
    trace_id: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    missing: &'a [String],
}

fn shortened(detail: &str) -> Cow<'_, str> {
    match detail.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => Cow::Owned(format!("{}…", &detail[..end])),
        None => Cow::Borrowed(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_status_and_code_of_the_contract() {
        let table = [
            (EmbeddingError::Overloaded.into(), 503, "overloaded"),
            (EmbeddingError::Stopped.into(), 503, "embedding_unavailable"),
            (EmbeddingError::Model("x".into()).into(), 503, "embedding_unavailable"),
            (RetrievalError::Missing.into(), 503, "retrieval_unavailable"),
            (RetrievalError::Incompatible("x".into()).into(), 503, "retrieval_unavailable"),
            (RetrievalError::Busy("x".into()).into(), 503, "retrieval_unavailable"),
            (RetrievalError::Index("x".into()).into(), 503, "retrieval_unavailable"),
            (RetrievalError::Timeout.into(), 503, "retrieval_unavailable"),
            (RetrievalError::Throttled { retry_after: None }.into(), 503, "retrieval_unavailable"),
            (RetrievalError::NoVector.into(), 500, "internal"),
        ];
        for (error, status, code) in table {
            let error: RagError = error;
            let text = format!("{error:?}");
            let problem = Problem::from(error);
            assert_eq!((problem.code.status().as_u16(), problem.code.as_str()), (status, code), "{text}");
        }
        for (code, status, name) in [
            (Code::InvalidRequest, 422, "invalid_request"),
            (Code::PayloadTooLarge, 413, "payload_too_large"),
            (Code::Unauthorized, 401, "unauthorized"),
            (Code::Forbidden, 403, "forbidden"),
            (Code::NotFound, 404, "not_found"),
            (Code::RateLimited, 429, "rate_limited"),
            (Code::GenerationFailed, 502, "generation_failed"),
            (Code::Timeout, 504, "timeout"),
        ] {
            assert_eq!((code.status().as_u16(), code.as_str()), (status, name));
        }
    }

    #[test]
    fn a_cause_is_for_the_log_and_not_for_the_caller() {
        let cause = "open /srv/secret/index failed";
        let problem = Problem::from(RagError::from(RetrievalError::Index(cause.into())));
        assert!(!problem.detail.contains("secret"));
        assert!(problem.cause.is_some_and(|text| text.contains("secret")));
    }

    #[test]
    fn who_is_overloaded_says_when_to_come_back() {
        let problem = Problem::from(RagError::from(EmbeddingError::Overloaded));
        assert!(problem.retry_after_seconds.is_some());
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_the_contract_and_what_is_missing() {
        let mut response = Response::new(Body::empty());
        let trace_id = TraceId::random();
        let missing = vec!["index".to_owned()];
        Problem { missing, ..Problem::overloaded() }.write_into(&mut response, trace_id);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let members = body.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(members, ["code", "detail", "missing", "status", "title", "trace_id", "type"]);
        assert_eq!((&body["missing"][0], &body["trace_id"]), (&"index".into(), &trace_id.to_string().into()));
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let cut = shortened(&"é".repeat(1_000)).into_owned();
        assert_eq!(cut.chars().count(), MAX_DETAIL + 1);
    }
}
