//! `GET /v1/models`: the two models there are.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::ANSWERS;
use crate::http::{AppState, problem::Problem};

pub async fn list(State(state): State<Arc<AppState>>) -> Json<Value> {
    Json(json!({"object": "list", "data": [model(ANSWERS), model(&state.embedding_model)]}))
}

pub async fn retrieve(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let known = [ANSWERS, &state.embedding_model].into_iter().find(|known| is(&name, known));
    known.map(|known| Json(model(known))).ok_or_else(|| unknown(&name, known_names(&state)))
}

/// Whether a caller means this model, with or without the name of its makers.
pub fn is(asked: &str, known: &str) -> bool {
    asked == known || Some(asked) == known.rsplit('/').next()
}

pub fn unknown(asked: &str, known: impl std::fmt::Display) -> Problem {
    Problem::no_model(format!("there is no model {asked:?} here; {known}"))
}

fn known_names(state: &AppState) -> String {
    format!("the models are {ANSWERS} and {}", state.embedding_model)
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": "rag-api"})
}
