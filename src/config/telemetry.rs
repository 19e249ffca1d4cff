//! Where logs, traces and metrics go.

use secrecy::SecretString;

use super::EnvReader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Pretty,
}

/// What a request's `traceparent` is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncomingTrace {
    /// It goes on with the caller's trace and its sampling decision.
    #[default]
    Trust,
    /// Each request starts a trace of its own: for a server that strangers can reach.
    New,
}

impl IncomingTrace {
    pub(super) fn read(env: &mut EnvReader) -> Self {
        match env.text_or("TRACE_INCOMING", "trust").as_str() {
            "trust" => Self::Trust,
            "new" => Self::New,
            other => {
                env.mistake("TRACE_INCOMING", format!("must be trust or new, not {other:?}"));
                Self::Trust
            }
        }
    }
}

/// Where traces go. Without an address nothing is sent and nothing is said about it, as a laptop
/// has no Agent; logs carry ids all the same.
#[derive(Debug, Clone)]
pub enum TraceExport {
    Off,
    Datadog(DatadogConfig),
    Otlp(OtlpConfig),
}

#[derive(Debug, Clone)]
pub struct DatadogConfig {
    /// Of the Agent's trace intake.
    pub agent_url: String,
    /// `None`: as the Agent asks for.
    pub sample_rate: Option<f64>,
    /// On every span.
    pub tags: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct OtlpConfig {
    /// Without the `/v1/traces` behind it.
    pub endpoint: String,
    /// `name=value,name=value`, as OpenTelemetry defines it; it may hold a key.
    pub headers: Option<SecretString>,
}

#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// `None`: pretty on a terminal, JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// `RUST_LOG` directives; `None`: info for the server, warn for commands.
    pub log_filter: Option<String>,
    pub traces: TraceExport,
    /// Where metrics are pushed besides `/metrics`.
    pub metrics: Option<OtlpConfig>,
}

impl TelemetryConfig {
    pub(super) fn read(env: &mut EnvReader) -> Self {
        let log_format = match env.text("LOG_FORMAT").as_deref() {
            None => None,
            Some("json") => Some(LogFormat::Json),
            Some("pretty") => Some(LogFormat::Pretty),
            Some(other) => {
                env.mistake("LOG_FORMAT", format!("must be json or pretty, not {other:?}"));
                None
            }
        };
        let enabled = switch(env, "DD_TRACE_ENABLED");
        let datadog = datadog(env, enabled);
        let otlp = otlp(env);
        let push = switch(env, "DD_METRICS_OTEL_ENABLED") == Some(true);
        if push && otlp.is_none() {
            env.mistake("DD_METRICS_OTEL_ENABLED", "needs OTEL_EXPORTER_OTLP_ENDPOINT");
        }
        let metrics = otlp.clone().filter(|_| push && enabled != Some(false));
        let traces = match (enabled, datadog, otlp) {
            // Off means off: no network at all.
            (Some(false), ..) => TraceExport::Off,
            (_, Some(datadog), _) => TraceExport::Datadog(datadog),
            (_, None, Some(otlp)) => TraceExport::Otlp(otlp),
            (_, None, None) => TraceExport::Off,
        };
        Self { log_format, log_filter: env.text("RUST_LOG"), traces, metrics }
    }
}

/// `Some` where an Agent is named, or where traces are asked for by name, as `datadog-init` does for
/// the program it starts beside its own Agent.
fn datadog(env: &mut EnvReader, enabled: Option<bool>) -> Option<DatadogConfig> {
    let url = env.text("DD_TRACE_AGENT_URL");
    let host = env.text("DD_AGENT_HOST");
    let port = env.parsed::<u16>("DD_TRACE_AGENT_PORT", 1.., "a port, 1 to 65535").unwrap_or(8126);
    let sample_rate = env.parsed("DD_TRACE_SAMPLE_RATE", 0.0..=1.0, "0 to 1");
    let tags = tags(env);
    if let Some(url) = &url
        && !["http://", "https://", "unix://"].iter().any(|scheme| url.starts_with(scheme))
    {
        env.mistake("DD_TRACE_AGENT_URL", "must start with http://, https:// or unix://");
    }
    let wanted = url.is_some() || host.is_some() || enabled == Some(true);
    let named = host.map(|host| match host.contains(':') {
        true => format!("http://[{host}]:{port}"),
        false => format!("http://{host}:{port}"),
    });
    let agent_url = url.or(named).unwrap_or_else(|| format!("http://localhost:{port}"));
    wanted.then_some(DatadogConfig { agent_url, sample_rate, tags })
}

/// `team:search,component:rag`.
fn tags(env: &mut EnvReader) -> Vec<(String, String)> {
    let text = env.text("DD_TAGS").unwrap_or_default();
    let mut tags = Vec::new();
    for tag in text.split([',', ' ']).filter(|tag| !tag.is_empty()) {
        match tag.split_once(':') {
            Some((name, value)) if !name.is_empty() => tags.push((name.to_owned(), value.to_owned())),
            _ => env.mistake("DD_TAGS", "must be name:value,name:value"),
        }
    }
    tags
}

fn otlp(env: &mut EnvReader) -> Option<OtlpConfig> {
    let endpoint = env.text("OTEL_EXPORTER_OTLP_ENDPOINT");
    let headers = env.secret("OTEL_EXPORTER_OTLP_HEADERS");
    let endpoint = endpoint?;
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        env.mistake("OTEL_EXPORTER_OTLP_ENDPOINT", "must start with http:// or https://");
    }
    Some(OtlpConfig { endpoint: endpoint.trim_end_matches('/').to_owned(), headers })
}

fn switch(env: &mut EnvReader, name: &'static str) -> Option<bool> {
    match env.text(name)?.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        other => {
            env.mistake(name, format!("must be true or false, not {other:?}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(pairs: [(&str, &str); N]) -> TelemetryConfig {
        let mut env = EnvReader::from_pairs(pairs);
        let config = TelemetryConfig::read(&mut env);
        env.finish(config).unwrap()
    }

    fn agent<const N: usize>(pairs: [(&str, &str); N]) -> Option<String> {
        match read(pairs).traces {
            TraceExport::Datadog(config) => Some(config.agent_url),
            TraceExport::Otlp(config) => Some(config.endpoint),
            TraceExport::Off => None,
        }
    }

    #[test]
    fn nothing_is_sent_until_somebody_names_an_address() {
        assert_eq!(agent([]), None);
        assert_eq!(agent([("DD_TRACE_ENABLED", "true")]).as_deref(), Some("http://localhost:8126"));
        assert_eq!(agent([("DD_AGENT_HOST", "::1")]).as_deref(), Some("http://[::1]:8126"));
        assert_eq!(
            agent([("DD_AGENT_HOST", "a"), ("DD_TRACE_AGENT_PORT", "9")]).as_deref(),
            Some("http://a:9")
        );
        let both = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://o:4318/"), ("DD_TRACE_AGENT_URL", "http://d:1")];
        assert_eq!(agent(both).as_deref(), Some("http://d:1"));
        assert_eq!(agent([both[0]]).as_deref(), Some("http://o:4318"));
    }

    #[test]
    fn switched_off_means_no_network_at_all() {
        let config = read([
            ("DD_TRACE_ENABLED", "false"),
            ("DD_AGENT_HOST", "a"),
            ("DD_METRICS_OTEL_ENABLED", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://o"),
        ]);
        assert!(matches!(config.traces, TraceExport::Off) && config.metrics.is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (name, value) in [
            ("DD_TRACE_ENABLED", "maybe"),
            ("DD_TRACE_SAMPLE_RATE", "2"),
            ("DD_TAGS", "team"),
            ("DD_TRACE_AGENT_URL", "localhost"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
            ("DD_METRICS_OTEL_ENABLED", "true"),
        ] {
            let mut env = EnvReader::from_pairs([(name, value)]);
            TelemetryConfig::read(&mut env);
            let error = env.finish(()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
