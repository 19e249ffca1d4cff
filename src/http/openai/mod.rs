//! The front that clients of OpenAI's API can use by changing their base URL.

mod chat;
mod chunks;
mod embeddings;
mod models;
mod request;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use super::AppState;

/// As `/v1/models` names the service that answers from documents.
const ANSWERS: &str = "rag-api";

/// What costs nothing, and what takes a place among the requests at work.
pub fn routes() -> (Router<Arc<AppState>>, Router<Arc<AppState>>) {
    let light = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*model}", get(models::retrieve));
    let heavy = Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/embeddings", post(embeddings::create));
    (light, heavy)
}
