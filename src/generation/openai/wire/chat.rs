//! `/chat/completions`, the interface every compatible server has.

use serde_json::{Value, json};

use super::{Ask, Form, Said, Step, responses::decimal, usage, word};
use crate::generation::openai::{LlmError, dialect::Parameter};

pub(super) const USAGE: [&str; 3] = ["prompt_tokens", "completion_tokens", "prompt_tokens_details"];

pub(super) fn request(ask: &Ask<'_>) -> Value {
    let Ask { config, messages, sent, form } = ask;
    let mut body = json!({ "model": config.model, "messages": messages });
    if let Some(tokens) = config.max_output_tokens {
        let new = sent.has(Parameter::NewTokens);
        body[if new { "max_completion_tokens" } else { "max_tokens" }] = tokens.into();
    }
    if let Some(temperature) = config.temperature.filter(|_| sent.has(Parameter::Temperature)) {
        body["temperature"] = decimal(temperature);
    }
    if let Some(effort) = config.reasoning_effort.as_deref().filter(|_| sent.has(Parameter::Effort)) {
        body["reasoning_effort"] = effort.into();
    }
    if let Some(verbosity) = config.verbosity.as_deref().filter(|_| sent.has(Parameter::Verbosity)) {
        body["verbosity"] = verbosity.into();
    }
    if let Some(schema) = ask.schema() {
        let schema = json!({ "name": "answer", "strict": true, "schema": schema });
        body["response_format"] = json!({ "type": "json_schema", "json_schema": schema });
    }
    if *form == Form::Stream {
        body["stream"] = true.into();
        if sent.has(Parameter::StreamUsage) {
            body["stream_options"] = json!({ "include_usage": true });
        }
    }
    body
}

pub(super) fn said(value: &Value) -> Result<Said, LlmError> {
    let choice = first_choice(value).ok_or(LlmError::Malformed { reason: "it has no choices" })?;
    let message = choice.get("message").unwrap_or(&Value::Null);
    Ok(Said {
        text: content(message.get("content").unwrap_or(&Value::Null)),
        refused: refusal(message),
        finish_reason: choice.get("finish_reason").and_then(word),
        model: value.get("model").and_then(word),
        usage: value.get("usage").and_then(|counts| usage(counts, USAGE)),
    })
}

/// Frames without choices, such as those of Azure's filter and the one with the usage, may come anywhere.
/// The stream ends with `[DONE]`, as the usage comes behind the last choice.
pub(super) fn event(value: &Value, said: &mut Said) -> Step {
    if let Some(model) = value.get("model").and_then(word) {
        said.model = Some(model);
    }
    if let Some(counts) = value.get("usage").and_then(|counts| usage(counts, USAGE)) {
        said.usage = Some(counts);
    }
    let Some(choice) = first_choice(value) else { return Step::default() };
    if let Some(reason) = choice.get("finish_reason").and_then(word) {
        said.finish_reason = Some(reason);
    }
    let delta = choice.get("delta").unwrap_or(&Value::Null);
    said.refused |= refusal(delta);
    Step { text: content(delta.get("content").unwrap_or(&Value::Null)), end: false }
}

fn first_choice(value: &Value) -> Option<&Value> {
    value.get("choices")?.as_array()?.first()
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

fn refusal(message: &Value) -> bool {
    let said = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    let part = |part: &Value| part.get("refusal").is_some_and(said);
    message.get("refusal").is_some_and(said)
        || message.get("content").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::openai::{Completion, dialect::Dialect};

    fn whole(body: &str) -> Result<Completion, LlmError> {
        let config = crate::generation::testing::llm();
        let sent = Dialect::new(&config).current(&config);
        Ask { config: &config, messages: &[], sent, form: Form::Text }.completion(body.as_bytes())
    }

    fn read(choice: &str) -> Result<Completion, LlmError> {
        whole(&format!(r#"{{"choices":[{choice}]}}"#))
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
            assert!(matches!(whole(body), Err(LlmError::Malformed { .. })), "{body}");
        }
        assert_eq!(whole(r#"{"error":{"code":429}}"#), Err(LlmError::Throttled { retry_after: None }));
        assert!(matches!(whole(r#"{"error":{"message":"x"}}"#), Err(LlmError::Unavailable { .. })));
    }

    #[test]
    fn the_events_of_a_stream_give_text_and_circumstances_wherever_they_come() {
        let mut said = Said::default();
        let text: String = [
            r#"{"choices":[],"model":"","prompt_filter_results":[]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null}}],"model":"m","usage":null}"#,
            r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}"#,
            r#"{"choices":[{"content_filter_results":{}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
        ]
        .map(|data| event(&serde_json::from_str(data).unwrap(), &mut said).text)
        .concat();
        assert_eq!(text, "Hi");
        assert_eq!((said.finish_reason.as_deref(), said.model.as_deref()), (Some("stop"), Some("m")));
        assert_eq!(said.usage.map(|usage| usage.total_tokens), Some(4));
    }
}
