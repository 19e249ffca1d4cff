//! A reply that goes on after its head: watched to its end, which may be that its reader goes away.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    response::Response,
};
use futures_util::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::{middleware::Watch, problem::Problem};

/// Marks a reply as one that goes on; what handler and middleware have to tell each other about it.
#[derive(Clone, Default)]
pub struct Streamed(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    place: Option<OwnedSemaphorePermit>,
    failure: Option<Problem>,
}

impl Streamed {
    /// The place among those at work that is free again at the end.
    pub fn holds(&self, place: OwnedSemaphorePermit) {
        self.notes().place = Some(place);
    }

    /// What the reader was told in place of the rest.
    pub fn failed(&self, problem: Problem) {
        self.notes().failure = Some(problem);
    }

    /// The reply under the eyes of the current span and of `watch`, which ends with it.
    pub fn watched(self, response: Response, watch: Watch) -> Response {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let span = Span::current();
        let body =
            Watched { body: body.into_data_stream(), watch: Some(watch), status, span, streamed: self };
        Response::from_parts(head, Body::from_stream(body))
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watched {
    body: BodyDataStream,
    /// Gone once the end was reached.
    watch: Option<Watch>,
    status: u16,
    span: Span,
    streamed: Streamed,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.body.poll_next_unpin(context);
        if let Poll::Ready(None) = &next
            && let Some(watch) = self.watch.take()
        {
            let failure = self.streamed.notes().failure.take();
            self.span.in_scope(|| watch.finish(self.status, failure.as_ref()));
        }
        next
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // An unfinished watch reports that the client went away.
        let watch = self.watch.take();
        self.span.in_scope(|| drop(watch));
    }
}
