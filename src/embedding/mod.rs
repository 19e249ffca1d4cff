//! Text to vector: the tokenizer, the MiniLM forward pass, and the worker that owns the model.

mod bert;
pub mod fetch;
mod fixed;
mod kernels;
mod minilm;
mod portable;
mod split;
mod team;
mod tokenizer;
mod weights;
mod worker;

use std::path::PathBuf;

pub use minilm::{LoadTimes, MiniLm, ModelOptions, kernel_for, kernel_names};
pub use tokenizer::{MAX_TOKENS, TokenCounter, Tokenizer};
pub use worker::Embedder;

/// The model's name on the hub, as `GET /` and the index report it.
pub const MODEL_ID: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// The kernel that runs everywhere: candle's.
pub const PORTABLE: &str = "portable";

/// SHA-256 of the one `model.safetensors` this version computes with.
pub const WEIGHTS_SHA256: &str = fetch::PINNED[0].sha256;

/// SHA-256 of its `tokenizer.json`.
pub const TOKENIZER_SHA256: &str = fetch::PINNED[1].sha256;

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
}

/// Why the model cannot be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    #[error("{path} is missing; run `rag-api model fetch`")]
    Missing { path: PathBuf },
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    /// Other weights would give vectors that do not fit the index.
    #[error("{path} has SHA-256 {found}, not {wanted}; run `rag-api model fetch`")]
    WrongHash { path: PathBuf, found: String, wanted: &'static str },
    #[error("EMBEDDING_PRECISION is {precision}, but this CPU has no instructions for it; set auto or f32")]
    NoPrecision { precision: &'static str },
    #[error("there is no kernel {wanted} on this CPU; choose one of {available}")]
    NoKernel { wanted: String, available: String },
    #[error("the model's files do not fit this program: {0}")]
    Model(String),
}

impl From<candle_core::Error> for EmbeddingError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.to_string())
    }
}

impl From<candle_core::Error> for LoadError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.to_string())
    }
}
