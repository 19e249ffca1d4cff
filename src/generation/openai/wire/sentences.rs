//! An answer as JSON by a schema: sentences, each with the numbers of its passages.

use serde_json::{Value, json};

use super::Completion;
use crate::generation::openai::LlmError;

/// Strict, as OpenAI wants it: every member required, none other allowed.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["enough_evidence", "sentences"],
        "properties": {
            "enough_evidence": {
                "type": "boolean",
                "description": "Whether the passages hold the answer. If not, leave sentences empty."
            },
            "sentences": {
                "type": "array",
                "description": "The answer, sentence by sentence.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["text", "passages"],
                    "properties": {
                        "text": {"type": "string", "description": "One sentence, without citations."},
                        "passages": {
                            "type": "array",
                            "description": "Numbers of the passages that support the sentence.",
                            "items": {"type": "integer"}
                        }
                    }
                }
            }
        }
    })
}

/// Turns such an answer into text with markers. Text that is no JSON comes from a server that takes the
/// parameter and ignores it, and is an answer as it stands.
pub(super) fn read(completion: Completion) -> Result<Completion, LlmError> {
    let text = completion.text.trim();
    let text = text.strip_prefix("```json").and_then(|text| text.strip_suffix("```")).unwrap_or(text).trim();
    if !text.starts_with('{') {
        return Ok(completion);
    }
    let broken = || match completion.finish_reason.as_deref() {
        Some("length") => LlmError::OutOfTokens,
        _ => LlmError::Malformed { reason: "its JSON is not the one asked for" },
    };
    let value: Value = serde_json::from_str(text).map_err(|_| broken())?;
    let sentences = value.get("sentences").and_then(Value::as_array).ok_or_else(broken)?;
    let sentences: Vec<String> = sentences.iter().filter_map(sentence).collect();
    // What a model wrote in spite of its own verdict is not shown.
    let no_evidence = value.get("enough_evidence") == Some(&Value::Bool(false));
    if sentences.is_empty() && !no_evidence {
        return Err(broken());
    }
    let text = if no_evidence { String::new() } else { sentences.join(" ") };
    Ok(Completion { text, no_evidence, ..completion })
}

fn sentence(value: &Value) -> Option<String> {
    let text = value.get("text")?.as_str()?.trim();
    if text.is_empty() {
        return None;
    }
    let mut marked = text.to_owned();
    let numbers = value.get("passages").and_then(Value::as_array).into_iter().flatten();
    for number in numbers.filter_map(Value::as_u64) {
        let marker = format!("[{number}]");
        // Some write the marker into the sentence as well.
        if !marked.contains(&marker) {
            if !marked.ends_with(']') {
                marked.push(' ');
            }
            marked.push_str(&marker);
        }
    }
    Some(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Completion, LlmError> {
        read(Completion { text: text.to_owned(), ..Completion::default() })
    }

    #[test]
    fn sentences_become_text_with_markers() {
        let json = r#"{"enough_evidence":true,"sentences":[{"text":"Leave is 25 days. ","passages":[1,3]},
            {"text":"","passages":[2]},{"text":"Ask first [2].","passages":[2]},{"text":"So.","passages":[]}]}"#;
        let text = "Leave is 25 days. [1][3] Ask first [2]. So.";
        assert_eq!(said(json).unwrap().text, text);
        assert_eq!(said(&format!("```json\n{json}\n```")).unwrap().text, text);
    }

    #[test]
    fn a_verdict_of_no_evidence_outweighs_what_stands_beside_it() {
        let json = r#"{"enough_evidence":false,"sentences":[{"text":"Made up.","passages":[1]}]}"#;
        let completion = said(json).unwrap();
        assert_eq!((completion.no_evidence, completion.text.as_str()), (true, ""));
    }

    #[test]
    fn plain_text_stays_and_broken_json_is_never_shown() {
        assert_eq!(said("Leave is 25 days [1].").unwrap().text, "Leave is 25 days [1].");
        for broken in ["{", "{}", r#"{"sentences":[]}"#, r#"{"sentences":[{"text":7}]}"#] {
            assert!(matches!(said(broken), Err(LlmError::Malformed { .. })), "{broken}");
        }
        let cut = Completion {
            text: "{\"sen".into(),
            finish_reason: Some("length".into()),
            ..Completion::default()
        };
        assert_eq!(read(cut), Err(LlmError::OutOfTokens));
    }
}
