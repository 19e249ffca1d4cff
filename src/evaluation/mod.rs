//! How well retrieval works on a test collection, measured with the real pipeline.

mod abstention;
mod dataset;
mod metrics;
mod runner;

pub use abstention::{Abstention, Asked, Kind, Point};
pub use dataset::{Corpus, Dataset, DatasetError, Questions};
pub use metrics::{Judgments, Measures};
pub use runner::{EvaluationError, Latency, ModeReport, Report, Runner};
