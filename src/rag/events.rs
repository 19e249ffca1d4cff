//! An answer told piece by piece.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::Instrument;

use super::{Answered, Found, Query, Rag, RagError};
use crate::{
    generation::{Growing, LlmError, Written},
    telemetry::spans,
};

/// Pieces that may wait for a slow reader; then the model's server has to wait too.
const WAITING_PIECES: usize = 8;
/// What is kept of a stream's time for its last words and the checks behind them.
const RESERVE: Duration = Duration::from_secs(3);
/// How long the last event may wait for a reader who has stopped reading.
const LAST_WORD: Duration = Duration::from_secs(1);

/// In this order: one `Contexts`, any number of `Delta`, one `Done` or `Failed`. A failure before the first
/// passages comes alone.
#[derive(Debug)]
pub enum Event {
    Contexts(Found),
    /// The next piece of the answer; together they are its text.
    Delta(String),
    Done(Box<Answered>),
    Failed(RagError),
}

/// What happens to one question. Dropped, it ends the work, and with it the request to the LLM.
pub struct Events {
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

impl Rag {
    /// As [`Rag::answer`], told as it comes about, by a task of its own that ends when nobody listens.
    pub fn stream(&self, query: Query) -> Events {
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let (rag, limit) = (self.clone(), self.parts.stream_timeout);
        let span = spans::answer(query.mode.as_str(), query.top_k.get());
        let own = span.clone();
        let tell = async move {
            let deadline = Instant::now() + limit.saturating_sub(RESERVE.min(limit / 4));
            let listener = Listener::Stream(sender.clone());
            let work = tokio::time::timeout(limit, rag.work_out(&query, deadline, &listener));
            let result = tokio::select! {
                result = work => result.unwrap_or(Err(RagError::TooSlow(limit))),
                () = sender.closed() => {
                    spans::cancelled(&own);
                    return;
                }
            };
            let last = match result {
                Ok(answered) => Event::Done(Box::new(answered)),
                Err(error) => {
                    spans::failure(&own, &error);
                    Event::Failed(error)
                }
            };
            let _ = sender.send_timeout(last, LAST_WORD).await;
        };
        tokio::spawn(tell.instrument(span));
        Events { receiver }
    }
}

/// Who hears of an answer before it is complete.
pub(super) enum Listener {
    Nobody,
    Stream(mpsc::Sender<Event>),
}

impl Listener {
    pub fn streams(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    pub async fn contexts(&self, found: &Found) {
        self.tell(|| Event::Contexts(found.clone())).await;
    }

    pub async fn delta(&self, text: String) {
        self.tell(|| Event::Delta(text)).await;
    }

    /// Passes an answer on as it grows; `heard` tells whether any of it was.
    pub async fn hear(&self, mut growing: Growing, heard: &mut bool) -> Result<Written, LlmError> {
        while let Some(words) = growing.next().await? {
            *heard = true;
            self.delta(words).await;
        }
        growing.finish()
    }

    /// A listener who has gone is noticed by the task as a whole.
    async fn tell(&self, event: impl FnOnce() -> Event) {
        if let Self::Stream(sender) = self {
            let _ = sender.send(event()).await;
        }
    }
}
