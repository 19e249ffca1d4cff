//! Text to vector: the tokenizer, the MiniLM forward pass, and the worker that owns the model.

mod minilm;
mod tokenizer;
mod weights;
mod worker;

use std::path::PathBuf;

pub use minilm::MiniLm;
pub use tokenizer::{MAX_TOKENS, TokenCounter, Tokenizer};
pub use worker::Embedder;

/// The model's name on the hub, as `GET /` and the index report it.
pub const MODEL_ID: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// SHA-256 of the one `model.safetensors` this version computes with.
pub const WEIGHTS_SHA256: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

/// SHA-256 of its `tokenizer.json`.
pub const TOKENIZER_SHA256: &str = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037";

/// Why a text has no vector.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EmbeddingError {
    /// The queue is full; nothing was computed. Try again later.
    #[error("the embedding queue is full")]
    Overloaded,
    #[error("the embedding worker has stopped")]
    Stopped,
    #[error("the model failed: {0}")]
    Model(String),
    #[error("{path} is missing; run `rag-api model fetch`")]
    Missing { path: PathBuf },
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    /// Other weights would give vectors that do not fit the index.
    #[error("{path} has SHA-256 {found}, not {wanted}; run `rag-api model fetch`")]
    WrongHash { path: PathBuf, found: String, wanted: &'static str },
}

impl From<candle_core::Error> for EmbeddingError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.to_string())
    }
}
