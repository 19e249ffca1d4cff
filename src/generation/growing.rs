//! A generated answer as it grows.

use std::time::Instant;

use super::{
    Asked, Cleaner, Completion, Form, LlmError, LlmStream, MAX_ANSWER_CHARS, OpenAi, Reply, Written, answer,
    filtered, fitting,
};
use crate::domain::{Hit, Question};

/// Words as they come, then the checked answer.
pub struct Growing {
    client: OpenAi,
    question: Question,
    contexts: Vec<Hit>,
    state: State,
    /// What the model wrote.
    text: String,
    cleaner: Cleaner,
    /// White space that may turn out to be the end.
    held: String,
}

enum State {
    Open(Box<LlmStream>),
    Ended(Box<Result<Written, LlmError>>),
}

/// Asks the model; returns with its first words. A refusal is an answer that says so.
pub async fn streamed(
    client: &OpenAi,
    asked: Asked<'_>,
    hits: &[Hit],
    deadline: Instant,
) -> Result<Growing, LlmError> {
    let question = asked.question;
    let (contexts, result) = fitting(client, asked, hits, Form::Stream, deadline).await;
    let state = match result {
        Ok(Reply::Growing(stream)) => State::Open(stream),
        Ok(Reply::Whole(completion)) => {
            State::Ended(Box::new(answer(client, question, contexts, completion)))
        }
        Err(LlmError::Filtered) => State::Ended(Box::new(Ok(filtered(client, question, contexts).into()))),
        Err(error) => return Err(error),
    };
    Ok(Growing {
        client: client.clone(),
        question: question.clone(),
        contexts: contexts.to_vec(),
        state,
        text: String::new(),
        cleaner: Cleaner::new(contexts),
        held: String::new(),
    })
}

impl Growing {
    /// The next words to show; `None` at the end. Together they are the text of the answer.
    pub async fn next(&mut self) -> Result<Option<String>, LlmError> {
        loop {
            let State::Open(stream) = &mut self.state else { return Ok(None) };
            let room = self.text.len() < MAX_ANSWER_CHARS;
            let next = if room { stream.next().await? } else { None };
            let Some(words) = next else { return Ok(self.end()) };
            self.text.push_str(&words);
            let words = self.cleaner.push(&words);
            let words = self.trimmed(&words);
            if !words.is_empty() {
                return Ok(Some(words));
            }
        }
    }

    /// The answer with its citations compared, once `next` has given `None`.
    pub fn finish(self) -> Result<Written, LlmError> {
        match self.state {
            State::Ended(answer) => *answer,
            State::Open(_) => Err(LlmError::Malformed { reason: "its stream was left early" }),
        }
    }

    fn end(&mut self) -> Option<String> {
        let unasked = Box::new(Err(LlmError::Malformed { reason: "its stream was left early" }));
        let State::Open(stream) = std::mem::replace(&mut self.state, State::Ended(unasked)) else {
            return None;
        };
        let seen = !self.text.trim().is_empty();
        let completion = Completion { text: std::mem::take(&mut self.text), ..stream.finish(seen) };
        let answer = answer(&self.client, &self.question, &self.contexts, completion);
        // What stands in for an answer that the model would not give has not been shown.
        let late = answer.as_ref().ok().filter(|_| !seen).map(|answer| answer.text().to_owned());
        self.state = State::Ended(Box::new(answer));
        let rest = self.cleaner.finish();
        late.or_else(|| Some(self.trimmed(&rest))).filter(|rest| !rest.is_empty())
    }

    fn trimmed(&mut self, words: &str) -> String {
        self.held.push_str(words);
        let end = self.held.trim_end().len();
        let rest = self.held.split_off(end);
        std::mem::replace(&mut self.held, rest)
    }
}
