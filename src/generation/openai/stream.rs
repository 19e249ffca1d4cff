//! An answer as it grows.

use std::time::{Duration, Instant};

use reqwest::Response;
use tracing::Span;

use super::{
    Completion, Failure, LlmError, OpenAi,
    events::Events,
    wire::{self, Said},
};
use crate::telemetry::spans;

/// A longer stream is no answer of a model.
const MAX_STREAM_BYTES: usize = 64 << 20;
/// A longer beginning is taken for an answer without thoughts.
const THOUGHTS: &str = "<think>";

/// A stream whose first words have arrived. Dropped, it ends the request.
pub struct LlmStream {
    client: OpenAi,
    /// The exchange on the wire; its end is the answer's.
    span: Span,
    /// `None`: the server sent its reply whole.
    source: Option<Source>,
    first: Option<String>,
    said: Said,
    thoughts: Thoughts,
}

struct Source {
    response: Response,
    events: Events,
    bytes: usize,
    ended: bool,
    deadline: Instant,
}

impl LlmStream {
    /// Waits for the first words, as until then another try harms nobody.
    pub(super) async fn open(
        client: OpenAi,
        response: Response,
        span: Span,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let source = Source { response, events: Events::default(), bytes: 0, ended: false, deadline };
        let mut stream = Self {
            client,
            span,
            source: Some(source),
            first: None,
            said: Said::default(),
            thoughts: Thoughts::default(),
        };
        let first = stream.read().await?;
        let filtered = stream.said.finish_reason.as_deref() == Some("content_filter");
        if first.is_none() && !stream.said.refused && !filtered {
            return Err(Failure::lasting(wire::no_text(stream.said.finish_reason.as_deref())));
        }
        stream.first = first;
        Ok(stream)
    }

    /// The reply of a server that does not stream: one piece.
    pub(super) fn whole(client: OpenAi, completion: Completion, span: Span) -> Self {
        let Completion { text, declined, finish_reason, model, usage, .. } = completion;
        let refused = declined && finish_reason.as_deref() == Some("refusal");
        Self {
            client,
            span,
            source: None,
            first: (!text.is_empty()).then_some(text),
            said: Said { text: String::new(), refused, finish_reason, model, usage },
            thoughts: Thoughts::default(),
        }
    }

    /// The next words; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<String>, LlmError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let next = self.read().await.map_err(|failure| failure.error);
        if let Err(error) = &next {
            spans::failure(&self.span, error);
            self.client.inner.breaker_failed(error);
        }
        next
    }

    /// What there is to say besides the text, which is left empty.
    pub fn finish(self, text_seen: bool) -> Completion {
        let refused = self.said.refused && !text_seen;
        let filtered = self.said.finish_reason.as_deref() == Some("content_filter");
        let completion = Completion {
            text: String::new(),
            declined: refused || (filtered && !text_seen),
            no_evidence: false,
            finish_reason: if refused { Some("refusal".to_owned()) } else { self.said.finish_reason },
            model: self.said.model,
            usage: self.said.usage,
        };
        self.client.inner.breaker.succeeded();
        self.client.completed(&self.span, &completion);
        completion
    }

    async fn read(&mut self) -> Result<Option<String>, Failure> {
        let silence = self.client.inner.config.timeout;
        let Some(source) = &mut self.source else { return Ok(None) };
        loop {
            let Some(data) = source.event(silence).await? else {
                let rest = self.thoughts.rest();
                return Ok((!rest.is_empty()).then_some(rest));
            };
            let api = self.client.inner.config.api;
            let step = wire::event(api, &data, &mut self.said).map_err(Failure::lasting)?;
            source.ended |= step.end;
            let text = self.thoughts.strip(step.text);
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }
}

impl Source {
    /// The data of the next event; `None` at the end. `silence` is the longest wait for bytes.
    async fn event(&mut self, silence: Duration) -> Result<Option<String>, Failure> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if let Some(data) = self.events.next() {
                return Ok(Some(data));
            }
            let left = self.deadline.saturating_duration_since(Instant::now()).min(silence);
            let chunk = tokio::time::timeout(left, self.response.chunk()).await;
            match chunk.map_err(|_| Failure::passing(LlmError::Timeout))? {
                Err(error) => return Err(Failure::transport(&error)),
                Ok(None) => {
                    self.ended = true;
                    return Ok(self.events.rest());
                }
                Ok(Some(bytes)) => {
                    self.bytes += bytes.len();
                    let fits = self.bytes <= MAX_STREAM_BYTES;
                    if !fits || self.events.push(&bytes).is_err() {
                        let error = LlmError::Malformed { reason: "its stream has no end" };
                        return Err(Failure::lasting(error));
                    }
                }
            }
        }
    }
}

/// Leaves out the thoughts that some local servers put in front of the answer.
#[derive(Default)]
enum Thoughts {
    /// Nothing but a beginning of the mark has come.
    #[default]
    Unknown,
    Beginning(String),
    Thinking(String),
    Answering,
}

impl Thoughts {
    fn strip(&mut self, text: String) -> String {
        match self {
            Self::Answering => text,
            Self::Unknown if text.trim_start().is_empty() => String::new(),
            Self::Unknown => {
                *self = Self::Beginning(String::new());
                self.strip(text.trim_start().to_owned())
            }
            Self::Beginning(held) => {
                held.push_str(&text);
                if let Some(thoughts) = held.strip_prefix(THOUGHTS) {
                    let thoughts = thoughts.to_owned();
                    *self = Self::Thinking(String::new());
                    self.strip(thoughts)
                } else if THOUGHTS.starts_with(held.as_str()) {
                    String::new()
                } else {
                    self.rest()
                }
            }
            Self::Thinking(held) => {
                held.push_str(&text);
                match held.split_once("</think>") {
                    Some((_, answer)) => {
                        let answer = answer.to_owned();
                        *self = Self::Unknown;
                        self.strip(answer)
                    }
                    None => {
                        // Of the thoughts only what may be the beginning of their end matters.
                        let keep = held.char_indices().rev().nth(8).map_or(0, |(at, _)| at);
                        held.drain(..keep);
                        String::new()
                    }
                }
            }
        }
    }

    fn rest(&mut self) -> String {
        match std::mem::replace(self, Self::Answering) {
            Self::Beginning(held) => held,
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_left_out_however_they_are_cut() {
        for (text, expected) in [
            ("<think>Hm.\nWell [1].</think>\n\nHi <b> you", "Hi <b> you"),
            ("  Hi <think>", "Hi <think>"),
            ("<th", "<th"),
            ("<think>Hm", ""),
            ("<thing>", "<thing>"),
        ] {
            for size in 1..=text.len() {
                let mut thoughts = Thoughts::default();
                let letters: Vec<char> = text.chars().collect();
                let mut seen: String =
                    letters.chunks(size).map(|cut| thoughts.strip(cut.iter().collect())).collect();
                seen.push_str(&thoughts.rest());
                assert_eq!(seen, expected, "{text} by {size}");
            }
        }
    }
}
