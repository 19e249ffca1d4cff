//! Passages by question: keyword, vector, and both joined by reciprocal rank fusion.

pub mod azure;
mod backend;
pub(crate) mod fusion;
pub mod local;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use backend::{IndexWriter, Retriever};

use crate::domain::{Chunk, Embedding, Filter, Hit, SearchMode, VectorWeight};

/// The keyword list of a hybrid search is cut here, as Azure AI Search cuts its own.
pub(crate) const KEYWORD_DEPTH: usize = 1_000;
/// Nearest neighbours in the vector list of a hybrid search, at least.
pub(crate) const VECTOR_DEPTH: usize = 100;

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

/// Passages, best first, and the version of the index that holds them.
#[derive(Debug, Clone)]
pub struct Found {
    pub hits: Vec<Hit>,
    pub version: String,
}

/// All chunks of one source with their vectors, and what is to be remembered of it.
pub struct SourceChunks {
    pub source: String,
    pub chunks: Vec<(Chunk, Embedding)>,
    /// Opaque text that the writer's `known_sources` gives back.
    pub document: String,
}

/// What an earlier commit remembers of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSource {
    pub document: String,
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
    /// Ask again later, after `retry_after` where the service said so.
    #[error("the search service is limiting requests; try again later")]
    Throttled { retry_after: Option<Duration> },
    /// Out of reach or failing; another try may succeed.
    #[error("the search service is unavailable ({reason})")]
    Unavailable { reason: String },
    #[error("the search service did not answer in time")]
    Timeout,
    /// The credential is wrong or lacks a right; `advice` says which variable or role.
    #[error("the search service refused the credential ({status}): {advice}")]
    Unauthorized { status: u16, advice: &'static str },
    /// The same request fails again.
    #[error("the search service refused the request ({reason})")]
    Rejected { reason: String },
}
