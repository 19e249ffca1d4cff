//! Starts logs and traces, and flushes them at the end.

use std::{collections::HashMap, time::Duration};

use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use secrecy::ExposeSecret;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use super::{
    datadog,
    logs::{self, LogTarget, LogsError},
    spans,
};
use crate::config::{OtlpConfig, ServiceInfo, TelemetryConfig, TraceExport};

/// What the end of a process may take; platforms kill a few seconds later.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps traces going; end it with [`Telemetry::shutdown`], or the last seconds of them are lost.
pub struct Telemetry {
    provider: SdkTracerProvider,
}

impl Telemetry {
    /// Sends what is left, for two seconds at most. Blocks.
    pub fn shutdown(self) {
        // A receiver that is away is no failure of this program.
        let _ = self.provider.shutdown_with_timeout(FLUSH_LIMIT);
    }
}

/// Installs logger, tracer and panic hook of this process, once. Commands that nobody wants traces of
/// pass `export: false`. Call it outside of an async runtime.
pub fn start(
    config: &TelemetryConfig,
    service: &ServiceInfo,
    target: LogTarget,
    export: bool,
) -> Result<Telemetry, LogsError> {
    let log_layer = logs::layer(config, service, target)?;
    let provider = match &config.traces {
        TraceExport::Datadog(datadog) if export => datadog::provider(datadog, service)?,
        TraceExport::Otlp(otlp) if export => to_otlp(otlp, service)?,
        _ => without_export(),
    };
    // The hint keeps what others say at `debug` from being looked at for a layer that never takes it.
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == spans::TARGET)
        .with_max_level_hint(LevelFilter::INFO);
    let trace_layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("rag-api"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(ours);
    tracing_subscriber::registry()
        .with(log_layer)
        .with(trace_layer)
        .try_init()
        .map_err(|_| LogsError::Installed)?;
    logs::hook_panics();
    Ok(Telemetry { provider })
}

/// Ids for logs and for `traceparent`, and nothing else.
fn without_export() -> SdkTracerProvider {
    global::set_text_map_propagator(TraceContextPropagator::new());
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build()
}

fn to_otlp(config: &OtlpConfig, service: &ServiceInfo) -> Result<SdkTracerProvider, LogsError> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", config.endpoint))
        .with_headers(headers(config))
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| LogsError::Exporter(error.to_string()))?;
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", service.name.clone()),
        KeyValue::new("service.version", service.version.clone()),
        KeyValue::new("deployment.environment.name", service.env.clone()),
    ]);
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// `name=value,name=value` with percent-encoded values, as the OpenTelemetry specification has it.
pub(super) fn headers(config: &OtlpConfig) -> HashMap<String, String> {
    let text = config.headers.as_ref().map_or("", |headers| headers.expose_secret());
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), decoded(value.trim())))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let code = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let config = OtlpConfig {
            endpoint: String::new(),
            headers: Some("authorization=Basic%20YTpi==, x-team = rag ,broken,p=100%".to_owned().into()),
        };
        let headers = headers(&config);
        assert_eq!(headers["authorization"], "Basic YTpi==");
        assert_eq!((headers["x-team"].as_str(), headers["p"].as_str(), headers.len()), ("rag", "100%", 3));
    }
}
