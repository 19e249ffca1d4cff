//! How well retrieval works on a test collection, measured with the real pipeline.

mod dataset;
mod metrics;
mod runner;

pub use dataset::{Corpus, Dataset, DatasetError};
pub use metrics::{Judgments, Measures};
pub use runner::{Calibration, EvaluationError, Latency, ModeReport, Report, Runner};
