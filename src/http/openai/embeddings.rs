//! `POST /v1/embeddings`: vectors of the local model.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::models;
use crate::{
    domain::{EMBEDDING_DIMENSION, Embedding},
    http::{AppState, body::Strict, problem::Problem},
};

/// As many as OpenAI takes.
const MAX_INPUTS: usize = 2_048;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    model: String,
    input: Value,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<u64>,
    /// Names the caller's user to OpenAI; nobody is told here.
    #[serde(default)]
    #[allow(dead_code, reason = "clients may send it")]
    user: Option<String>,
}

pub async fn create(
    State(state): State<Arc<AppState>>,
    Strict(request): Strict<Request>,
) -> Result<Json<Value>, Problem> {
    let name = &state.embedding_model;
    if !models::is(&request.model, name) {
        return Err(models::unknown(&request.model, format_args!("the model for embeddings is {name}")));
    }
    if request.dimensions.is_some_and(|wanted| wanted != EMBEDDING_DIMENSION as u64) {
        return Err(Problem::parameter("dimensions", format!("must be {EMBEDDING_DIMENSION}")));
    }
    let base64 = match request.encoding_format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(other) => {
            return Err(Problem::parameter(
                "encoding_format",
                format!("must be float or base64, not {other:?}"),
            ));
        }
    };
    let embedded = state.rag.embed_texts(texts(request.input)?).await?;
    let data: Vec<Value> = embedded
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = if base64 { encoded(vector).into() } else { json!(vector.as_slice()) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let usage = json!({"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens});
    Ok(Json(json!({"object": "list", "data": data, "model": name, "usage": usage})))
}

fn texts(input: Value) -> Result<Vec<String>, Problem> {
    let wrong = |reason: &str| Problem::parameter("input", reason.to_owned());
    let texts = match input {
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                Value::Number(_) | Value::Array(_) => {
                    Err(wrong("must be text: token ids are those of another model"))
                }
                _ => Err(wrong("must be a text or a list of texts")),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong("must be a text or a list of texts")),
    };
    if !(1..=MAX_INPUTS).contains(&texts.len()) {
        return Err(wrong(&format!("must hold 1 to {MAX_INPUTS} texts")));
    }
    if texts.iter().any(|text| text.trim().is_empty()) {
        return Err(wrong("must not hold an empty text"));
    }
    Ok(texts)
}

/// 32-bit floats, little-endian, as OpenAI's clients decode them.
fn encoded(vector: &Embedding) -> String {
    let bytes: Vec<u8> = vector.as_slice().iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
