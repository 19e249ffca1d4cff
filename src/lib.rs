//! Retrieval-augmented answers over your own documents, in one binary.
//!
//! The rooms in reading order; `ARCHITECTURE.md` walks one question and one ingestion through them.

pub mod cli;

pub mod app;

pub mod http;

pub mod emulator;

pub mod rag;

pub mod ingest;

pub mod evaluation;

pub mod generation;

pub mod retrieval;

pub mod embedding;

pub mod upstream;

pub mod telemetry;

pub mod config;

pub mod domain;
