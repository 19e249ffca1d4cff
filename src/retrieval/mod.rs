//! Passages by question: keyword, vector, and both joined by reciprocal rank fusion.

mod fusion;
pub mod local;

use serde::{Deserialize, Serialize};

use crate::domain::{Embedding, Filter, SearchMode, VectorWeight};

/// One search. The vector is needed for hybrid and vector mode; in keyword mode it only gives the
/// hits their cosine.
#[derive(Debug, Clone)]
pub struct SearchRequest<'a> {
    pub text: &'a str,
    pub vector: Option<&'a Embedding>,
    pub mode: SearchMode,
    pub top: usize,
    pub filter: &'a Filter,
    /// `None`: by the script of the question.
    pub vector_weight: Option<VectorWeight>,
}

/// What the vectors and chunks of an index were made with. Vectors of another model cannot be
/// compared, so an index of another fingerprint is not searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub model: String,
    pub weights_sha256: String,
    pub chunker: String,
    pub dimensions: usize,
}

impl Fingerprint {
    /// Fails with what to do when `index` was built by another model or chunker than `self`.
    pub fn check(&self, index: &Self) -> Result<(), RetrievalError> {
        if self == index {
            return Ok(());
        }
        let differing = [
            ("model", &self.model, &index.model),
            ("weights", &self.weights_sha256, &index.weights_sha256),
            ("chunker", &self.chunker, &index.chunker),
        ]
        .into_iter()
        .find(|(_, ours, theirs)| ours != theirs)
        .map_or_else(
            || format!("has vectors of {} dimensions, this program of {}", index.dimensions, self.dimensions),
            |(what, ours, theirs)| format!("was built with {what} {theirs}, this program has {ours}"),
        );
        Err(RetrievalError::Incompatible(format!(
            "the index {differing}; rebuild the index with `rag-api index delete` and `rag-api ingest`, \
             or run the version that built it"
        )))
    }
}

/// Why nothing could be retrieved or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RetrievalError {
    #[error("there is no index yet; run `rag-api ingest` first")]
    Missing,
    #[error("{0}")]
    Incompatible(String),
    #[error("another process is writing to the index{0}")]
    Busy(String),
    #[error("the index failed: {0}")]
    Index(String),
    #[error("vector or hybrid search without a vector")]
    NoVector,
}
