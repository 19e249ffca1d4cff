//! Typed settings; each field names the variable it comes from.
//!
//! A rule that joins two fields lives in the constructor of their section, and every mistake is
//! reported at once.

mod env;
mod sections;

pub use env::{ConfigError, EnvReader};
pub use sections::{
    ChunkStrategy, Config, EmbeddingConfig, IngestConfig, LlmConfig, LlmPrices, LogFormat, Precision,
    RetrievalConfig, SearchBackend, ServerConfig, ServiceInfo, TelemetryConfig,
};
