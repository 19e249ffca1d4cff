//! What goes over the wire: both interfaces, whole and streamed. Of a reply every field is optional.

mod chat;
mod responses;
mod sentences;

use serde_json::Value;

use super::{
    LlmError,
    dialect::{Parameter, Sent},
    error::ErrorBody,
};
use crate::{
    config::{LlmApi, LlmConfig},
    domain::Usage,
    generation::prompt::Message,
};

/// What a model said.
#[derive(Clone, PartialEq, Default)]
pub struct Completion {
    /// Never empty unless `declined` or `no_evidence`.
    pub text: String,
    /// The model refused, or a filter cut the answer off; the text is then not to be shown.
    pub declined: bool,
    /// The model says that the passages do not hold the answer; only where it was asked for sentences.
    pub no_evidence: bool,
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
        let Self { text, declined, no_evidence, finish_reason, model, usage } = self;
        let length = text.chars().count();
        write!(
            f,
            "Completion({length} characters, {declined:?}, {no_evidence:?}, {finish_reason:?}, {model:?}, {usage:?})"
        )
    }
}

/// How the answer shall come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As text, whole.
    Text,
    /// As sentences with the numbers of their passages, by a JSON schema, where the server offers it.
    Sentences,
    /// As text, piece by piece.
    Stream,
}

/// One request, for as long as its body is the same.
pub(super) struct Ask<'a> {
    pub config: &'a LlmConfig,
    pub messages: &'a [Message],
    pub sent: Sent,
    pub form: Form,
}

impl Ask<'_> {
    /// Only what the user configured is in the body, besides what the form needs: models refuse what
    /// they do not know.
    pub fn body(&self) -> String {
        match self.config.api {
            LlmApi::Chat => chat::request(self),
            LlmApi::Responses => responses::request(self),
        }
        .to_string()
    }

    fn schema(&self) -> Option<Value> {
        (self.form == Form::Sentences && self.sent.has(Parameter::Schema)).then(sentences::schema)
    }

    /// Reads a reply with a status of success.
    pub fn completion(&self, body: &[u8]) -> Result<Completion, LlmError> {
        let value: Value =
            serde_json::from_slice(body).map_err(|_| LlmError::Malformed { reason: "it is not JSON" })?;
        if !value.is_object() {
            return Err(LlmError::Malformed { reason: "it is not a JSON object" });
        }
        refused(&value)?;
        let said = match self.config.api {
            LlmApi::Chat => chat::said(&value)?,
            LlmApi::Responses => responses::said(&value)?,
        };
        let completion = said.checked()?;
        if self.schema().is_some() && !completion.declined {
            return sentences::read(completion);
        }
        Ok(completion)
    }
}

/// Some proxies put the error of their upstream into a reply of success.
fn refused(value: &Value) -> Result<(), LlmError> {
    if value.get("error").is_some_and(|error| !error.is_null()) {
        let error = ErrorBody::of(value);
        let status = error.status().unwrap_or(502);
        return Err(error.into_error(status, None));
    }
    Ok(())
}

/// What a reply or the events of a stream said, before it is judged.
#[derive(Default)]
pub(super) struct Said {
    pub text: String,
    pub refused: bool,
    pub finish_reason: Option<String>,
    pub model: Option<String>,
    pub usage: Option<Usage>,
}

impl Said {
    fn checked(self) -> Result<Completion, LlmError> {
        let text = answer(&self.text).to_owned();
        let refused = text.is_empty() && self.refused;
        let filtered = self.finish_reason.as_deref() == Some("content_filter");
        if text.is_empty() && !refused && !filtered {
            return Err(no_text(self.finish_reason.as_deref()));
        }
        Ok(Completion {
            text,
            declined: refused || filtered,
            no_evidence: false,
            finish_reason: if refused { Some("refusal".to_owned()) } else { self.finish_reason },
            model: self.model,
            usage: self.usage,
        })
    }
}

pub(super) fn no_text(finish_reason: Option<&str>) -> LlmError {
    match finish_reason {
        Some("length") => LlmError::OutOfTokens,
        _ => LlmError::Malformed { reason: "it has no text" },
    }
}

/// What one event of a stream brought.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Step {
    pub text: String,
    /// Nothing that matters follows.
    pub end: bool,
}

/// Reads one event's data, remembering in `said` what is not text.
pub(super) fn event(api: LlmApi, data: &str, said: &mut Said) -> Result<Step, LlmError> {
    if data.trim_start().starts_with("[DONE]") {
        return Ok(Step { end: true, ..Step::default() });
    }
    let value: Value = serde_json::from_str(data)
        .map_err(|_| LlmError::Malformed { reason: "an event of its stream is not JSON" })?;
    refused(&value)?;
    match api {
        LlmApi::Chat => Ok(chat::event(&value, said)),
        LlmApi::Responses => responses::event(&value, said),
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

/// Names and reasons are words; longer ones are cut before they travel on.
const MAX_WORD_CHARS: usize = 100;

fn word(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.chars().filter(|c| !c.is_control()).take(MAX_WORD_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// Tokens by the names an interface has for them: input, output, details of the input.
fn usage(value: &Value, [input, output, details]: [&str; 3]) -> Option<Usage> {
    let number = |value: &Value| {
        value.as_u64().or_else(|| value.as_f64().filter(|n| (0.0..1e15).contains(n)).map(|n| n as u64))
    };
    let count = |name: &str| value.get(name).and_then(number);
    let (input, output, total) = (count(input), count(output), count("total_tokens"));
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    let cached = value.get(details).and_then(|details| details.get("cached_tokens")).and_then(number);
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    Some(Usage {
        input_tokens: input,
        cached_input_tokens: cached.unwrap_or(0).min(input),
        output_tokens: output,
        total_tokens: total.unwrap_or_else(|| input.saturating_add(output)),
        cost_usd: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_counted_from_what_there_is() {
        let usage = |text: &str| super::usage(&serde_json::from_str(text).unwrap(), chat::USAGE);
        assert_eq!(usage(r#"{"prompt_tokens":3,"completion_tokens":2.0}"#).unwrap().total_tokens, 5);
        assert_eq!(usage(r#"{"prompt_tokens":-3,"total_tokens":9}"#).unwrap().total_tokens, 9);
        assert_eq!(usage(r#"{"prompt_tokens":"x"}"#), None);
        let cached = r#"{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":70}}"#;
        assert_eq!(usage(cached).unwrap().cached_input_tokens, 9);
    }

    #[test]
    fn an_error_within_a_stream_and_its_rubbish_are_errors() {
        let read = |api, data: &str| event(api, data, &mut Said::default());
        for api in [LlmApi::Chat, LlmApi::Responses] {
            assert_eq!(read(api, "[DONE]"), Ok(Step { end: true, text: String::new() }));
            assert!(matches!(read(api, "{\"cho"), Err(LlmError::Malformed { .. })));
            let error = r#"{"error":{"code":429,"message":"slow down"}}"#;
            assert_eq!(read(api, error), Err(LlmError::Throttled { retry_after: None }));
            for odd in ["null", "7", "[]", "{}", r#"{"choices":[],"type":"response.created"}"#] {
                assert_eq!(read(api, odd), Ok(Step::default()), "{odd}");
            }
        }
    }
}
