//! Typed settings; each field names the variable it comes from.
//!
//! A rule that joins two fields lives in the constructor of their section, and every mistake is
//! reported at once.

mod emulator;
mod entra;
mod env;
mod llm;
mod search;
mod sections;
mod telemetry;

pub use emulator::EmulatorConfig;
pub use entra::{EntraConfig, Identity};
pub use env::{ConfigError, EnvReader};
pub use llm::{LlmApi, LlmAuth, LlmConfig, LlmPrices, PriceTable};
pub use search::{AzureAuth, AzureConfig, Quantization, SearchBackend};
pub use sections::{
    ChunkStrategy, Config, EmbeddingConfig, IngestConfig, Precision, RetrievalConfig, ServerConfig,
    ServiceInfo,
};
pub use telemetry::{DatadogConfig, IncomingTrace, LogFormat, OtlpConfig, TelemetryConfig, TraceExport};
