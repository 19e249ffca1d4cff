//! A chat completion as it grows: chunks in OpenAI's form, and `[DONE]`.

use std::convert::Infallible;

use axum::response::{Response, sse::Event as Frame};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::chat::{Head, counts, finish_reason};
use crate::{
    http::{
        events::opened,
        problem::Problem,
        reply::{AnswerTail, ContextFields},
        streamed::Streamed,
    },
    rag::{Answered, Event, Events, Found},
};

/// Waits for the passages first, as [`crate::http::events::reply`] does.
pub async fn reply(mut events: Events, head: Head, usage: bool) -> Result<Response, Problem> {
    let found = match events.next().await {
        Some(Event::Contexts(found)) => found,
        Some(Event::Failed(error)) => return Err(error.into()),
        _ => return Err(Problem::internal(Some("a stream ended before it began".to_owned()))),
    };
    let streamed = Streamed::default();
    let writer = Writer { head, usage, found, streamed: streamed.clone() };
    let opening = writer.chunk(None, json!({"role": "assistant", "content": ""}), Value::Null);
    let rest = stream::unfold(Some((events, writer)), |state| async move {
        let (mut events, mut writer) = state?;
        let (frames, last) = writer.frames(events.next().await);
        Some((stream::iter(frames), (!last).then_some((events, writer))))
    });
    let frames = stream::iter([frame(&opening)]).chain(rest.flatten()).map(Ok::<_, Infallible>);
    Ok(opened(frames, streamed))
}

struct Writer {
    head: Head,
    usage: bool,
    found: Found,
    streamed: Streamed,
}

impl Writer {
    fn frames(&mut self, event: Option<Event>) -> (Vec<Frame>, bool) {
        match event {
            Some(Event::Contexts(_)) => (Vec::new(), false),
            Some(Event::Delta(text)) => {
                (vec![frame(&self.chunk(None, json!({ "content": text }), Value::Null))], false)
            }
            Some(Event::Done(answered)) => (self.end(*answered), true),
            Some(Event::Failed(error)) => (vec![self.failed(error.into())], true),
            None => {
                let cause = "a stream ended without its end".to_owned();
                (vec![self.failed(Problem::internal(Some(cause)))], true)
            }
        }
    }

    fn end(&mut self, answered: Answered) -> Vec<Frame> {
        let model = answered.answer.model.clone();
        let usage = answered.answer.usage;
        let reason = finish_reason(&answered.answer);
        let mut last = self.chunk(model.as_deref(), json!({}), json!(reason));
        let hits = std::mem::take(&mut self.found.hits);
        let contexts: Vec<ContextFields> = hits.into_iter().map(ContextFields::from).collect();
        last["rag"] = serde_json::to_value(AnswerTail::new(answered, self.head.trace_id)).unwrap_or_default();
        last["rag"]["contexts"] = serde_json::to_value(contexts).unwrap_or_default();
        let mut frames = vec![frame(&last)];
        if self.usage {
            let mut counted = self.head.body("chat.completion.chunk", model.as_deref(), json!([]));
            counted["usage"] = counts(usage);
            frames.push(frame(&counted));
        }
        frames.push(Frame::default().data("[DONE]"));
        frames
    }

    /// OpenAI's clients raise what stands in an `error` member.
    fn failed(&self, problem: Problem) -> Frame {
        let frame = frame(&problem.openai_members());
        self.streamed.failed(problem);
        frame
    }

    fn chunk(&self, model: Option<&str>, delta: Value, reason: Value) -> Value {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
        let mut chunk = self.head.body("chat.completion.chunk", model, json!([choice]));
        if self.usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}

fn frame(data: &Value) -> Frame {
    Frame::default().data(data.to_string())
}
