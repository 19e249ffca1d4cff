//! What an ingestion did, file by file; the JSON of `ingest --report`.

use serde::{Deserialize, Serialize};

use crate::telemetry::spans::Ingested;

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    pub source: String,
    /// 0 for formats without pages.
    pub pages: u32,
    pub characters: u64,
    pub chunks: u32,
    /// Nothing was done: the index has this very content.
    pub unchanged: bool,
    pub warnings: Vec<String>,
    /// Why nothing of it is indexed; or, where an earlier version is, why it was not replaced.
    pub error: Option<String>,
}

/// The whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub files: Vec<FileReport>,
    /// Sources taken out because their file is gone.
    pub removed: Vec<String>,
    /// Chunks written by this run.
    pub chunks: u64,
    pub seconds: f64,
    /// Ended early by Ctrl-C: what `files` lists without error is in the index.
    pub interrupted: bool,
}

impl Report {
    pub fn failed(&self) -> usize {
        self.files.iter().filter(|file| file.error.is_some()).count()
    }

    /// For traces and metrics.
    pub fn counts(&self) -> Ingested {
        Ingested {
            files: self.files.len(),
            unchanged: self.unchanged(),
            failed: self.failed(),
            removed: self.removed.len(),
            chunks: self.chunks,
            interrupted: self.interrupted,
        }
    }

    pub fn unchanged(&self) -> usize {
        self.files.iter().filter(|file| file.unchanged).count()
    }
}
