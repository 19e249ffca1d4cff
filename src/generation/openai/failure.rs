//! One failed try: what went wrong, and whether another may go right.

use super::error::{ErrorBody, LlmError};
use crate::upstream::Advice;

/// One failed try.
pub(super) struct Failure {
    pub error: LlmError,
    /// Another try may succeed.
    pub passing: bool,
    pub advice: Advice,
    /// Of a refusal that may be about parameters.
    pub body: Option<Box<ErrorBody>>,
}

impl Failure {
    pub fn passing(error: LlmError) -> Self {
        Self { error, passing: true, advice: Advice::default(), body: None }
    }

    pub fn lasting(error: LlmError) -> Self {
        Self {
            passing: matches!(error, LlmError::Throttled { .. } | LlmError::Unavailable { .. }),
            ..Self::passing(error)
        }
    }

    /// The text of a transport error holds the address, which may hold a secret, so only its kind goes on.
    pub fn transport(error: &reqwest::Error) -> Self {
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

    pub fn refused(status: u16, advice: Advice, body: ErrorBody) -> Self {
        let passing = advice.retries(status) && !body.is_quota();
        let about_parameters = matches!(status, 400 | 422);
        let kept = about_parameters.then(|| Box::new(body.clone()));
        Self { error: body.into_error(status, advice.after), passing, advice, body: kept }
    }
}
