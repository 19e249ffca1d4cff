//! What the process says about itself: logs, metrics, trace ids.

pub mod logs;
pub mod metrics;
pub mod trace;

pub use logs::{LogTarget, LogsError};
pub use metrics::{Metrics, MetricsError};
pub use trace::TraceId;
