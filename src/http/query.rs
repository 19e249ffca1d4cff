//! `/query`: an answer with its passages and citations, whole or as it grows.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{
    AppState,
    body::Strict,
    events,
    problem::Problem,
    reply::QueryReply,
    request::{QueryParameters, QueryRequest},
};
use crate::{domain::Question, telemetry::TraceId};

/// `stream` decides; without it the `Accept` header.
pub async fn query(
    State(state): State<Arc<AppState>>,
    Extension(trace_id): Extension<TraceId>,
    headers: HeaderMap,
    Strict(request): Strict<QueryRequest>,
) -> Result<Response, Problem> {
    let stream = request.stream().unwrap_or_else(|| wants_events(&headers));
    let query = request.parse()?;
    note_question(&query.question);
    if stream {
        return events::reply(state.rag.stream(query), trace_id).await;
    }
    let answered = state.rag.answer(&query).await?;
    Ok(QueryReply::new(answered, trace_id).into_response())
}

/// For EventSource, which can only GET; always a stream. When it connects again after an answer was
/// complete, it is told to leave it at that: it would ask the same question for ever.
pub async fn listen(
    State(state): State<Arc<AppState>>,
    Extension(trace_id): Extension<TraceId>,
    headers: HeaderMap,
    parameters: Result<Query<QueryParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    if headers.contains_key("last-event-id") {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Query(parameters) = parameters.map_err(|error| Problem::invalid(error.body_text()))?;
    let query = parameters.parse()?;
    note_question(&query.question);
    events::reply(state.rag.stream(query), trace_id).await
}

/// Puts hash and length of the question on the request's span, and so on its log lines: enough to
/// find repeats and to match a user's report, without the text.
pub fn note_question(question: &Question) {
    let span = tracing::Span::current();
    let digest = Sha256::digest(question.as_str());
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    span.record("question_hash", hash);
    span.record("question_chars", question.as_str().chars().count());
}

/// A client that names JSON beside events takes the reply it can get.
fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let (events, json) = kinds.by_ref().fold((false, false), |(events, json), kind| {
        (events || kind == "text/event-stream", json || kind == "application/json")
    });
    events && !json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_wanted_only_where_json_is_not() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants_events(&headers)
        };
        assert!(!wants_events(&HeaderMap::new()));
        assert!(wants("text/event-stream") && wants("Text/Event-Stream; q=0.9, */*"));
        assert!(!wants("application/json, text/event-stream") && !wants("*/*"));
    }
}
