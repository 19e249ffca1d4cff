//! Typed settings; each field names the variable it comes from.
//!
//! A rule that joins two fields lives in the constructor of their section, and every mistake is
//! reported at once.

mod emulator;
mod env;
mod search;
mod sections;
mod telemetry;

pub use emulator::EmulatorConfig;
pub use env::{ConfigError, EnvReader};
pub use search::{AzureAuth, AzureConfig, EntraConfig, Identity, Quantization, SearchBackend};
pub use sections::{
    ChunkStrategy, Config, EmbeddingConfig, IngestConfig, LlmConfig, LlmPrices, Precision, RetrievalConfig,
    ServerConfig, ServiceInfo,
};
pub use telemetry::{DatadogConfig, IncomingTrace, LogFormat, OtlpConfig, TelemetryConfig, TraceExport};
