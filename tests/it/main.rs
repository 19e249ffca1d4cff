//! One binary for all integration tests, so that they link once: one module a subject.

mod chunking;
mod embedding;
mod house;
mod model_fetch;
mod support;
