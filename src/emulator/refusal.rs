//! The refusals of the service, in its own words where they were recorded.

use axum::http::StatusCode;

use super::json::{Json, list, object};
use crate::retrieval::RetrievalError;

/// Why a request is not served; the body is `{"error": {code, message, details}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) details: Vec<(String, String)>,
    /// Some answers have no body at all, such as the 404 of a document.
    pub(super) silent: bool,
    pub(super) retry_after: Option<u32>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
            silent: false,
            retry_after: None,
        }
    }

    fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    fn detail(mut self, code: &str, message: impl Into<String>) -> Self {
        self.details.push((code.to_owned(), message.into()));
        self
    }

    /// A member of the request that has no sense here; `parameters` is the service's word for the body.
    pub(super) fn parameters(message: impl AsRef<str>) -> Self {
        Self::bad("", format!("The request is invalid. Details: parameters : {}", message.as_ref()))
    }

    /// A value outside of its range.
    pub(super) fn parameter(name: &str, code: &str, message: &str) -> Self {
        Self::bad("InvalidRequestParameter", format!("{message}\r\nParameter name: {name}"))
            .detail(code, message)
    }

    /// `parameter` is `$filter`, `$select`, `$orderby` and the like.
    pub(super) fn expression(parameter: &str, message: impl AsRef<str>) -> Self {
        Self::bad("", format!("Invalid expression: {}\r\nParameter name: {parameter}", message.as_ref()))
    }

    pub(super) fn definition(code: &str, message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        Self::bad(
            "InvalidRequestParameter",
            format!("The request is invalid. Details: definition : {message}"),
        )
        .detail(code, format!("{message} Parameters: definition"))
    }

    /// One line and code for each bad action of a batch; the lines begin with the action's position.
    pub(super) fn actions(bad: &[(&str, String)]) -> Self {
        let code = match bad.first() {
            Some(("MissingKeyField", _)) => "OperationNotAllowed",
            _ => "InvalidRequestParameter",
        };
        let lines: Vec<&str> = bad.iter().map(|(_, line)| line.as_str()).collect();
        let mut refusal =
            Self::bad(code, format!("The request is invalid. Details: actions : {}", lines.join(" ")));
        for (code, line) in bad {
            refusal = refusal.detail(code, format!("{line} Parameters: actions"));
        }
        refusal
    }

    pub(super) fn not_allowed(code: &str, message: impl AsRef<str>) -> Self {
        Self::bad("OperationNotAllowed", message.as_ref()).detail(code, message.as_ref())
    }

    /// What the service has and this program has not.
    pub(super) fn not_emulated(what: impl AsRef<str>) -> Self {
        Self::bad("NotEmulated", format!("{} is not emulated.", what.as_ref()))
    }

    pub(super) fn exists(kind: &str, name: &str) -> Self {
        let message = format!("Cannot create {kind} '{name}' because it already exists.");
        let code = if kind == "index" { "CannotCreateExistingIndex" } else { "CannotCreateExistingAlias" };
        Self::new(StatusCode::CONFLICT, "ResourceNameAlreadyInUse", message.clone()).detail(code, message)
    }

    /// In management calls.
    pub(super) fn no_such(kind: &str, name: &str) -> Self {
        let message = format!("No {kind} with the name '{name}' was found in a service named '{SERVICE}'.");
        let code = if kind == "index" { "IndexNotFoundInService" } else { "AliasNotFoundInService" };
        Self::new(StatusCode::NOT_FOUND, "OperationNotAllowed", message.clone()).detail(code, message)
    }

    /// In document and query calls.
    pub(super) fn index_not_found(name: &str) -> Self {
        let message = format!("The index '{name}' for service '{SERVICE}' was not found.");
        Self::new(StatusCode::NOT_FOUND, "", message)
    }

    pub(super) fn document_not_found() -> Self {
        Self { silent: true, ..Self::new(StatusCode::NOT_FOUND, "", "") }
    }

    pub(super) fn precondition() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "",
            "The precondition given in one of the request headers evaluated to false. \
             No change was made to the resource from this request.",
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "",
            format!("The body is larger than {limit} bytes; send fewer documents at once."),
        )
    }

    pub(super) fn body(&self) -> Json {
        let mut error = vec![
            ("code".to_owned(), self.code.clone().into()),
            ("message".to_owned(), self.message.clone().into()),
        ];
        if !self.details.is_empty() {
            let details = self.details.iter().map(|(code, message)| {
                object([("code", code.clone().into()), ("message", message.clone().into())])
            });
            error.push(("details".to_owned(), list(details)));
        }
        object([("error", Json::Object(error))])
    }
}

/// The name of the service in messages.
pub(super) const SERVICE: &str = "emulator";

impl From<RetrievalError> for Refusal {
    fn from(error: RetrievalError) -> Self {
        tracing::error!(error = %error, "the emulated index failed");
        let message = "The emulator's index failed; its log says why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        RetrievalError::Index(error.to_string()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_action_is_listed_with_its_position() {
        let text = Refusal::actions(&[
            ("InvalidDocumentKey", "0: Invalid document key: '_a'.".to_owned()),
            ("MissingKeyField", "3: Document key cannot be missing or empty.".to_owned()),
        ])
        .body()
        .to_text();
        assert_eq!(
            text,
            "{\"error\":{\"code\":\"InvalidRequestParameter\",\"message\":\"The request is invalid. Details: \
             actions : 0: Invalid document key: '_a'. 3: Document key cannot be missing or empty.\",\
             \"details\":[{\"code\":\"InvalidDocumentKey\",\"message\":\"0: Invalid document key: '_a'. \
             Parameters: actions\"},{\"code\":\"MissingKeyField\",\"message\":\"3: Document key cannot be \
             missing or empty. Parameters: actions\"}]}}"
        );
    }

    #[test]
    fn an_error_without_details_has_no_such_member() {
        assert_eq!(
            Refusal::expression("$select", "no").body().to_text(),
            r#"{"error":{"code":"","message":"Invalid expression: no\r\nParameter name: $select"}}"#
        );
    }
}
