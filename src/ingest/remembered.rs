//! What the index keeps of a source between runs.

use serde::{Deserialize, Serialize};

use super::report::FileReport;
use crate::{
    domain::{Chunk, Embedding},
    retrieval::SourceChunks,
};

/// What the index keeps of a source, so that an unchanged file costs its hash and nothing more.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// SHA-256 of the file's bytes.
    pub(super) hash: String,
    /// The chunker's settings it was cut with.
    pub(super) settings: String,
    pub(super) pages: u32,
    pub(super) characters: u64,
    pub(super) chunks: u32,
    pub(super) warnings: Vec<String>,
    pub(super) error: Option<String>,
}

impl Remembered {
    pub(super) fn report(&self, source: &str) -> FileReport {
        FileReport {
            source: source.to_owned(),
            pages: self.pages,
            characters: self.characters,
            chunks: self.chunks,
            unchanged: false,
            warnings: self.warnings.clone(),
            error: self.error.clone(),
        }
    }

    pub(super) fn content(&self, source: &str, chunks: Vec<(Chunk, Embedding)>) -> SourceChunks {
        SourceChunks { source: source.to_owned(), chunks, document: self.to_json() }
    }

    pub(super) fn to_json(&self) -> String {
        // Plain strings and numbers cannot fail to serialize; an empty text would only mean that the
        // file is read again.
        serde_json::to_string(self).unwrap_or_default()
    }
}
