//! Answers from passages: by a language model, or by picking sentences.

mod citations;
mod claims;
mod cleaner;
mod extractive;
mod facts;
mod invisible;
mod language;
mod links;
mod markers;
mod openai;
mod passage;
mod plain;
mod polarity;
mod prompt;
mod sentences;
mod shown;
mod units;
mod words;

use std::{
    hash::{BuildHasher, RandomState},
    time::Instant,
};

pub use citations::{Checked, Draft, MAX_PAIRS, check, draft};
pub use cleaner::Cleaner;
pub use extractive::{Candidate, MAX_CANDIDATES, candidates, compose, evidence, no_evidence};
pub use language::Language;
pub use openai::{Completion, LlmError, OpenAi, OpenAiSetupError};
pub use prompt::{DEFAULT_BUDGET_CHARS, Message, Prompt, prompt};

use crate::domain::{Answer, Grounding, History, Hit, Question};

/// A longer answer is cut: no model writes one, and each sentence of it is compared with its passages.
const MAX_ANSWER_CHARS: usize = 100_000;
/// How often a prompt that the model's context cannot hold is halved.
const MAX_HALVINGS: u32 = 4;

/// Asks the model and checks what it cites. A refusal, of the model or of a filter, is an answer that
/// says so; everything else that leaves no text is an error. `Answer::contexts` are the passages that
/// were sent: fewer than `hits` where the model's context holds no more.
pub async fn generative(
    client: &OpenAi,
    question: &Question,
    history: &History,
    hits: &[Hit],
    deadline: Instant,
) -> Result<Answer, LlmError> {
    let boundary = boundary();
    let mut budget = DEFAULT_BUDGET_CHARS;
    let mut halvings = 0;
    loop {
        let prompt = prompt(question.as_str(), history, hits, &boundary, budget);
        let contexts = &hits[..prompt.passages];
        match client.complete(&prompt.messages, deadline).await {
            Ok(completion) => return answer(client, question, contexts, completion),
            Err(LlmError::Filtered) => {
                let filtered = Some("content_filter".to_owned());
                return Ok(declined(client, question, contexts, filtered));
            }
            Err(LlmError::TooLong) if halvings < MAX_HALVINGS => {
                halvings += 1;
                let characters: usize = contexts.iter().map(|hit| hit.chunk.content.chars().count()).sum();
                budget = characters.min(budget) / 2;
                tracing::warn!(budget_chars = budget, "the prompt is too long for the llm, it is shortened");
            }
            Err(error) => return Err(error),
        }
    }
}

fn answer(
    client: &OpenAi,
    question: &Question,
    contexts: &[Hit],
    completion: Completion,
) -> Result<Answer, LlmError> {
    let model = completion.model.unwrap_or_else(|| client.model().to_owned());
    let usage = completion.usage.map(|usage| client.priced(usage));
    if completion.declined {
        let declined = declined(client, question, contexts, completion.finish_reason);
        return Ok(Answer { model: Some(model), usage, ..declined });
    }
    let text: String = completion.text.chars().take(MAX_ANSWER_CHARS).collect();
    let Checked { text, grounding, support, dangling, neutralised, .. } = check(&text, contexts);
    if dangling + neutralised > 0 {
        tracing::debug!(
            dangling,
            neutralised,
            "the answer cited passages that do not exist, or had active content"
        );
    }
    if text.is_empty() {
        return Err(LlmError::Malformed { reason: "it has nothing but markers" });
    }
    Ok(Answer {
        text,
        contexts: contexts.to_vec(),
        grounding,
        support,
        model: Some(model),
        finish_reason: completion.finish_reason,
        usage,
    })
}

fn declined(client: &OpenAi, question: &Question, contexts: &[Hit], finish_reason: Option<String>) -> Answer {
    Answer {
        text: Language::of(question.as_str()).declined().to_owned(),
        contexts: contexts.to_vec(),
        grounding: Grounding::Uncited,
        support: 0.0,
        model: Some(client.model().to_owned()),
        finish_reason,
        usage: None,
    }
}

/// A mark that no passage can know: the keys of the standard hasher come from the system's randomness.
fn boundary() -> String {
    let draw = |salt: u8| RandomState::new().hash_one((salt, Instant::now()));
    format!("{:016x}{:016x}", draw(0), draw(1))
}

/// Words for tests of this room.
#[cfg(test)]
mod testing {
    use crate::domain::{Chunk, ChunkId, History, Hit, Turn};

    pub fn hit(source: &str, content: &str) -> Hit {
        let chunk = Chunk {
            id: ChunkId(source.to_owned()),
            source: source.to_owned(),
            title: None,
            content: content.to_owned(),
            page_number: None,
            chunk_index: 0,
            content_hash: String::new(),
            language: None,
            tags: Vec::new(),
            created_at: String::new(),
        };
        Hit { chunk, score: 1.0, cosine: Some(0.5), caption: None }
    }

    pub fn history(turns: Vec<Turn>) -> History {
        History::parse(turns).unwrap()
    }
}
