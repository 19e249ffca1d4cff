//! Why a chat completion failed, in terms of what the caller can do.

use std::time::Duration;

use serde_json::Value;

/// The texts never hold what the server wrote, only its short code where that is one, and never the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// Ask again later, after `retry_after` where the server said so.
    #[error("the LLM server is limiting requests; try again later")]
    Throttled { retry_after: Option<Duration> },
    /// Waiting does not help; the account does.
    #[error("the LLM account has no quota left; check its plan and billing")]
    QuotaExceeded,
    #[error("the LLM server refused the key ({status}); check OPENAI_API_KEY")]
    Unauthorized { status: u16 },
    /// Send fewer or shorter passages.
    #[error("the prompt is longer than the model's context")]
    TooLong,
    /// Change the configuration; the same request fails again.
    #[error(
        "the LLM server refused the request ({reason}); check OPENAI_BASE_URL, OPENAI_MODEL and the parameters"
    )]
    Rejected { reason: String },
    /// The server's content filter refused the prompt.
    #[error("the LLM server's content filter refused the prompt")]
    Filtered,
    /// Reasoning used up the tokens before the answer began.
    #[error("the model used up its output tokens before it answered; raise OPENAI_MAX_OUTPUT_TOKENS")]
    OutOfTokens,
    #[error("the LLM server did not answer in time")]
    Timeout,
    /// Out of reach or failing; another try may succeed.
    #[error("the LLM server is unavailable ({reason})")]
    Unavailable { reason: String },
    /// It failed several times in a row, so nothing is sent for a while.
    #[error("the LLM server failed repeatedly and is left alone for a while")]
    CircuitOpen,
    #[error("{reason}")]
    NoToken { reason: String },
    /// What came back is no chat completion.
    #[error("the LLM server's reply is not a chat completion ({reason})")]
    Malformed { reason: &'static str },
}

impl LlmError {
    /// Why an answer is extractive, as replies name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "llm_throttled",
            Self::QuotaExceeded => "llm_quota_exceeded",
            Self::Unauthorized { .. } | Self::NoToken { .. } => "llm_unauthorized",
            Self::TooLong => "llm_context_too_small",
            Self::Rejected { .. } | Self::Filtered => "llm_refused_request",
            Self::OutOfTokens => "llm_out_of_tokens",
            Self::Timeout => "llm_timeout",
            Self::Unavailable { .. } => "llm_unavailable",
            Self::CircuitOpen => "llm_circuit_open",
            Self::Malformed { .. } => "llm_malformed_reply",
        }
    }
}

/// The fields of an error body that matter, whatever its shape: `code` may be a string, a number or
/// null, the body may be HTML or empty.
#[derive(Clone, Default)]
pub(super) struct ErrorBody {
    pub code: Option<String>,
    pub kind: Option<String>,
    pub param: Option<String>,
    inner_code: Option<String>,
    /// Lower case; for recognizing, never for showing.
    message: String,
}

impl ErrorBody {
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice(body).map(|value: Value| Self::of(&value)).unwrap_or_default()
    }

    pub fn of(value: &Value) -> Self {
        let error = value.get("error").unwrap_or(value);
        let text = |value: &Value, name: &str| match value.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        // `{"error": "text"}` and `{"detail": …}` are seen as well.
        let message = text(error, "message")
            .or_else(|| error.as_str().map(str::to_owned))
            .or_else(|| value.get("detail").map(Value::to_string))
            .unwrap_or_default();
        Self {
            code: text(error, "code"),
            kind: text(error, "type"),
            param: text(error, "param"),
            inner_code: error.get("innererror").and_then(|inner| text(inner, "code")),
            message: message.chars().take(4_000).collect::<String>().to_lowercase(),
        }
    }

    pub fn status(&self) -> Option<u16> {
        self.code.as_ref()?.parse().ok().filter(|status| (400..600).contains(status))
    }

    /// Whether the server says that it does not know, or not take, this parameter.
    pub fn refuses(&self, parameter: &str) -> bool {
        const REFUSALS: &[&str] = &[
            "unsupported",
            "not support",
            "unknown",
            "unrecognized",
            "unrecognised",
            "unexpected",
            "not permitted",
            "not allowed",
            "extra_forbidden",
            "extra inputs",
            "extra fields",
            "invalid parameter",
            "no such",
            "does not accept",
        ];
        let code = self.code.as_deref().unwrap_or_default();
        let named = self.param.as_deref() == Some(parameter) || self.message.contains(parameter);
        let refused = code.starts_with("unsupported_") || code == "unknown_parameter";
        named && (refused || REFUSALS.iter().any(|words| self.message.contains(words)))
    }

    pub fn is_quota(&self) -> bool {
        [&self.code, &self.kind].into_iter().flatten().any(|code| code == "insufficient_quota")
    }

    fn is_filter(&self) -> bool {
        self.code.as_deref() == Some("content_filter")
            || self.inner_code.as_deref() == Some("ResponsibleAIPolicyViolation")
    }

    fn is_too_long(&self) -> bool {
        self.code.as_deref() == Some("context_length_exceeded")
            || self.kind.as_deref() == Some("exceed_context_size_error")
            || ["context length", "context size", "context window"]
                .iter()
                .any(|words| self.message.contains(words))
    }

    /// The error for a reply with this status.
    pub fn into_error(self, status: u16, retry_after: Option<Duration>) -> LlmError {
        let reason = || match self.code.iter().chain(&self.kind).find_map(|code| short(code)) {
            Some(code) if code != status.to_string() => format!("{status}, {code}"),
            _ => status.to_string(),
        };
        match status {
            _ if self.is_filter() => LlmError::Filtered,
            429 if self.is_quota() => LlmError::QuotaExceeded,
            429 => LlmError::Throttled { retry_after },
            401 | 403 => LlmError::Unauthorized { status },
            400 | 422 if self.is_too_long() => LlmError::TooLong,
            413 => LlmError::TooLong,
            408 => LlmError::Timeout,
            409 | 500.. => LlmError::Unavailable { reason: reason() },
            300..=399 => {
                LlmError::Rejected { reason: format!("{status}, a redirect, which is not followed") }
            }
            _ => LlmError::Rejected { reason: reason() },
        }
    }
}

/// A code is a word; anything else could be text of the server, or a key.
fn short(code: &str) -> Option<&str> {
    let word = (1..=48).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !code.starts_with("sk_");
    word.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> LlmError {
        ErrorBody::parse(body.as_bytes()).into_error(status, None)
    }

    #[test]
    fn the_shapes_of_openai_azure_llama_and_proxies_are_understood() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":{"code":400,"message":"too big","type":"exceed_context_size_error","n_ctx":2048}}"#,
                LlmError::TooLong,
            ),
            (
                400,
                r#"{"error":{"code":"context_length_exceeded","message":"m","param":null}}"#,
                LlmError::TooLong,
            ),
            (
                400,
                r#"{"error":{"code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                LlmError::Filtered,
            ),
            (
                401,
                r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#,
                LlmError::Unauthorized { status: 401 },
            ),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#, LlmError::QuotaExceeded),
            (429, r#"{"error":{"code":null,"type":"insufficient_quota"}}"#, LlmError::QuotaExceeded),
            (429, r#"{"error":{"code":"429","message":"m"}}"#, LlmError::Throttled { retry_after: None }),
            (
                404,
                r#"{"error":{"code":"model_not_found"}}"#,
                LlmError::Rejected { reason: "404, model_not_found".into() },
            ),
            (404, "<html>nginx</html>", LlmError::Rejected { reason: "404".into() }),
            (502, "", LlmError::Unavailable { reason: "502".into() }),
            (400, r#"{"error":"plain text"}"#, LlmError::Rejected { reason: "400".into() }),
            (400, r#"[1,2]"#, LlmError::Rejected { reason: "400".into() }),
        ] {
            assert_eq!(error(status, body), expected, "{body}");
        }
    }

    #[test]
    fn what_the_server_wrote_does_not_get_out() {
        let body = r#"{"error":{"code":"Key sk-123 of Bob <b>","type":"sk_live_1","message":"passage text sk-123"}}"#;
        assert_eq!(error(400, body), LlmError::Rejected { reason: "400".into() });
    }

    #[test]
    fn a_refused_parameter_is_told_from_a_refused_value_of_another() {
        let gpt = r#"{"error":{"message":"Unsupported parameter: 'verbosity' is not supported with this model.","param":"verbosity","code":"unsupported_parameter"}}"#;
        let body = ErrorBody::parse(gpt.as_bytes());
        assert!(body.refuses("verbosity") && !body.refuses("reasoning_effort"));
        let strict = r#"{"detail":[{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs are not permitted"}]}"#;
        assert!(ErrorBody::parse(strict.as_bytes()).refuses("max_completion_tokens"));
        let large = r#"{"error":{"message":"max_completion_tokens is too large: 99999"}}"#;
        assert!(!ErrorBody::parse(large.as_bytes()).refuses("max_completion_tokens"));
    }
}
