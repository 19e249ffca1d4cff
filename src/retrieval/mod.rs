//! Passages by question: keyword, vector, and both joined by reciprocal rank fusion.

pub mod local;

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

/// Why nothing could be retrieved or written.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    #[error("there is no index in {0}; run `rag-api ingest` first")]
    Missing(std::path::PathBuf),
    #[error("{0}")]
    Incompatible(String),
    #[error("another process is writing to the index{0}")]
    Busy(String),
    #[error("the index failed: {0}")]
    Index(String),
    #[error("vector or hybrid search without a vector")]
    NoVector,
}
