//! The embedded index: tantivy for keywords and storage, exact cosine over mapped vectors.

use crate::{
    domain::Hit,
    retrieval::{RetrievalError, SearchRequest},
};

/// A reader of one index folder. Cheap to clone, blocking.
#[derive(Clone)]
pub struct LocalIndex {}

impl LocalIndex {
    /// Best first. Blocking: call it from a thread that may block.
    pub fn search(&self, request: &SearchRequest<'_>) -> Result<Vec<Hit>, RetrievalError> {
        let _ = request;
        Err(RetrievalError::NoVector)
    }

    /// Changes with every commit that a reader sees.
    pub fn version(&self) -> String {
        String::new()
    }

    /// Retrievable chunks.
    pub fn chunk_count(&self) -> u64 {
        0
    }
}
