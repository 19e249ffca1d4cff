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
        let mut ready = json!({"status": "ready"});
        if let Some(state) = state.rag.search_breaker() {
            ready["breakers"] = json!({"azure_search": state.as_str()});
        }
        return Ok(Json(ready));
    }
    let detail = format!("missing: {}", missing.join("; "));
    Err(Problem { missing, ..Problem::new(Code::NotReady, detail) })
}
