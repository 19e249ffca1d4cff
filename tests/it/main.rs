//! One binary for all integration tests, so that they link once: one module a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers outside of test functions fail tests too, and skips are told on stderr"
)]

mod house;
mod model_fetch;
