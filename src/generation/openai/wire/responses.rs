//! `/responses`, the newer interface of OpenAI and Azure OpenAI.

use serde_json::{Value, json};

use super::{Ask, Form, Said, Step, usage, word};
use crate::generation::openai::{LlmError, dialect::Parameter, error::ErrorBody};

const USAGE: [&str; 3] = ["input_tokens", "output_tokens", "input_tokens_details"];

pub(super) fn request(ask: &Ask<'_>) -> Value {
    let Ask { config, messages, sent, form } = ask;
    let mut body = json!({ "model": config.model, "input": messages });
    if sent.has(Parameter::Store) {
        // Kept for 30 days otherwise.
        body["store"] = false.into();
    }
    if let Some(tokens) = config.max_output_tokens {
        body["max_output_tokens"] = tokens.into();
    }
    if let Some(temperature) = config.temperature.filter(|_| sent.has(Parameter::Temperature)) {
        body["temperature"] = decimal(temperature);
    }
    if let Some(effort) = config.reasoning_effort.as_deref().filter(|_| sent.has(Parameter::Effort)) {
        body["reasoning"] = json!({ "effort": effort });
    }
    if let Some(verbosity) = config.verbosity.as_deref().filter(|_| sent.has(Parameter::Verbosity)) {
        body["text"]["verbosity"] = verbosity.into();
    }
    if let Some(schema) = ask.schema() {
        body["text"]["format"] =
            json!({ "type": "json_schema", "name": "answer", "strict": true, "schema": schema });
    }
    if *form == Form::Stream {
        body["stream"] = true.into();
    }
    body
}

/// As it was configured: the nearest 64-bit number would show 17 digits.
pub(super) fn decimal(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

pub(super) fn said(response: &Value) -> Result<Said, LlmError> {
    let mut said = Said::default();
    let output = response
        .get("output")
        .and_then(Value::as_array)
        .ok_or(LlmError::Malformed { reason: "it has no output" })?;
    let parts = output.iter().filter_map(|item| item.get("content").and_then(Value::as_array)).flatten();
    for part in parts {
        match part.get("type").and_then(Value::as_str) {
            Some("output_text") => {
                said.text.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default());
            }
            Some("refusal") => said.refused = true,
            _ => {}
        }
    }
    circumstances(response, &mut said);
    Ok(said)
}

pub(super) fn event(event: &Value, said: &mut Said) -> Result<Step, LlmError> {
    let text = || event.get("delta").and_then(Value::as_str).unwrap_or_default().to_owned();
    let response = event.get("response").unwrap_or(&Value::Null);
    Ok(match event.get("type").and_then(Value::as_str).unwrap_or_default() {
        "response.output_text.delta" => Step { text: text(), end: false },
        "response.refusal.delta" => {
            said.refused = true;
            Step::default()
        }
        "response.completed" | "response.incomplete" => {
            circumstances(response, said);
            Step { end: true, text: String::new() }
        }
        "response.failed" | "error" => {
            let error = if response.is_null() { event } else { response };
            let error = ErrorBody::of(error);
            let status = error.status().unwrap_or(502);
            return Err(error.into_error(status, None));
        }
        _ => Step::default(),
    })
}

/// Why it ended, by the words of chat completions, which callers know; model and tokens.
fn circumstances(response: &Value, said: &mut Said) {
    let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
    said.finish_reason = match (response.get("status").and_then(Value::as_str), reason.and_then(word)) {
        (_, Some(reason)) if reason == "max_output_tokens" => Some("length".to_owned()),
        (_, Some(reason)) => Some(reason),
        (Some("completed"), None) => Some("stop".to_owned()),
        _ => None,
    };
    said.model = response.get("model").and_then(word).or_else(|| said.model.take());
    said.usage = response.get("usage").and_then(|counts| usage(counts, USAGE)).or(said.usage);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<crate::generation::openai::Completion, LlmError> {
        said(&serde_json::from_str(body).unwrap())?.checked()
    }

    #[test]
    fn text_refusal_filter_and_length_are_told_apart() {
        let message = |part: &str, rest: &str| {
            format!(
                r#"{{"output":[{{"type":"reasoning","summary":[]}},{{"type":"message","content":[{part}]}}]{rest}}}"#
            )
        };
        let good = read(&message(
            r#"{"type":"output_text","text":"Hi"}"#,
            r#","status":"completed","model":"m","usage":{"input_tokens":3,"output_tokens":2,"input_tokens_details":{"cached_tokens":1}}"#,
        ))
        .unwrap();
        assert_eq!((good.text.as_str(), good.finish_reason.as_deref()), ("Hi", Some("stop")));
        assert_eq!(good.usage.map(|usage| (usage.total_tokens, usage.cached_input_tokens)), Some((5, 1)));
        let refused = read(&message(r#"{"type":"refusal","refusal":"No."}"#, "")).unwrap();
        assert_eq!((refused.declined, refused.finish_reason.as_deref()), (true, Some("refusal")));
        let half = r#"{"type":"output_text","text":"Half"}"#;
        let filtered = read(&message(half, r#","incomplete_details":{"reason":"content_filter"}"#)).unwrap();
        assert!(filtered.declined);
        let thought =
            r#"{"output":[],"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}"#;
        assert_eq!(read(thought), Err(LlmError::OutOfTokens));
        assert!(matches!(read("{}"), Err(LlmError::Malformed { .. })));
    }

    #[test]
    fn the_events_of_a_stream_give_text_and_circumstances() {
        let mut all = Said::default();
        let mut feed = |data: &str| event(&serde_json::from_str(data).unwrap(), &mut all);
        assert_eq!(feed(r#"{"type":"response.created","response":{}}"#), Ok(Step::default()));
        let delta = feed(r#"{"type":"response.output_text.delta","delta":"Hi"}"#).unwrap();
        assert_eq!(delta.text, "Hi");
        let end = r#"{"type":"response.completed","response":{"status":"completed","model":"m","usage":{"input_tokens":1}}}"#;
        assert!(feed(end).unwrap().end);
        let failed =
            r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"m"}}}"#;
        assert!(feed(failed).is_err());
        assert_eq!((all.finish_reason.as_deref(), all.model.as_deref()), (Some("stop"), Some("m")));
    }
}
