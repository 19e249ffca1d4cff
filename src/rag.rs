//! Question to answer, on one screen.

use std::time::Duration;

use crate::domain::{Answer, Filter, History, Hit, Question, SearchMode, TopK, VectorWeight};
// The errors pass through to those who sit above this room and must not reach below it.
pub use crate::{embedding::EmbeddingError, retrieval::RetrievalError};

/// What a caller asks, parsed.
#[derive(Debug, Clone)]
pub struct Query {
    pub question: Question,
    pub top_k: TopK,
    pub mode: SearchMode,
    pub vector_weight: Option<VectorWeight>,
    pub filter: Filter,
    pub history: History,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    pub embed: Duration,
    pub search: Duration,
    /// Zero for a search.
    pub generate: Duration,
    pub total: Duration,
}

/// An answer with its circumstances.
#[derive(Debug, Clone)]
pub struct Answered {
    pub answer: Answer,
    pub timings: Timings,
    pub index_version: String,
}

/// Passages with their circumstances.
#[derive(Debug, Clone)]
pub struct Found {
    pub hits: Vec<Hit>,
    pub timings: Timings,
    pub index_version: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RagError {
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    #[error("no answer could be generated: {0}")]
    Generation(String),
}

/// The service behind `/query` and `/search`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Rag {}

impl Rag {
    pub async fn answer(&self, query: &Query) -> Result<Answered, RagError> {
        let _ = query;
        Err(RagError::Embedding(EmbeddingError::Stopped))
    }

    pub async fn search(&self, query: &Query) -> Result<Found, RagError> {
        let _ = query;
        Err(RagError::Embedding(EmbeddingError::Stopped))
    }

    /// Embeds a short text, so that the first caller does not pay for cold pages; the time it took.
    pub async fn warm_up(&self) -> Result<Duration, RagError> {
        Err(RagError::Embedding(EmbeddingError::Stopped))
    }

    /// What is missing before questions can be answered; empty: ready. Embeds nothing.
    pub fn missing(&self) -> Vec<String> {
        Vec::new()
    }

    /// For `/metrics`: jobs waiting for the model, chunks indexed.
    pub fn gauges(&self) -> (usize, u64) {
        (0, 0)
    }
}
