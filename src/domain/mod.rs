//! The words everything else is written in: no I/O, no async, nothing of ours imported.

mod answer;
mod chunk;
mod question;

pub use answer::{Answer, Citation, Grounding, Removed, Usage, Verdict};
pub use chunk::{Chunk, ChunkId, EMBEDDING_DIMENSION, Embedding};
pub use question::{
    Filter, History, InvalidInput, PageRange, Question, Role, Sampling, SearchMode, TopK, Turn, VectorWeight,
};

/// One retrieved passage. `score` is what ranked it: reciprocal rank fusion for hybrid,
/// BM25 for keyword, `1 / (2 - cosine)` for vector, as Azure AI Search scores them.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub chunk: Chunk,
    pub score: f32,
    /// Cosine similarity between question and passage in -1..=1; `None` where the question was
    /// not embedded (keyword mode).
    pub cosine: Option<f32>,
    /// The sentences a semantic ranker chose, verbatim; `None` where none was asked.
    pub caption: Option<String>,
}
