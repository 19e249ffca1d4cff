//! Reads a body within limits and parses it strictly.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::{Code, Problem};

/// A body that trickles in slower than this holds no place in the queue for longer.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// A refused body is still taken in up to here, so that the sender gets to read the refusal
/// instead of a broken connection.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The whole body, if it has at most `limit` bytes.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(Code::PayloadTooLarge, format!("the body is too large: at most {limit} bytes are taken"))
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // A sender that waits for "100 Continue" has sent nothing yet, and needs not.
    if announced.is_some_and(|bytes: u64| bytes > limit as u64) && headers.contains_key(header::EXPECT) {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let whole = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::invalid("the body ended before it was complete"))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let outcome = tokio::time::timeout(READ_TIMEOUT, whole).await.unwrap_or_else(|_| {
        let seconds = READ_TIMEOUT.as_secs();
        Err(Problem::new(Code::Timeout, format!("the body did not arrive within {seconds} seconds")))
    });
    match outcome {
        Ok(()) => Ok(bytes.into()),
        Err(problem) => {
            if problem.code == Code::PayloadTooLarge {
                let mut left = DRAIN_BYTES;
                let drain = async {
                    while let Some(Ok(chunk)) = chunks.next().await
                        && chunk.len() < left
                    {
                        left -= chunk.len();
                    }
                };
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain).await;
            }
            Err(problem)
        }
    }
}

/// A JSON body. Unlike axum's own extractor it takes a body without a type, names the field that
/// is wrong, and refuses with our problems.
pub struct Strict<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        check_type(request.headers())?;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::invalid("the body ended before it was complete"))?;
        parse(&bytes).map(Self)
    }
}

pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::invalid("the body is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(Problem::invalid("the body is empty; send a JSON object with a question"));
    }
    // Structs can be read from lists, in the order of their fields; nobody means that.
    if !text.trim_start().starts_with('{') {
        return Err(Problem::invalid("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data if path != "." => Problem::invalid(format!("{path}: {error}")),
            Category::Data => Problem::invalid(error.to_string()),
            _ => Problem::invalid(format!("the body is not JSON: {error}")),
        }
    })?;
    json.end().map_err(|error| Problem::invalid(format!("the body is not JSON: {error}")))?;
    Ok(value)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or("unreadable").to_ascii_lowercase();
    let (kind, parameters) = value.split_once(';').unwrap_or((&value, ""));
    let kind = kind.trim();
    let json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !json {
        return Err(Problem::invalid(format!("send Content-Type: application/json, not {kind}")));
    }
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    match charset.map(|name| name.trim_matches('"')) {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
        Some(_) => Err(Problem::invalid("send the body in UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_types_pass_and_others_are_told_what_to_send() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            check_type(&headers)
        };
        assert!(check_type(&HeaderMap::new()).is_ok());
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/vnd.api+json"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-16", ""]
        {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("text/plain").unwrap_err().detail.contains("Content-Type: application/json"));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let deep = format!("{{\"a\":{}", "[".repeat(200_000));
        let problem = parse::<Value>(deep.as_bytes()).unwrap_err();
        assert!(problem.detail.contains("recursion limit"), "{}", problem.detail);
    }

    #[test]
    fn what_follows_the_object_is_refused() {
        assert!(parse::<Value>(b"{} {}").is_err());
        assert!(parse::<Value>(b"{}\n").is_ok());
        assert!(parse::<Value>(b"{\"a\": \"\xff\"}").unwrap_err().detail.contains("UTF-8"));
    }
}
