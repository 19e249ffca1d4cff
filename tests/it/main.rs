//! The product from outside: one test binary.

// Helpers outside `#[test]` functions fail a test by panicking, and skipped tests say so.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod ugly_extract;
