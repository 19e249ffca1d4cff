//! `GET /warmup`: one pass through the model, so that the first caller does not pay for it.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{AppState, problem::Problem, reply::milliseconds};

pub async fn warmup(State(state): State<Arc<AppState>>) -> Result<Json<Value>, Problem> {
    let took = state.rag.warm_up().await?;
    Ok(Json(json!({"status": "warm", "ms": milliseconds(took)})))
}
