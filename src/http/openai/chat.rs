//! `POST /v1/chat/completions`: the last turn answered from the documents.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{ANSWERS, chunks, request::ChatRequest};
use crate::{
    domain::{Answer, Usage},
    http::{AppState, body::Strict, problem::Problem, query::note_question, reply::QueryReply},
    telemetry::TraceId,
};

pub async fn complete(
    State(state): State<Arc<AppState>>,
    Extension(trace_id): Extension<TraceId>,
    Strict(request): Strict<ChatRequest>,
) -> Result<Response, Problem> {
    let (stream, usage) = (request.stream == Some(true), request.wants_usage());
    let query = request.parse()?;
    note_question(&query.question);
    let head = Head::new(trace_id);
    if stream {
        return chunks::reply(state.rag.stream(query), head, usage).await;
    }
    let answered = state.rag.answer(&query).await?;
    let Answer { text, model, usage, .. } = &answered.answer;
    let message = json!({"role": "assistant", "content": text, "refusal": null});
    let finish_reason = finish_reason(&answered.answer);
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason});
    let mut body = head.body("chat.completion", model.as_deref(), json!([choice]));
    body["usage"] = counts(*usage);
    body["rag"] = details(QueryReply::new(answered, trace_id));
    Ok(Json(body).into_response())
}

/// What all pieces of one completion have in common.
pub struct Head {
    pub trace_id: TraceId,
    created: i64,
}

impl Head {
    fn new(trace_id: TraceId) -> Self {
        Self { trace_id, created: OffsetDateTime::now_utc().unix_timestamp() }
    }

    pub fn body(&self, object: &str, model: Option<&str>, choices: Value) -> Value {
        json!({
            "id": format!("chatcmpl-{}", self.trace_id),
            "object": object,
            "created": self.created,
            "model": model.unwrap_or(ANSWERS),
            "choices": choices,
        })
    }
}

/// One of OpenAI's reasons; other servers have others.
pub fn finish_reason(answer: &Answer) -> &'static str {
    match answer.finish_reason.as_deref() {
        Some("length") => "length",
        Some("content_filter") => "content_filter",
        _ => "stop",
    }
}

/// Tokens of the LLM; none where it was not asked.
pub fn counts(usage: Option<Usage>) -> Value {
    let Usage { input_tokens, cached_input_tokens, output_tokens, total_tokens, .. } =
        usage.unwrap_or_default();
    json!({
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": total_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_input_tokens},
    })
}

/// What `/query` says besides the answer's text.
fn details(reply: QueryReply) -> Value {
    let mut value = serde_json::to_value(reply).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("answer");
    }
    value
}
