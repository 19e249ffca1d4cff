//! Room: ingest.
pub mod chunk;
