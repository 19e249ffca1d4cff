//! Request and reply of `/chat/completions`. In the reply every field is optional.

use serde_json::{Value, json};

use super::{LlmError, dialect::Sent, error::ErrorBody};
use crate::{config::LlmConfig, domain::Usage, generation::prompt::Message};

/// What a model said.
#[derive(Clone, PartialEq)]
pub struct Completion {
    /// Never empty unless `declined`.
    pub text: String,
    /// The model refused, or a filter cut the answer off; the text is then not to be shown.
    pub declined: bool,
    /// As the server said it; `refusal` for a refusal.
    pub finish_reason: Option<String>,
    /// As the server said it.
    pub model: Option<String>,
    /// Without a price.
    pub usage: Option<Usage>,
}

/// Answers are not logged.
impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, declined, finish_reason, model, usage } = self;
        let length = text.chars().count();
        write!(f, "Completion({length} characters, {declined:?}, {finish_reason:?}, {model:?}, {usage:?})")
    }
}

/// Names and reasons are words; longer ones are cut before they travel on.
const MAX_WORD_CHARS: usize = 100;

/// The body to send. Only what the user configured is in it: models refuse what they do not know.
pub(super) fn request(config: &LlmConfig, messages: &[Message], sent: Sent) -> Value {
    let mut body = json!({ "model": config.model, "messages": messages });
    if let Some(tokens) = config.max_output_tokens {
        body[sent.tokens_field()] = tokens.into();
    }
    if let Some(effort) = config.reasoning_effort.as_deref().filter(|_| sent.effort) {
        body["reasoning_effort"] = effort.into();
    }
    if let Some(verbosity) = config.verbosity.as_deref().filter(|_| sent.verbosity) {
        body["verbosity"] = verbosity.into();
    }
    body
}

/// Reads a reply with a status of success.
pub(super) fn completion(body: &[u8]) -> Result<Completion, LlmError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|_| LlmError::Malformed { reason: "it is not JSON" })?;
    if !value.is_object() {
        return Err(LlmError::Malformed { reason: "it is not a JSON object" });
    }
    // Some proxies put the error of their upstream into a reply of success.
    if value.get("error").is_some_and(|error| !error.is_null()) {
        let error = ErrorBody::of(&value);
        let status = error.status().unwrap_or(502);
        return Err(error.into_error(status, None));
    }
    let choice = value
        .get("choices")
        .and_then(Value::as_array)
        .and_then(|choices| choices.first())
        .ok_or(LlmError::Malformed { reason: "it has no choices" })?;
    let message = choice.get("message").unwrap_or(&Value::Null);
    let finish_reason = choice.get("finish_reason").and_then(word);
    let text = answer(&content(message.get("content").unwrap_or(&Value::Null))).to_owned();
    let refused = text.is_empty() && refusal(message);
    let filtered = finish_reason.as_deref() == Some("content_filter");
    if text.is_empty() && !refused && !filtered {
        return Err(match finish_reason.as_deref() {
            Some("length") => LlmError::OutOfTokens,
            _ => LlmError::Malformed { reason: "it has no text" },
        });
    }
    Ok(Completion {
        text,
        declined: refused || filtered,
        finish_reason: if refused { Some("refusal".to_owned()) } else { finish_reason },
        model: value.get("model").and_then(word),
        usage: value.get("usage").and_then(usage),
    })
}

/// A string, or an array of parts of which those with text count.
fn content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.as_str().or_else(|| part.get("text").and_then(Value::as_str)))
            .collect(),
        _ => String::new(),
    }
}

/// Without the thoughts that some local servers leave in front of the answer.
fn answer(text: &str) -> &str {
    let text = text.trim();
    match text.strip_prefix("<think>") {
        Some(thoughts) => thoughts.split_once("</think>").map_or("", |(_, answer)| answer.trim()),
        None => text,
    }
}

fn refusal(message: &Value) -> bool {
    let said = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    let part = |part: &Value| part.get("refusal").is_some_and(said);
    message.get("refusal").is_some_and(said)
        || message.get("content").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(part))
}

fn word(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.chars().filter(|c| !c.is_control()).take(MAX_WORD_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

fn usage(value: &Value) -> Option<Usage> {
    let count = |name: &str| {
        let number = value.get(name)?;
        number.as_u64().or_else(|| number.as_f64().filter(|n| (0.0..1e15).contains(n)).map(|n| n as u64))
    };
    let (input, output, total) = (count("prompt_tokens"), count("completion_tokens"), count("total_tokens"));
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    Some(Usage {
        input_tokens: input,
        output_tokens: output,
        total_tokens: total.unwrap_or_else(|| input.saturating_add(output)),
        cost_usd: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(choice: &str) -> Result<Completion, LlmError> {
        completion(format!(r#"{{"choices":[{choice}]}}"#).as_bytes())
    }

    #[test]
    fn text_is_found_wherever_servers_put_it() {
        for choice in [
            r#"{"message":{"content":" Hi "}}"#,
            r#"{"message":{"content":[{"type":"text","text":"H"},{"type":"x"},"i"]},"finish_reason":null}"#,
            r#"{"message":{"content":"<think>Hm.\n</think>\n\nHi","refusal":null},"finish_reason":7}"#,
        ] {
            let completion = read(choice).unwrap();
            assert_eq!((completion.text.as_str(), completion.declined), ("Hi", false), "{choice}");
            assert_eq!((completion.finish_reason, completion.model, completion.usage), (None, None, None));
        }
    }

    #[test]
    fn no_text_is_told_apart_by_its_cause() {
        let refused = read(r#"{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}"#).unwrap();
        assert_eq!((refused.declined, refused.finish_reason.as_deref()), (true, Some("refusal")));
        let filtered = read(r#"{"message":{"content":"Half an"},"finish_reason":"content_filter"}"#).unwrap();
        assert!(filtered.declined);
        assert_eq!(
            read(r#"{"message":{"content":""},"finish_reason":"length"}"#),
            Err(LlmError::OutOfTokens)
        );
        assert_eq!(
            read(r#"{"message":{"content":"<think>Hm"},"finish_reason":"length"}"#),
            Err(LlmError::OutOfTokens)
        );
        for choice in ["", "{}", "null", "7", r#"{"message":{"content":null}}"#, r#"{"message":[]}"#] {
            assert!(matches!(read(choice), Err(LlmError::Malformed { .. })), "{choice}");
        }
    }

    #[test]
    fn rubbish_is_malformed_and_an_error_in_disguise_an_error() {
        for body in ["", "<html>", "[]", "null", "{\"choices\":[{\"mess", "{\"choices\":{}}"] {
            assert!(matches!(completion(body.as_bytes()), Err(LlmError::Malformed { .. })), "{body}");
        }
        assert_eq!(completion(br#"{"error":{"code":429}}"#), Err(LlmError::Throttled { retry_after: None }));
        assert!(matches!(completion(br#"{"error":{"message":"x"}}"#), Err(LlmError::Unavailable { .. })));
    }

    #[test]
    fn usage_is_counted_from_what_there_is() {
        let usage = |text: &str| super::usage(&serde_json::from_str(text).unwrap());
        assert_eq!(usage(r#"{"prompt_tokens":3,"completion_tokens":2.0}"#).unwrap().total_tokens, 5);
        assert_eq!(usage(r#"{"prompt_tokens":-3,"total_tokens":9}"#).unwrap().total_tokens, 9);
        assert_eq!(usage(r#"{"prompt_tokens":"x"}"#), None);
    }
}
