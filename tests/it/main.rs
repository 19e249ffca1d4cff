//! Integration tests: one binary, one module a subject.

mod chunking;
mod embedding;
mod support;
