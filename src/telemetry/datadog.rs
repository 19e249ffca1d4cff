//! Datadog's own tracer, which the cargo feature `datadog` brings or leaves out.

#[cfg(feature = "datadog")]
use datadog_opentelemetry::{
    configuration::{BaggageTagKeyFilter, Config, TracePropagationStyle},
    log::LevelFilter as TracerLevel,
};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::LogsError;
use crate::config::{DatadogConfig, ServiceInfo};

/// What is not set here, the tracer takes from the environment: sampling rules, limits, statistics.
#[cfg(feature = "datadog")]
pub(super) fn provider(
    config: &DatadogConfig,
    service: &ServiceInfo,
) -> Result<SdkTracerProvider, LogsError> {
    let mut builder = Config::builder();
    builder
        .set_service(service.name.clone())
        .set_env(service.env.clone())
        .set_version(service.version.clone())
        .set_trace_agent_url(config.agent_url.clone())
        .set_global_tags(config.tags.clone())
        .set_telemetry_enabled(false)
        .set_remote_config_enabled(false)
        // The spans of a long ingestion do not wait in memory for its end.
        .set_trace_partial_flush_enabled(true)
        // Baggage is of those who send it: it is neither taken in nor passed on.
        .set_trace_propagation_style_extract(vec![
            TracePropagationStyle::Datadog,
            TracePropagationStyle::TraceContext,
        ])
        .set_trace_propagation_style_inject(vec![TracePropagationStyle::TraceContext])
        .set_trace_baggage_tag_keys(BaggageTagKeyFilter::Disabled)
        // It would write coloured text to stdout, between the lines of JSON.
        .set_log_level_filter(TracerLevel::Off);
    if let Some(rate) = config.sample_rate {
        builder.set_trace_sample_rate(rate);
    }
    let (provider, propagator) = datadog_opentelemetry::tracing().with_config(builder.build()).init_local();
    opentelemetry::global::set_text_map_propagator(propagator);
    Ok(provider)
}

/// Refuses at the start: traces that are asked for and not sent would be missed only when they are needed.
#[cfg(not(feature = "datadog"))]
pub(super) fn provider(_: &DatadogConfig, _: &ServiceInfo) -> Result<SdkTracerProvider, LogsError> {
    Err(LogsError::NoTracer)
}
