//! `GET /ready`: whether questions can be answered, and if not, what is missing. Embeds nothing.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{
    AppState,
    problem::{Code, Problem},
};

pub async fn ready(State(state): State<Arc<AppState>>) -> Result<Json<Value>, Problem> {
    let missing = state.rag.missing();
    if missing.is_empty() {
        return Ok(Json(json!({"status": "ready"})));
    }
    let detail = format!("missing: {}", missing.join("; "));
    Err(Problem { missing, ..Problem::new(Code::NotReady, detail) })
}
