//! Text to vector: the tokenizer, the MiniLM forward pass, and the worker that owns the model.

pub mod fetch;

use crate::domain::Embedding;

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

/// A handle to the worker that owns the model. Cheap to clone.
#[derive(Clone)]
pub struct Embedder {}

impl Embedder {
    /// Embeds texts somebody waits for: they overtake passages, and are shed when the queue is full.
    pub async fn embed_now(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let _ = texts;
        Err(EmbeddingError::Stopped)
    }

    /// Embeds passages in the background; waits for room in the queue.
    pub async fn embed_passages(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let _ = texts;
        Err(EmbeddingError::Stopped)
    }

    /// Jobs waiting now.
    pub fn queue_depth(&self) -> usize {
        0
    }
}
