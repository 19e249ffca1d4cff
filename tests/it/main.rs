//! All integration tests, as one binary.

// Helpers outside of test functions fail tests too, and skips are told on stderr.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod local_llm;
mod openai_wire;
mod passages;
