//! `POST /search`: passages without an answer.

use std::sync::Arc;

use axum::{Extension, extract::State};

use super::{
    AppState, body::Strict, problem::Problem, query::note_question, reply::SearchReply,
    request::SearchRequest,
};
use crate::telemetry::TraceId;

pub async fn search(
    State(state): State<Arc<AppState>>,
    Extension(trace_id): Extension<TraceId>,
    Strict(request): Strict<SearchRequest>,
) -> Result<SearchReply, Problem> {
    let query = request.parse()?;
    note_question(&query.question);
    let found = state.rag.search(&query).await?;
    Ok(SearchReply::new(found, trace_id))
}
