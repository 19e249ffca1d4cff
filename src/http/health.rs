//! `GET /health`: the process is alive. Touches nothing, so that it answers however busy the rest is.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::AppState;

pub async fn health(State(state): State<Arc<AppState>>) -> Json<Value> {
    let service = &state.service;
    Json(json!({
        "status": "ok",
        "service": service.name,
        "version": service.version,
        "build_sha": service.build_sha,
        "image_tag": service.image_tag,
        "env": service.env,
    }))
}
