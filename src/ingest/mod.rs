//! Documents in: files found, read, cut, embedded and written, with bounded stages.

pub mod chunk;
pub mod extract;
mod files;
mod language;
mod pipeline;
mod remembered;
mod report;

pub use files::{Shard, SourceFile, find};
pub use pipeline::{Document, IngestError, Ingestion, Plan, Progress};
pub use report::{FileReport, Report};
