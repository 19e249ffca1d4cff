//! The go-live list of `rag-api check --production`: what is fine on a laptop and wrong before users.

use std::{path::Path, time::Duration};

use crate::config::{
    AzureAuth, Config, EmbeddingConfig, IncomingTrace, LlmAuth, LlmConfig, LogFormat, SearchBackend,
    ServerConfig, ServiceInfo, TelemetryConfig, TraceExport,
};

/// The whole of a container: model, index in use, requests at work.
const MIN_MEMORY_BYTES: u64 = 256 << 20;
/// Container Apps and Kubernetes kill 30 s after SIGTERM unless told otherwise.
const USUAL_GRACE: Duration = Duration::from_secs(30);

/// What is wrong, and what to do about it; `Ok` says what was found.
pub(super) type Finding = (&'static str, Result<String, String>);

/// Judges the configuration and the process. `chunks`: in the index, where it can be read.
pub(super) fn findings(config: &Config, chunks: Option<u64>) -> Vec<Finding> {
    vec![
        ("identity", identity(&config.service)),
        ("telemetry", telemetry(&config.telemetry)),
        ("incoming traces", incoming(&config.server)),
        ("logs", logs(&config.telemetry)),
        ("search", search(&config.search)),
        ("documents", documents(chunks)),
        ("language model", language_model(config.llm.as_ref())),
        ("shutdown", shutdown(&config.server)),
        ("model files", model_files(&config.embedding)),
        ("user", user()),
        ("memory", memory(memory_limit())),
    ]
}

fn identity(service: &ServiceInfo) -> Result<String, String> {
    let ServiceInfo { version, build_sha, image_tag, env, .. } = service;
    let unset: Vec<&str> = [
        ("ENV_NAME", env, "local"),
        ("BUILD_SHA", build_sha, "unknown"),
        ("IMAGE_TAG", image_tag, "unknown"),
    ]
    .into_iter()
    .filter(|(_, value, default)| value == default)
    .map(|(name, ..)| name)
    .collect();
    match unset.is_empty() {
        true => Ok(format!("{env}, version {version}, build {build_sha}, image {image_tag}")),
        false => Err(format!("set {}: nobody can tell otherwise what runs", unset.join(", "))),
    }
}

fn telemetry(config: &TelemetryConfig) -> Result<String, String> {
    match &config.traces {
        TraceExport::Datadog(_) => Ok("traces go to the Datadog Agent".into()),
        TraceExport::Otlp(_) => Ok("traces go to an OpenTelemetry receiver".into()),
        TraceExport::Off => {
            Err("set DD_AGENT_HOST or OTEL_EXPORTER_OTLP_ENDPOINT: no trace leaves this process".into())
        }
    }
}

fn incoming(server: &ServerConfig) -> Result<String, String> {
    match server.incoming_trace {
        IncomingTrace::New => Ok("every request starts a trace of its own".into()),
        IncomingTrace::Trust => {
            Err("set TRACE_INCOMING=new, unless only services of yours can reach this one".into())
        }
    }
}

fn logs(config: &TelemetryConfig) -> Result<String, String> {
    match config.log_format {
        Some(LogFormat::Pretty) => Err("set LOG_FORMAT=json: collectors cannot read the other form".into()),
        Some(LogFormat::Json) | None => Ok("one JSON object a line".into()),
    }
}

fn search(backend: &SearchBackend) -> Result<String, String> {
    let SearchBackend::Azure(azure) = backend else {
        return Ok(
            "a local index: every replica needs its own copy, or a volume that all of them share".into()
        );
    };
    match &azure.auth {
        _ if azure.endpoint.starts_with("http://") => Err("AZURE_SEARCH_ENDPOINT is an emulator".into()),
        AzureAuth::Entra(_) => Ok("Azure AI Search, by identity".into()),
        AzureAuth::Key { query: Some(_), admin: None } => {
            Ok("Azure AI Search, by a key that only reads".into())
        }
        AzureAuth::Key { .. } => {
            Err("drop AZURE_SEARCH_API_KEY: an identity or AZURE_SEARCH_QUERY_KEY is enough to answer".into())
        }
    }
}

fn documents(chunks: Option<u64>) -> Result<String, String> {
    match chunks {
        Some(chunks) if chunks > 0 => Ok(format!("{chunks} chunks")),
        Some(_) => Err("ingest documents: the index is empty".into()),
        None => Err("the index cannot be read; see above".into()),
    }
}

fn language_model(llm: Option<&LlmConfig>) -> Result<String, String> {
    let Some(llm) = llm else { return Ok("none: answers quote sentences".into()) };
    let keyed = matches!(llm.auth, LlmAuth::Bearer(_) | LlmAuth::ApiKey(_) | LlmAuth::Entra(_));
    match llm.prices.of(&llm.model) {
        _ if keyed && llm.base_url.starts_with("http://") => {
            Err("OPENAI_BASE_URL is http://: key, questions and passages travel in the open".into())
        }
        None => Err(format!("set OPENAI_PRICES for {}: nobody sees what it costs", llm.model)),
        Some(_) => Ok(format!("{}, with its price", llm.model)),
    }
}

fn shutdown(server: &ServerConfig) -> Result<String, String> {
    let seconds = server.shutdown_grace.as_secs();
    match server.shutdown_grace {
        grace if grace < Duration::from_secs(5) => {
            Err("raise SHUTDOWN_GRACE_SECONDS: requests at work are cut at each deployment".into())
        }
        grace if grace >= USUAL_GRACE => Err(format!(
            "lower SHUTDOWN_GRACE_SECONDS below 30, or raise the platform's own patience above {seconds} s"
        )),
        _ => Ok(format!("{seconds} s for requests at work")),
    }
}

/// Who can change the weights can change every answer.
fn model_files(config: &EmbeddingConfig) -> Result<String, String> {
    let weights = config.model_dir.join("model.safetensors");
    match std::fs::metadata(&weights) {
        Ok(metadata) if metadata.permissions().readonly() || !writable(&weights) => Ok("read-only".into()),
        Ok(_) => Err("make MODEL_DIR read-only for the user of this process".into()),
        Err(_) => Err("run `rag-api model fetch`: there are none".into()),
    }
}

fn writable(path: &Path) -> bool {
    std::fs::OpenOptions::new().append(true).open(path).is_ok()
}

fn user() -> Result<String, String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1)?.parse().ok());
    match uid {
        Some(0_u32) => Err("run as another user than root".into()),
        Some(uid) => Ok(format!("uid {uid}")),
        None => Ok("unknown on this system".into()),
    }
}

fn memory(limit: Option<u64>) -> Result<String, String> {
    match limit {
        Some(bytes) if bytes < MIN_MEMORY_BYTES => {
            Err(format!("give it 256 MiB or more: the limit is {} MiB", bytes >> 20))
        }
        Some(bytes) => Ok(format!("limited to {} MiB", bytes >> 20)),
        None => Err("set a memory limit: a neighbour would be killed in its place".into()),
    }
}

/// Of the control group this process is in, version 2 or 1; `None`: there is none.
fn memory_limit() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits =
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    // Version 1 writes "none" as a number near 2^63.
    limits.filter(|bytes| *bytes < 1 << 50).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EnvReader;

    fn failed(pairs: &[(&'static str, &'static str)]) -> Vec<&'static str> {
        let config = Config::read(EnvReader::from_pairs(pairs.iter().copied())).unwrap();
        // The last three depend on who runs the test, and where.
        let all = findings(&config, Some(3)).into_iter().take(8);
        all.filter(|(_, result)| result.is_err()).map(|(name, _)| name).collect()
    }

    const READY: [(&str, &str); 9] = [
        ("ENV_NAME", "prod"),
        ("BUILD_SHA", "abc"),
        ("IMAGE_TAG", "sha-abc"),
        ("DD_AGENT_HOST", "agent"),
        ("TRACE_INCOMING", "new"),
        ("AZURE_SEARCH_ENDPOINT", "https://n.search.windows.net"),
        ("OPENAI_BASE_URL", "https://n.openai.azure.com/openai/v1"),
        ("OPENAI_MODEL", "gpt-5-mini"),
        ("OPENAI_PRICES", "gpt-5-mini=0.25/2"),
    ];

    #[test]
    fn a_laptop_is_not_ready_and_a_production_environment_is() {
        assert_eq!(failed(&[]), ["identity", "telemetry", "incoming traces"]);
        assert_eq!(failed(&READY), [""; 0]);
    }

    #[test]
    fn each_mistake_is_found() {
        for (name, value, found) in [
            ("IMAGE_TAG", "unknown", "identity"),
            ("DD_AGENT_HOST", "", "telemetry"),
            ("TRACE_INCOMING", "trust", "incoming traces"),
            ("LOG_FORMAT", "pretty", "logs"),
            ("AZURE_SEARCH_API_KEY", "k", "search"),
            ("OPENAI_PRICES", "", "language model"),
            ("SHUTDOWN_GRACE_SECONDS", "2", "shutdown"),
            ("SHUTDOWN_GRACE_SECONDS", "60", "shutdown"),
        ] {
            let mut pairs: Vec<_> = READY.into_iter().filter(|(other, _)| *other != name).collect();
            pairs.push((name, value));
            assert_eq!(failed(&pairs), [found], "{name}={value}");
        }
        assert!(documents(None).is_err() && documents(Some(0)).is_err());
        assert!(memory(Some(100 << 20)).is_err() && memory(None).is_err() && memory(Some(1 << 30)).is_ok());
    }
}
