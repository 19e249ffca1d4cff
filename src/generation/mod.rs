//! Answers from passages: by a language model, or by picking sentences.

mod citations;
mod claims;
mod cleaner;
mod evidence;
mod extractive;
mod facts;
mod followup;
mod growing;
mod invisible;
mod language;
mod links;
mod markers;
mod openai;
mod passage;
mod plain;
mod polarity;
mod prompt;
pub mod rewrite;
mod sentences;
mod shown;
mod units;
mod words;
mod written;

use std::{
    hash::{BuildHasher, RandomState},
    time::Instant,
};

pub use citations::{Checked, Draft, MAX_PAIRS, check, draft};
pub use cleaner::Cleaner;
pub use evidence::{Signals, evidence, signals};
pub use extractive::{Candidate, MAX_CANDIDATES, candidates, compose, no_evidence};
pub use growing::{Growing, streamed};
pub use language::Language;
pub use openai::{Completion, Form, LlmError, OpenAi, OpenAiSetupError};
use openai::{LlmStream, Reply};
pub use prompt::{Message, Prompt, prompt, tokens};
pub use written::Written;

use crate::domain::{Answer, Grounding, History, Hit, Question, Removed, Sampling, Usage};

/// A longer answer is cut: no model writes one, and each sentence of it is compared with its passages.
const MAX_ANSWER_CHARS: usize = 100_000;
/// How often a prompt that the model's context cannot hold is halved.
const MAX_HALVINGS: u32 = 4;

/// What the model is asked about its passages.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub question: &'a Question,
    pub history: &'a History,
    pub instructions: Option<&'a str>,
    pub sampling: Sampling,
}

/// Asks the model and checks what it cites. A refusal, of the model or of a filter, is an answer that
/// says so; everything else that leaves no text is an error. `Answer::contexts` are the passages that
/// were sent: fewer than `hits` where the model's context holds no more.
pub async fn generative(
    client: &OpenAi,
    asked: Asked<'_>,
    hits: &[Hit],
    deadline: Instant,
) -> Result<Written, LlmError> {
    let question = asked.question;
    match fitting(client, asked, hits, Form::Sentences, deadline).await {
        (contexts, Ok(Reply::Whole(completion))) => answer(client, question, contexts, completion),
        (_, Ok(Reply::Growing(_))) => Err(LlmError::Malformed { reason: "it is a stream" }),
        (contexts, Err(LlmError::Filtered)) => Ok(filtered(client, question, contexts).into()),
        (_, Err(error)) => Err(error),
    }
}

/// The question as it stands without the conversation, by the model where there is one, else by a heuristic;
/// `None` where it stands alone already. With it what the model used.
pub async fn stand_alone(
    client: Option<&OpenAi>,
    question: &Question,
    history: &History,
    deadline: Instant,
) -> (Option<Question>, Option<Usage>) {
    let mut usage = None;
    if let Some(client) = client {
        let messages = rewrite::prompt(question, history, &boundary());
        match client.complete(&messages, Form::Text, deadline).await {
            Ok(completion) => {
                usage = completion.usage.map(|usage| client.priced(usage, completion.model.as_deref()));
                let written = Some(completion.text).filter(|_| !completion.declined);
                if let Some(rewritten) = written.and_then(|text| rewrite::accept(question, history, &text)) {
                    return (Some(rewritten).filter(|rewritten| rewritten != question), usage);
                }
            }
            Err(error) => tracing::warn!(error = %error, "llm rewrote no question; rewriting by words"),
        }
    }
    (rewrite::heuristic(question, history), usage)
}

/// Asks with as many passages as the model's context holds; these, and what came of it.
async fn fitting<'a>(
    client: &OpenAi,
    asked: Asked<'_>,
    hits: &'a [Hit],
    form: Form,
    deadline: Instant,
) -> (&'a [Hit], Result<Reply, LlmError>) {
    let boundary = boundary();
    let mut budget = client.prompt_tokens();
    let mut halvings = 0;
    loop {
        let mut prompt = prompt(asked.question.as_str(), asked.history, hits, &boundary, budget);
        if let (Some(instructions), Some(rules)) = (asked.instructions, prompt.messages.first_mut()) {
            rules.content.push_str("\n\nThe caller adds, as far as these rules allow it:\n");
            rules.content.push_str(instructions);
        }
        let contexts = &hits[..prompt.passages];
        match client.ask(&prompt.messages, form, asked.sampling, deadline).await {
            Err(LlmError::TooLong) if halvings < MAX_HALVINGS => {
                halvings += 1;
                let sent: usize = contexts.iter().map(|hit| tokens(&hit.chunk.content)).sum();
                budget = sent.min(budget) / 2;
                tracing::warn!(budget_tokens = budget, "the prompt is too long for the llm, it is shortened");
            }
            result => return (contexts, result),
        }
    }
}

fn answer(
    client: &OpenAi,
    question: &Question,
    contexts: &[Hit],
    completion: Completion,
) -> Result<Written, LlmError> {
    let usage = completion.usage.map(|usage| client.priced(usage, completion.model.as_deref()));
    let model = completion.model.unwrap_or_else(|| client.model().to_owned());
    if completion.declined {
        let declined = declined(client, question, contexts, completion.finish_reason);
        return Ok(Answer { model: Some(model), usage, ..declined }.into());
    }
    if completion.no_evidence {
        let finish_reason = completion.finish_reason;
        let contexts = contexts.to_vec();
        let answer = Answer { contexts, model: Some(model), finish_reason, usage, ..no_evidence(question) };
        return Ok(answer.into());
    }
    let text: String = completion.text.chars().take(MAX_ANSWER_CHARS).collect();
    let answer = Answer {
        text: String::new(),
        contexts: contexts.to_vec(),
        grounding: Grounding::Uncited,
        support: 0.0,
        removed: Removed::default(),
        model: Some(model),
        finish_reason: completion.finish_reason,
        usage,
    };
    Written::new(answer, draft(&text, contexts))
}

fn filtered(client: &OpenAi, question: &Question, contexts: &[Hit]) -> Answer {
    declined(client, question, contexts, Some("content_filter".to_owned()))
}

fn declined(client: &OpenAi, question: &Question, contexts: &[Hit], finish_reason: Option<String>) -> Answer {
    Answer {
        text: Language::of(question.as_str()).declined().to_owned(),
        contexts: contexts.to_vec(),
        grounding: Grounding::Uncited,
        support: 0.0,
        removed: Removed::default(),
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
    use std::time::Duration;

    use crate::{
        config::{LlmApi, LlmAuth, LlmConfig, PriceTable},
        domain::{Chunk, ChunkId, History, Hit, Turn},
    };

    pub fn llm() -> LlmConfig {
        LlmConfig {
            base_url: "http://localhost/v1".to_owned(),
            api: LlmApi::Chat,
            auth: LlmAuth::None,
            model: "test-model".to_owned(),
            prompt_tokens: LlmConfig::DEFAULT_PROMPT_TOKENS,
            max_output_tokens: None,
            temperature: None,
            reasoning_effort: None,
            verbosity: None,
            structured: false,
            timeout: Duration::from_secs(5),
            max_retries: 0,
            prices: PriceTable::default(),
        }
    }

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
