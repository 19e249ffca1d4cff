//! The sections of the configuration.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{ConfigError, EnvReader, IncomingTrace, LlmConfig, SearchBackend, TelemetryConfig};
use crate::domain::VectorWeight;

/// Everything the process was told.
#[derive(Debug, Clone)]
pub struct Config {
    pub service: ServiceInfo,
    pub server: ServerConfig,
    pub telemetry: TelemetryConfig,
    pub embedding: EmbeddingConfig,
    pub search: SearchBackend,
    pub retrieval: RetrievalConfig,
    /// `None`: answers are extractive.
    pub llm: Option<LlmConfig>,
    pub ingest: IngestConfig,
}

impl Config {
    /// Reads the process environment and `.env`.
    pub fn load() -> Result<Self, ConfigError> {
        Self::read(EnvReader::from_process())
    }

    pub fn read(mut env: EnvReader) -> Result<Self, ConfigError> {
        let config = Self::sections(&mut env);
        env.finish(config)
    }

    /// The name of every variable that is read.
    pub fn variable_names() -> Vec<&'static str> {
        let mut env = EnvReader::from_pairs([("OPENAI_BASE_URL", "http://localhost")]);
        Self::sections(&mut env);
        env.names().to_vec()
    }

    fn sections(env: &mut EnvReader) -> Self {
        Self {
            service: ServiceInfo::read(env),
            server: ServerConfig::read(env),
            telemetry: TelemetryConfig::read(env),
            embedding: EmbeddingConfig::read(env),
            search: SearchBackend::read(env),
            retrieval: RetrievalConfig::read(env),
            llm: LlmConfig::read(env),
            ingest: IngestConfig::read(env),
        }
    }
}

/// Who this process is, for `/health`, logs and metrics.
#[derive(Debug, Clone)]
pub struct ServiceInfo {
    pub name: String,
    pub version: String,
    pub build_sha: String,
    pub image_tag: String,
    pub env: String,
}

impl ServiceInfo {
    fn read(env: &mut EnvReader) -> Self {
        Self {
            name: first(env, ["DD_SERVICE", "SERVICE_NAME"], "rag-api"),
            version: first(env, ["DD_VERSION", "APP_VERSION"], env!("CARGO_PKG_VERSION")),
            build_sha: env.text_or("BUILD_SHA", "unknown"),
            image_tag: env.text_or("IMAGE_TAG", "unknown"),
            env: first(env, ["DD_ENV", "ENV_NAME"], "local"),
        }
    }
}

/// The first of two names that is set; Datadog's own name comes before ours, as its Agent and its
/// container integration set and read the same ones.
fn first(env: &mut EnvReader, names: [&'static str; 2], default: &str) -> String {
    let values = names.map(|name| env.text(name));
    values.into_iter().flatten().next().unwrap_or_else(|| default.to_owned())
}

/// Limits and addresses of the HTTP server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub host: IpAddr,
    /// 0 lets the system choose.
    pub port: u16,
    /// The whole request; a slower one is answered 504. Below the 240 s of the platform.
    pub request_timeout: Duration,
    pub max_body_bytes: usize,
    /// The whole of a streamed answer, at most 229 s: below the 240 s of the platform.
    pub stream_timeout: Duration,
    /// Requests of `/query` and `/search` at work at once; one more is answered 503.
    pub max_concurrency: usize,
    /// How long requests at work may take to finish after SIGTERM.
    pub shutdown_grace: Duration,
    pub incoming_trace: IncomingTrace,
}

impl ServerConfig {
    fn read(env: &mut EnvReader) -> Self {
        let any = IpAddr::from([0, 0, 0, 0]);
        let host = env.text("HOST").map(|text| {
            text.parse().unwrap_or_else(|_| {
                env.mistake("HOST", format!("must be an IP address, not {text:?}"));
                any
            })
        });
        Self {
            host: host.unwrap_or(any),
            port: env.parsed("PORT", .., "a port, 0 to 65535").unwrap_or(8000),
            request_timeout: seconds(env, "REQUEST_TIMEOUT_SECONDS", 60, 1..=230),
            stream_timeout: seconds(env, "STREAM_TIMEOUT_SECONDS", 220, 1..=229),
            max_body_bytes: env
                .parsed("MAX_BODY_BYTES", 1_024..=16_777_216, "1024 to 16777216 bytes")
                .unwrap_or(262_144),
            max_concurrency: env.parsed("MAX_CONCURRENT_REQUESTS", 1..=10_000, "1 to 10000").unwrap_or(128),
            shutdown_grace: seconds(env, "SHUTDOWN_GRACE_SECONDS", 25, 0..=600),
            incoming_trace: IncomingTrace::read(env),
        }
    }
}

/// How exactly the model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// That of the fastest kernel: `int16` with AVX2 or AVX-512 VNNI, else `f32`.
    #[default]
    Auto,
    F32,
    /// Half the memory traffic; cosines to `f32` stay above 0.9999.
    Bf16,
    /// As little as `bf16`, and five times as exact.
    Int16,
}

#[derive(Debug, Clone)]
pub struct EmbeddingConfig {
    /// Holds `model.safetensors` and `tokenizer.json`.
    pub model_dir: PathBuf,
    /// Questions that may wait for the model; one more is shed.
    pub queue_capacity: usize,
    pub precision: Precision,
    /// Texts computed at once; `None`: one a core.
    pub threads: Option<usize>,
}

impl EmbeddingConfig {
    fn read(env: &mut EnvReader) -> Self {
        let precision = match env.text_or("EMBEDDING_PRECISION", "auto").as_str() {
            "auto" => Precision::Auto,
            "f32" => Precision::F32,
            "bf16" => Precision::Bf16,
            "int16" => Precision::Int16,
            other => {
                env.mistake(
                    "EMBEDDING_PRECISION",
                    format!("must be auto, f32, bf16 or int16, not {other:?}"),
                );
                Precision::Auto
            }
        };
        Self {
            model_dir: env.text_or("MODEL_DIR", "model").into(),
            queue_capacity: env.parsed("EMBEDDING_QUEUE_CAPACITY", 1..=10_000, "1 to 10000").unwrap_or(256),
            precision,
            threads: env.parsed("EMBEDDING_THREADS", 1..=256, "1 to 256"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct RetrievalConfig {
    /// `None`: by the script of the question.
    pub vector_weight: Option<VectorWeight>,
    /// Below this `generation::evidence` there is none: `evaluate DIR --foreign OTHER_DIR --held-out` shows the curve.
    pub min_cosine: f32,
}

impl RetrievalConfig {
    /// Calibrated on test collections; see `ARCHITECTURE.md`, "Abstention".
    pub const DEFAULT_MIN_COSINE: f32 = 0.3;

    fn read(env: &mut EnvReader) -> Self {
        let wanted = "a number, 0 to 10";
        Self {
            vector_weight: env
                .parsed::<f64>("SEARCH_VECTOR_WEIGHT", 0.0..=10.0, wanted)
                .and_then(|weight| VectorWeight::parse(weight).ok()),
            min_cosine: env
                .parsed("MIN_EVIDENCE_COSINE", -1.0..=1.0, "a number, -1 to 1")
                .unwrap_or(Self::DEFAULT_MIN_COSINE),
        }
    }
}

/// Where a text is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkStrategy {
    /// By the model's tokenizer, at the borders of sections, paragraphs, sentences and words.
    Tokens,
    /// By lines, up to 200 characters with 20 of overlap, as the service before this one did.
    Characters,
}

/// Limits of what one file may cost, and how it is cut.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    pub max_file_bytes: u64,
    pub max_pages: u32,
    /// Characters of text one file may give.
    pub max_characters: u64,
    /// Wall-clock time of reading one file of any format.
    pub extract_timeout: Duration,
    /// Address space of that process.
    pub extract_memory_bytes: u64,
    /// How long complete sources may wait for a commit.
    pub commit_interval: Duration,
    pub chunk_strategy: ChunkStrategy,
    /// Tokens of a chunk with `[CLS]`, `[SEP]` and its title; 256 at most.
    pub chunk_tokens: usize,
    pub chunk_overlap_tokens: usize,
}

impl IngestConfig {
    fn read(env: &mut EnvReader) -> Self {
        let chunk_tokens = env.parsed("CHUNK_TOKENS", 96..=256, "96 to 256").unwrap_or(256);
        let chunk_overlap_tokens = env.parsed("CHUNK_OVERLAP_TOKENS", 0..=128, "0 to 128").unwrap_or(32);
        if chunk_overlap_tokens * 2 > chunk_tokens {
            env.mistake("CHUNK_OVERLAP_TOKENS", "must be at most half of CHUNK_TOKENS");
        }
        let chunk_strategy = match env.text("CHUNK_STRATEGY").as_deref() {
            None | Some("tokens") => ChunkStrategy::Tokens,
            Some("characters") => ChunkStrategy::Characters,
            Some(other) => {
                env.mistake("CHUNK_STRATEGY", format!("must be tokens or characters, not {other:?}"));
                ChunkStrategy::Tokens
            }
        };
        Self {
            commit_interval: seconds(env, "INGEST_COMMIT_SECONDS", 5, 0..=3_600),
            chunk_strategy,
            max_file_bytes: env
                .parsed("INGEST_MAX_FILE_BYTES", 1..=1 << 32, "1 to 4294967296 bytes")
                .unwrap_or(128 << 20),
            max_pages: env.parsed("INGEST_MAX_PAGES", 1..=100_000, "1 to 100000").unwrap_or(5_000),
            max_characters: env
                .parsed("INGEST_MAX_CHARACTERS", 1_000..=1_000_000_000, "1000 to 1000000000")
                .unwrap_or(20_000_000),
            extract_timeout: seconds(env, "INGEST_FILE_TIMEOUT_SECONDS", 25, 1..=3_600),
            extract_memory_bytes: env
                .parsed("INGEST_FILE_MEMORY_BYTES", 64 << 20..=64 << 30, "64 MiB to 64 GiB, in bytes")
                .unwrap_or(1 << 30),
            chunk_tokens,
            chunk_overlap_tokens,
        }
    }
}

pub(super) fn seconds(
    env: &mut EnvReader,
    name: &'static str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Duration {
    let wanted = format!("{} to {} seconds", range.start(), range.end());
    Duration::from_secs(env.parsed(name, range, &wanted).unwrap_or(default))
}

pub(super) fn one_of(env: &mut EnvReader, name: &'static str, values: &[&str]) -> Option<String> {
    let text = env.text(name)?;
    if values.contains(&text.as_str()) {
        return Some(text);
    }
    env.mistake(name, format!("must be one of {}, not {text:?}", values.join(", ")));
    None
}

/// One of the named values; the first is the default.
pub(super) fn choice<T: Copy, const N: usize>(
    env: &mut EnvReader,
    name: &'static str,
    values: [(&str, T); N],
) -> T {
    let names = values.map(|(name, _)| name);
    let chosen = one_of(env, name, &names);
    let found = values.iter().find(|(name, _)| Some(*name) == chosen.as_deref());
    found.map_or(values[0].1, |(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
        Config::read(EnvReader::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn an_empty_environment_is_a_laptop() {
        let config = read(&[]).unwrap();
        assert!(config.llm.is_none());
        assert_eq!((config.server.port, config.ingest.chunk_tokens), (8000, 256));
    }

    #[test]
    fn mistakes_of_all_sections_come_together() {
        let ConfigError(lines) = read(&[
            ("PORT", "99999"),
            ("LOG_FORMAT", "xml"),
            ("OPENAI_API_KEY", "sk-hidden"),
            ("OPENAI_VERBOSITY", "loud"),
            ("CHUNK_TOKENS", "40"),
        ])
        .unwrap_err();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(!lines.concat().contains("sk-hidden"));
    }

    #[test]
    fn a_key_does_not_print() {
        let config = read(&[("OPENAI_API_KEY", "sk-hidden"), ("OPENAI_MODEL", "m")]).unwrap();
        assert!(!format!("{config:?}").contains("sk-hidden"));
    }
}
