//! One request with everything an operation looks at, and what it answers.

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};

use super::super::{json::Json, refusal::Refusal};

pub(super) struct Call {
    pub(super) headers: HeaderMap,
    /// Decoded.
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// As the client wrote it, for links.
    pub(super) path: String,
    pub(super) version: String,
}

/// A reply before it has headers of its own.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content: Content,
    pub(super) etag: Option<String>,
    pub(super) location: Option<String>,
}

pub(super) enum Content {
    Nothing,
    Json(Json),
    Text(String),
}

impl Reply {
    pub(super) fn json(status: StatusCode, members: Vec<(String, Json)>) -> Self {
        Self { status, content: Content::Json(Json::Object(members)), etag: None, location: None }
    }

    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, content: Content::Nothing, etag: None, location: None }
    }

    pub(super) fn text(text: String) -> Self {
        Self { status: StatusCode::OK, content: Content::Text(text), etag: None, location: None }
    }
}

impl Call {
    /// Where this server is, as the client sees it.
    pub(super) fn base(&self) -> String {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        format!("http://{}", host.unwrap_or("localhost"))
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether annotations are wanted. The service takes `minimal` for granted.
    pub(super) fn wants_context(&self) -> bool {
        let accept = self.header("accept").unwrap_or_default().to_ascii_lowercase();
        !accept.split(';').any(|part| part.trim() == "odata.metadata=none")
    }

    /// The first member of an answer, where it is wanted; `what` is behind `$metadata#`.
    pub(super) fn context(&self, what: &str) -> Vec<(String, Json)> {
        if !self.wants_context() {
            return Vec::new();
        }
        vec![("@odata.context".to_owned(), format!("{}/$metadata#{what}", self.base()).into())]
    }

    /// As the service names types of its answers: `V2026_04_01.IndexStatistics`.
    pub(super) fn type_name(&self, name: &str) -> String {
        format!("Microsoft.Azure.Search.V{}.{name}", self.version.replace('-', "_"))
    }

    pub(super) fn object(&self) -> Result<Map<String, Value>, Refusal> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(Refusal::parameters("The body must be a JSON object.")),
            Err(error) => Err(Refusal::parameters(format!("The body is not JSON: {error}."))),
        }
    }

    /// `If-Match` and `If-None-Match` against what is there.
    pub(super) fn check_conditions(&self, etag: Option<&str>) -> Result<(), Refusal> {
        let matches = |condition: &str| {
            condition.split(',').map(str::trim).any(|one| etag.is_some_and(|etag| one == "*" || one == etag))
        };
        let wanted = self.header("if-match").is_none_or(matches);
        let unwanted = self.header("if-none-match").is_some_and(matches);
        if wanted && !unwanted { Ok(()) } else { Err(Refusal::precondition()) }
    }
}
