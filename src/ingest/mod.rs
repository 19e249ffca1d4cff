//! Room: ingest.

pub mod extract;
