//! What the process says about itself: logs, traces, metrics.

mod datadog;
pub mod logs;
mod maker;
pub mod metrics;
mod push;
pub mod spans;
mod start;
pub mod trace;

pub use logs::{LogTarget, LogsError};
pub use metrics::{Metrics, MetricsError};
pub use push::{Push, push};
pub use start::{Telemetry, start};
pub use trace::{TraceId, traceparent};
