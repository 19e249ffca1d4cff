//! Typed settings; each field names the variable it comes from.
//!
//! A rule that joins two fields lives in the constructor of their section, and every mistake is
//! reported at once.

mod emulator;
mod env;
mod search;
mod sections;

pub use emulator::EmulatorConfig;
pub use env::{ConfigError, EnvReader};
pub use search::{AzureAuth, AzureConfig, EntraConfig, Identity, Quantization, SearchBackend};
pub use sections::{
    ChunkStrategy, Config, EmbeddingConfig, IngestConfig, LlmConfig, LlmPrices, LogFormat, Precision,
    RetrievalConfig, ServerConfig, ServiceInfo, TelemetryConfig,
};
