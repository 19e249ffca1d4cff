//! A request for a chat completion, and how it becomes a question with its conversation.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    domain::{History, InvalidInput, Question, Role, Sampling, Turn},
    http::{problem::Problem, request::RetrievalFields},
    rag::Query,
};

/// Every parameter that means something here. All others are refused, unless they ask for what is done
/// anyway; see [`harmless`].
#[derive(Deserialize)]
pub struct ChatRequest {
    /// Any name: clients have one configured, and there is one model that answers.
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f32>,
    /// The fields of `/query` that concern retrieval.
    #[serde(default)]
    rag: Option<RetrievalFields>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
    /// Padding against onlookers who measure lengths; none is sent.
    #[serde(default)]
    include_obfuscation: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<Value>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl ChatRequest {
    pub fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// The last message is the question, the others are its history.
    pub fn parse(self) -> Result<Query, Problem> {
        if self.model.trim().is_empty() {
            return Err(Problem::parameter("model", "must be a name, as in rag-api"));
        }
        if self.stream_options.as_ref().is_some_and(|options| options.include_obfuscation == Some(true)) {
            return Err(Problem::unsupported("stream_options.include_obfuscation"));
        }
        if let Some((name, _)) = self.others.iter().find(|(name, value)| !harmless(name, value)) {
            return Err(Problem::unsupported(name));
        }
        let sampling = self.sampling()?;
        let mut instructions = String::new();
        let mut turns = Vec::new();
        for (index, message) in self.messages.into_iter().enumerate() {
            let named = |field: &str| format!("messages[{index}].{field}");
            let known = |name: &str| matches!(name, "name" | "refusal" | "annotations" | "audio");
            let strange = message.others.iter().find(|(name, value)| !known(name) && !empty(value));
            if let Some((name, _)) = strange {
                return Err(Problem::unsupported(&named(name)));
            }
            let text = text(message.content, &named("content"))?;
            let role = match message.role.as_str() {
                "user" => Role::User,
                "assistant" => Role::Assistant,
                "system" | "developer" => {
                    instructions.push_str(&text);
                    instructions.push('\n');
                    continue;
                }
                _ => {
                    let reason = "must be user, assistant, system or developer";
                    return Err(Problem::parameter(&named("role"), reason));
                }
            };
            turns.push(Turn { role, content: text });
        }
        let question = turns.pop().filter(|turn| turn.role == Role::User);
        let question = question.ok_or_else(|| {
            Problem::parameter("messages", "must end with a message of the user: it is the question")
        })?;
        let of_messages = |error: InvalidInput| Problem::parameter("messages", error.to_string());
        if instructions.chars().count() > History::MAX_CHARS {
            let reason = format!("holds more than {} characters of instructions", History::MAX_CHARS);
            return Err(Problem::parameter("messages", reason));
        }
        let question = Question::parse(&question.content).map_err(of_messages)?;
        let history = History::recent(turns).map_err(of_messages)?;
        let query = self.rag.unwrap_or_default().parse(question)?;
        let instructions = Some(instructions.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Query { history, instructions, sampling, ..query })
    }

    fn sampling(&self) -> Result<Sampling, Problem> {
        let max_output_tokens = match (self.max_completion_tokens, self.max_tokens) {
            (Some(0), _) => return Err(Problem::parameter("max_completion_tokens", "must be at least 1")),
            (_, Some(0)) => return Err(Problem::parameter("max_tokens", "must be at least 1")),
            (new, old) => new.or(old),
        };
        if self.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return Err(Problem::parameter("temperature", "must be 0 to 2"));
        }
        Ok(Sampling { max_output_tokens, temperature: self.temperature })
    }
}

/// A text, or parts that are all texts.
fn text(content: Option<Value>, named: &str) -> Result<String, Problem> {
    match content {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) | None => Ok(String::new()),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| {
                let kind = part.get("type").and_then(Value::as_str);
                let text = part.get("text").or_else(|| part.get("refusal")).and_then(Value::as_str);
                text.filter(|_| matches!(kind, Some("text" | "refusal")))
                    .ok_or_else(|| Problem::parameter(named, "must be text: no other kind is read"))
            })
            .collect(),
        Some(_) => Err(Problem::parameter(named, "must be a text or a list of text parts")),
    }
}

/// Parameters that ask for what happens anyway, as some clients send every one with its default.
fn harmless(name: &str, value: &Value) -> bool {
    let is = |default: &str| value.as_str() == Some(default);
    let number = |default: f64| value.as_f64() == Some(default);
    empty(value)
        || match name {
            "n" | "top_p" => number(1.0),
            "presence_penalty" | "frequency_penalty" => number(0.0),
            "response_format" => value.get("type").is_some_and(|kind| kind == "text"),
            "tool_choice" => is("none") || is("auto"),
            "service_tier" => is("auto") || is("default"),
            "modalities" => *value == serde_json::json!(["text"]),
            // They tell OpenAI who asks and what to file it under; nobody is told here.
            "user" | "safety_identifier" | "prompt_cache_key" | "metadata" => true,
            _ => false,
        }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<Query, Problem> {
        serde_json::from_value::<ChatRequest>(body).unwrap().parse()
    }

    fn with(name: &str, value: Value) -> Result<Query, Problem> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Why?"}]});
        body[name] = value;
        parse(body)
    }

    #[test]
    fn the_last_turn_is_the_question_and_the_others_its_history() {
        let query = parse(json!({"model": "gpt-4o", "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}], "refusal": null},
            {"role": "developer", "content": "In French."},
            {"role": "user", "content": [{"type": "text", "text": "Why?"}], "name": "ann"}]}))
        .unwrap();
        assert_eq!(query.question.as_str(), "Why?");
        let turns: Vec<_> = query.history.turns().iter().map(|turn| turn.content.as_str()).collect();
        assert_eq!(turns, ["Hi", "Hello"]);
        assert_eq!(query.instructions.as_deref(), Some("Be brief.\nIn French."));
    }

    #[test]
    fn what_would_change_the_answer_is_refused_and_defaults_are_not() {
        for (name, value) in [
            ("n", json!(2)),
            ("tools", json!([{"type": "function"}])),
            ("logprobs", json!(true)),
            ("response_format", json!({"type": "json_object"})),
            ("stop", json!(["x"])),
            ("seed", json!(1)),
            ("top_p", json!(0.5)),
            ("store", json!(true)),
            ("frobnicate", json!(1)),
            ("stream_options", json!({"include_obfuscation": true})),
        ] {
            let problem = with(name, value).err().unwrap_or_else(|| panic!("{name} was taken"));
            assert!(
                problem.openai.as_ref().is_some_and(|names| names.param.starts_with(name)),
                "{problem:?}"
            );
        }
        for (name, value) in [
            ("n", json!(1)),
            ("top_p", json!(1.0)),
            ("presence_penalty", json!(0)),
            ("tools", json!([])),
            ("stop", Value::Null),
            ("logprobs", json!(false)),
            ("user", json!("u")),
            ("response_format", json!({"type": "text"})),
        ] {
            assert!(with(name, value).is_ok(), "{name}");
        }
        let query = with("max_tokens", json!(9)).unwrap();
        assert_eq!(query.sampling.max_output_tokens, Some(9));
        assert_eq!(with("rag", json!({"top_k": 7})).unwrap().top_k.get(), 7);
    }

    #[test]
    fn messages_that_cannot_be_answered_are_told_by_their_place() {
        for (messages, param) in [
            (json!([]), "messages"),
            (json!([{"role": "assistant", "content": "x"}]), "messages"),
            (json!([{"role": "user", "content": " "}]), "messages"),
            (json!([{"role": "tool", "content": "x"}]), "messages[0].role"),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "messages[0].content"),
            (json!([{"role": "assistant", "tool_calls": [{}]}]), "messages[0].tool_calls"),
        ] {
            let problem = with("messages", messages).err().unwrap();
            assert_eq!(problem.openai.unwrap().param, param);
        }
    }
}
