//! `POST /query` as server-sent events: `contexts`, `delta`, then `done` or `error`.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue, header::CACHE_CONTROL},
    response::{
        IntoResponse, Response,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use serde::Serialize;

use super::{
    problem::Problem,
    reply::{AnswerTail, ContextFields},
    streamed::Streamed,
};
use crate::{
    rag::{Event, Events},
    telemetry::TraceId,
};

/// Proxies cut connections on which nothing moves.
const PING: Duration = Duration::from_secs(15);
/// Tells nginx to pass each event on at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Waits for the passages first: what fails until then is an ordinary problem with its status.
pub async fn reply(mut events: Events, trace_id: TraceId) -> Result<Response, Problem> {
    let first = match events.next().await {
        Some(Event::Failed(error)) => return Err(error.into()),
        Some(event) => event,
        None => return Err(Problem::internal(Some("a stream ended before it began".to_owned()))),
    };
    let streamed = Streamed::default();
    let state = Some((Some(first), events, streamed.clone()));
    let frames = stream::unfold(state, move |state| async move {
        let (first, mut events, streamed) = state?;
        let event = match first {
            Some(event) => Some(event),
            None => events.next().await,
        };
        let (frame, last) = frame(event, trace_id, &streamed);
        Some((Ok::<_, Infallible>(frame), (!last).then_some((None, events, streamed))))
    });
    Ok(opened(frames, streamed))
}

/// A reply that goes on after its head. Nothing on the way may keep or change it.
pub fn opened<S>(frames: S, streamed: Streamed) -> Response
where
    S: Stream<Item = Result<Frame, Infallible>> + Send + 'static,
{
    let keep_alive = KeepAlive::new().interval(PING).text("ping");
    let mut response = Sse::new(frames).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response.extensions_mut().insert(streamed);
    response
}

/// What the reader gets, and whether it is the last of it.
fn frame(event: Option<Event>, trace_id: TraceId, streamed: &Streamed) -> (Frame, bool) {
    let failed = |problem: Problem| {
        let frame = json("error", &Failed { problem: problem.members(trace_id) });
        streamed.failed(problem);
        frame
    };
    // The id lets a browser that connects again say that it has heard the end.
    let last = |frame: Frame| (frame.id(trace_id.to_string()), true);
    match event {
        Some(Event::Contexts(found)) => {
            let contexts = found.hits.into_iter().map(ContextFields::from).collect();
            (json("contexts", &Contexts { contexts }), false)
        }
        Some(Event::Delta(text)) => (json("delta", &Delta { text }), false),
        Some(Event::Done(answered)) => last(json("done", &AnswerTail::new(*answered, trace_id))),
        Some(Event::Failed(error)) => last(failed(error.into())),
        // Only a panic ends the work without a word.
        None => last(failed(Problem::internal(Some("a stream ended without its end".to_owned())))),
    }
}

fn json(name: &str, data: &impl Serialize) -> Frame {
    // Numbers and texts can always be written.
    Frame::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

#[derive(Serialize)]
struct Contexts {
    contexts: Vec<ContextFields>,
}

#[derive(Serialize)]
struct Failed<P> {
    problem: P,
}

#[derive(Serialize)]
struct Delta {
    text: String,
}
