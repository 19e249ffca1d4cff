//! The integration tests, one binary.

// Clippy allows these in test functions only, and helpers of tests fail tests just as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http_app;
mod http_hostile;
mod http_routes;
