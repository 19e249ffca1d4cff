//! From a status of the service to what the caller can do about it.

use std::time::Duration;

use serde_json::Value;

use crate::retrieval::RetrievalError;

/// One failed try.
pub(super) struct Failure {
    pub(super) error: RetrievalError,
    /// Another try may succeed, and the failure says something about the health of the service.
    pub(super) passing: bool,
    pub(super) retry_after: Option<Duration>,
    /// The service asks to be asked less.
    pub(super) throttled: bool,
}

impl Failure {
    pub(super) fn passing(error: RetrievalError) -> Self {
        Self { error, passing: true, retry_after: None, throttled: false }
    }

    pub(super) fn lasting(error: RetrievalError) -> Self {
        Self { passing: false, ..Self::passing(error) }
    }

    /// The text of a transport error holds the address, so only its kind goes on.
    pub(super) fn transport(error: &reqwest::Error) -> Self {
        let reason = match error {
            error if error.is_timeout() => return Self::passing(RetrievalError::Timeout),
            error if error.is_connect() => "no connection",
            error if error.is_body() || error.is_decode() => "the reply broke off",
            error if error.is_builder() => {
                return Self::lasting(RetrievalError::Rejected { reason: "not a request".into() });
            }
            _ => "the exchange broke off",
        };
        Self::passing(RetrievalError::Unavailable { reason: reason.to_owned() })
    }

    pub(super) fn refused(
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
        advice: &'static str,
    ) -> Self {
        let reason = || match code(body) {
            Some(code) => format!("{status}, {code}"),
            None => status.to_string(),
        };
        let error = match status {
            401 | 403 => RetrievalError::Unauthorized { status, advice },
            404 => RetrievalError::Missing,
            408 => RetrievalError::Timeout,
            429 => RetrievalError::Throttled { retry_after },
            500.. => RetrievalError::Unavailable { reason: reason() },
            300..=399 => {
                RetrievalError::Rejected { reason: format!("{status}, a redirect, which is not followed") }
            }
            _ => RetrievalError::Rejected { reason: reason() },
        };
        Self {
            error,
            passing: matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            retry_after,
            throttled: matches!(status, 429 | 503),
        }
    }
}

/// The short code of an error body, the innermost where there are several. Codes are words of letters;
/// anything else could be text of the service, of the caller, or a key.
fn code(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error")?;
    let inner = error.get("details").and_then(|details| details.get(0)).and_then(|detail| detail.get("code"));
    let word = |value: &Value| {
        let text = value.as_str()?;
        let fits = (1..=48).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphabetic());
        fits.then(|| text.to_owned())
    };
    inner.and_then(word).or_else(|| error.get("code").and_then(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_and_texts_are_not() {
        let text =
            |status, body: &str| Failure::refused(status, None, body.as_bytes(), "a").error.to_string();
        let nested = r#"{"error":{"code":"InvalidRequestParameter","message":"private text","details":[{"code":"InvalidDocumentKey","message":"private"}]}}"#;
        assert!(text(400, nested).contains("400, InvalidDocumentKey"));
        for body in [
            nested,
            r#"{"error":{"code":"","message":"private"}}"#,
            r#"{"error":{"code":"two private words"}}"#,
            r#"{"error":{"code":"abc123private"}}"#,
            "<html>private",
            "",
        ] {
            assert!(!text(400, body).contains("private") && !text(503, body).contains("private"), "{body}");
        }
    }

    #[test]
    fn what_passes_is_told_apart_from_what_lasts() {
        let passing = |status| Failure::refused(status, None, b"", "a").passing;
        assert!([408, 429, 500, 502, 503, 504].into_iter().all(passing));
        assert!(![301, 400, 401, 403, 404, 409, 412, 413, 422, 501, 505].into_iter().any(passing));
    }
}
