//! Replies with the headers of the service.

use std::time::{Duration, Instant};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::{StreamExt, stream};

use super::{
    super::refusal::Refusal,
    call::{Call, Content, Reply},
};

/// What the headers of any reply are made of.
pub(super) struct Sender {
    pub(super) request_id: String,
    pub(super) start: Instant,
    /// Whether the client asked to see its own id again.
    echo: bool,
    metadata: &'static str,
}

impl Sender {
    pub(super) fn new(call: &Call, start: Instant) -> Self {
        let flag = call
            .header("x-ms-return-client-request-id")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let own = call.header("x-ms-client-request-id").filter(|id| id.len() <= 128);
        let echo = flag && own.is_some();
        let request_id = own.filter(|_| echo).map_or_else(uuid, str::to_owned);
        let metadata = if call.wants_context() { "minimal" } else { "none" };
        Self { request_id, start, echo, metadata }
    }

    pub(super) fn reply(&self, reply: Reply) -> Response {
        let (body, content_type) = match reply.content {
            Content::Nothing => (Bytes::new(), None),
            Content::Json(json) => {
                let metadata = self.metadata;
                let kind = format!(
                    "application/json; odata.metadata={metadata}; odata.streaming=true; charset=utf-8"
                );
                (json.to_text().into(), Some(kind))
            }
            Content::Text(text) => (text.into(), Some("text/plain; charset=utf-8".to_owned())),
        };
        let versioned = content_type.is_some();
        let mut response = self.with_common(reply.status, body, content_type);
        set(&mut response, "preference-applied", "odata.include-annotations=\"*\"");
        if versioned {
            set(&mut response, "odata-version", "4.0");
        }
        if let Some(etag) = reply.etag {
            set(&mut response, "etag", &etag);
        }
        if let Some(location) = reply.location {
            set(&mut response, "location", &location);
        }
        response
    }

    pub(super) fn refusal(&self, refusal: &Refusal) -> Response {
        let content = (!refusal.silent).then(|| refusal.body().to_text());
        let kind = content.as_ref().map(|_| "application/json; charset=utf-8".to_owned());
        let mut response = self.with_common(refusal.status, content.unwrap_or_default().into(), kind);
        set(&mut response, "content-language", "en");
        if !refusal.silent {
            set(&mut response, "cache-control", "no-store, no-cache");
            set(&mut response, "pragma", "no-cache");
            set(&mut response, "expires", "-1");
        }
        if let Some(seconds) = refusal.retry_after {
            set(&mut response, "retry-after", &seconds.to_string());
        }
        response
    }

    fn with_common(&self, status: StatusCode, body: Bytes, content_type: Option<String>) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        set(&mut response, "request-id", &self.request_id);
        set(&mut response, "elapsed-time", &self.start.elapsed().as_millis().to_string());
        if self.echo {
            set(&mut response, "x-ms-client-request-id", &self.request_id);
            set(&mut response, "client-request-id", &self.request_id);
        }
        if let Some(kind) = content_type {
            set(&mut response, "content-type", &kind);
        }
        response
    }
}

/// The reply with a body that ends in its middle, whatever its length says.
pub(super) async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let half = bytes.slice(..bytes.len() / 2);
    let broken = std::io::Error::other("a fault that was asked for");
    // What is written in one go with the failure would never be sent.
    let failure = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(broken)
    };
    let pieces = stream::once(async { Ok(half) }).chain(stream::once(failure));
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Values that no header can hold are left out.
fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

fn uuid() -> String {
    let bits = fastrand::u128(..);
    let text = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &text[..8], &text[8..12], &text[13..16], &text[17..20], &text[20..])
}
