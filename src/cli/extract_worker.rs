//! `rag-api extract-worker`: the reader process that the service starts for each file; not for people.

use std::process::ExitCode;

/// Goes to work before configuration, telemetry or a runtime exist: it needs none of them, and starts in
/// milliseconds without.
pub fn main() -> ExitCode {
    crate::ingest::extract::run_worker()
}
