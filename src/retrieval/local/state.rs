//! What a commit says beside its documents: the vector files, and what its owner wants to know again.
//!
//! It travels as the payload of tantivy's commit, so keywords, vectors and bookkeeping change in one
//! atomic rename or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::retrieval::{Fingerprint, RetrievalError};

/// `M`: what the owner of the folder keeps with each commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State<M> {
    #[serde(flatten)]
    pub meta: M,
    /// Names within the vectors folder, oldest first.
    pub vector_files: Vec<String>,
    /// The id of the next vector row; ids are never used twice.
    pub next_row: u64,
}

/// What the index of chunks keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ChunkMeta {
    pub fingerprint: Fingerprint,
    /// Sources that gave no chunk, with what is known of them: not read again until they change.
    pub without_chunks: BTreeMap<String, String>,
}

impl ChunkMeta {
    pub(super) fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, without_chunks: BTreeMap::new() }
    }
}

impl<M: Serialize + DeserializeOwned> State<M> {
    pub(super) fn new(meta: M) -> Self {
        Self { meta, vector_files: Vec::new(), next_row: 0 }
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
