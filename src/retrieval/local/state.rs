//! What a commit says beside its documents: the fingerprint, the vector files, sources without text.
//!
//! It travels as the payload of tantivy's commit, so keywords, vectors and bookkeeping change in one
//! atomic rename or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::retrieval::{Fingerprint, RetrievalError};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub fingerprint: Fingerprint,
    /// Names within the vectors folder, oldest first.
    pub vector_files: Vec<String>,
    /// The id of the next vector row; ids are never used twice.
    pub next_row: u64,
    /// Sources that gave no chunk, with what is known of them: not read again until they change.
    pub without_chunks: BTreeMap<String, String>,
}

impl State {
    pub(super) fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, vector_files: Vec::new(), next_row: 0, without_chunks: BTreeMap::new() }
    }

    pub(super) fn from_payload(payload: Option<&str>) -> Result<Self, RetrievalError> {
        let payload = payload.ok_or_else(|| RetrievalError::Index("its last commit has no state".into()))?;
        serde_json::from_str(payload)
            .map_err(|error| RetrievalError::Index(format!("its state cannot be read: {error}")))
    }

    pub(super) fn to_payload(&self) -> Result<String, RetrievalError> {
        serde_json::to_string(self).map_err(|error| RetrievalError::Index(error.to_string()))
    }
}
