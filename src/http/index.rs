//! `GET /`: who this is and where to go on.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::AppState;
use crate::domain::EMBEDDING_DIMENSION;

pub async fn index(State(state): State<Arc<AppState>>) -> Json<Value> {
    let service = &state.service;
    Json(json!({
        "service": service.name,
        "version": service.version,
        "build_sha": service.build_sha,
        "image_tag": service.image_tag,
        "env": service.env,
        "embedding_model": state.embedding_model,
        "embedding_dimension": EMBEDDING_DIMENSION,
        "routes": {
            "query": "POST /query",
            "search": "POST /search",
            "health": "GET /health",
            "ready": "GET /ready",
            "warmup": "GET /warmup",
            "metrics": "GET /metrics",
        },
    }))
}
