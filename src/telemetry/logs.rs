//! One JSON object a line for machines, plain text for people at a terminal.

use std::{
    io::{IsTerminal, Write},
    panic::PanicHookInfo,
};

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{MakeWriter, format},
    layer::Context,
    registry::LookupSpan,
};

use super::trace::current_ids;
use crate::config::{LogFormat, ServiceInfo, TelemetryConfig};

/// Crates that say at `info` what only their authors want to know.
const QUIET: &str = "tantivy=warn,hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,hf_hub=warn,\
                     pdf_oxide=error,pdf_extract=error,lopdf=error,tokenizers=warn";

/// The exporters, which complain twice a flush while a receiver is away; `RUST_LOG=libdd=debug` hears them.
const SILENT: &str =
    "libdd=off,datadog_opentelemetry=off,opentelemetry=off,opentelemetry_sdk=off,opentelemetry_otlp=off";

/// Where JSON goes. The server logs to stdout, as container platforms read it; a command whose
/// stdout is its result logs to stderr. Text for people always goes to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogsError {
    #[error("RUST_LOG {0}; write for example info or info,rag_api=debug")]
    Filter(String),
    #[error("a logger is installed already")]
    Installed,
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {0}")]
    Exporter(String),
    #[error(
        "DD_TRACE_AGENT_URL, DD_AGENT_HOST and DD_TRACE_ENABLED=true need Datadog's tracer, and this rag-api was built \
         without it: set OTEL_EXPORTER_OTLP_ENDPOINT to the Agent's OTLP port instead, or build with --features datadog"
    )]
    NoTracer,
}

/// The layer that writes log lines; only its own filter decides on them, as traces have another.
pub(super) fn layer(
    config: &TelemetryConfig,
    service: &ServiceInfo,
    target: LogTarget,
) -> Result<impl Layer<Registry> + Send + Sync, LogsError> {
    let usual = match target {
        LogTarget::Stdout => "info",
        LogTarget::Stderr => "warn",
    };
    let filter = filter(config.log_filter.as_deref().unwrap_or(usual))?;
    let terminal = match target {
        LogTarget::Stdout => std::io::stdout().is_terminal(),
        LogTarget::Stderr => std::io::stderr().is_terminal(),
    };
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match (format, target) {
        (LogFormat::Json, LogTarget::Stdout) => JsonLines::new(service, std::io::stdout).boxed(),
        (LogFormat::Json, LogTarget::Stderr) => JsonLines::new(service, std::io::stderr).boxed(),
        (LogFormat::Pretty, _) => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let fields = format::debug_fn(|writer, field, value| match field.name() {
                "message" => write!(writer, "{value:?}"),
                // For traces alone, but for the route.
                name if name.contains('.') && name != "http.route" => Ok(()),
                name => write!(writer, " {name}={value:?}"),
            });
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colours)
                .fmt_fields(fields)
                .boxed()
        }
    };
    Ok(layer.with_filter(filter))
}

/// Panics become log lines of their request.
pub(super) fn hook_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

/// A directive that is a bare word is a target to the parser, so that a mistyped level would
/// silence everything; it is refused here.
fn filter(directives: &str) -> Result<EnvFilter, LogsError> {
    for word in directives.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if !word.contains(['=', '[']) && word.parse::<LevelFilter>().is_err() {
            return Err(LogsError::Filter(format!(
                "has {word:?}, which is no level (error, warn, info, debug, trace, off); \
                 if it is a module, write {word}=debug"
            )));
        }
    }
    let plain = directives.trim().eq_ignore_ascii_case("info");
    let text = if plain { format!("info,{QUIET},{SILENT}") } else { format!("{SILENT},{directives}") };
    EnvFilter::builder()
        .with_regex(false)
        .parse(&text)
        .map_err(|error| LogsError::Filter(format!("cannot be read: {error}")))
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let payload = info.payload();
    let text = match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => without_quoted(text),
        (None, None) => "",
    };
    tracing::error!(location, thread, reason = text, "panicked");
}

/// A formatted panic message may quote what was being worked on ("byte index 1 is not a char
/// boundary of `…`"), and questions and passages must not reach the log.
fn without_quoted(message: &str) -> &str {
    message.split(['`', '"', '\'', ':']).next().unwrap_or_default().trim_end()
}

/// A layer that writes each event as one JSON object, with the names by which Datadog reads it: its
/// fields and those of the spans around it side by side, who is speaking, and in which trace. A field
/// with a dot in its name is written as an object; those of spans are for traces, but for the few in
/// `OF_SPANS`.
pub struct JsonLines<W> {
    service: ServiceInfo,
    writer: W,
}

/// Fields of spans that go to log lines under another name.
const OF_SPANS: [(&str, &str); 2] = [("http.request.method", "http.method"), ("http.route", "http.route")];

/// Fields of events by the names that Datadog reads.
const OF_EVENTS: [(&str, &str); 3] =
    [("status", "http.status_code"), ("error", "error.message"), ("code", "error.kind")];

fn renamed(names: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    names.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| *theirs)
}

/// `a.b` becomes `b` in the object `a`.
fn put(line: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            line.insert(name.to_owned(), value);
        }
        Some((outer, inner)) => {
            let slot = line.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            if let Value::Object(object) = slot {
                put(object, inner, value);
            }
        }
    }
}

impl<W> JsonLines<W> {
    pub fn new(service: &ServiceInfo, writer: W) -> Self {
        Self { service: service.clone(), writer }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
                for (name, value) in fields {
                    let name =
                        if name.contains('.') { renamed(&OF_SPANS, name) } else { Some(name.as_str()) };
                    name.into_iter().for_each(|name| put(&mut line, name, value.clone()));
                }
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        // An event that came through the `log` facade carries its origin in fields.
        let target = fields.0.remove("log.target").unwrap_or_else(|| event.metadata().target().into());
        for (name, value) in fields.0.into_iter().filter(|(name, _)| !name.starts_with("log.")) {
            if let Some(milliseconds) = value.as_f64().filter(|_| name == "duration_ms") {
                // Datadog's standard attribute counts nanoseconds.
                put(&mut line, "duration", ((milliseconds * 1e6) as u64).into());
            }
            put(&mut line, renamed(&OF_EVENTS, &name).unwrap_or(&name), value);
        }
        // That of the span at work; where no tracer looks, that of the request.
        let ids = current_ids().map(|(trace, span)| (Value::from(trace), Some(Value::from(span))));
        let ids = ids.or_else(|| Some((line.get("trace_id")?.clone(), None)));
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(now.millisecond() as u32 * 1_000_000).unwrap_or(now);
        line.insert("dd".to_owned(), Value::Object(Map::new()));
        line.insert("logger".to_owned(), Value::Object(Map::new()));
        for (name, value) in [
            ("timestamp", Some(now.format(&Rfc3339).unwrap_or_default().into())),
            ("status", Some(event.metadata().level().as_str().to_ascii_lowercase().into())),
            ("logger.name", Some(target)),
            ("logger.thread_name", std::thread::current().name().map(Value::from)),
            ("dd.service", Some(self.service.name.as_str().into())),
            ("dd.env", Some(self.service.env.as_str().into())),
            ("dd.version", Some(self.service.version.as_str().into())),
            ("dd.trace_id", ids.as_ref().map(|(trace, _)| trace.clone())),
            ("dd.span_id", ids.and_then(|(_, span)| span)),
        ] {
            value.into_iter().for_each(|value| put(&mut line, name, value));
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // Nobody is left to tell when the log itself cannot be written.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(text.as_bytes());
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.set(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn service() -> ServiceInfo {
        ServiceInfo {
            name: "rag-api".into(),
            version: "9.9".into(),
            build_sha: "s".into(),
            image_tag: "t".into(),
            env: "test".into(),
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(work: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = JsonLines::new(&service(), move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_event_is_one_object_with_the_fields_of_its_spans_by_datadogs_names() {
        let lines = lines_of(|| {
            let span = tracing::info_span!(
                "request",
                trace_id = "4bf9",
                "http.request.method" = "GET",
                "otel.name" = "for traces",
                hash = tracing::field::Empty
            );
            let _inside = span.enter();
            span.record("hash", 7);
            tracing::warn!(
                status = 503,
                duration_ms = 1.5,
                code = "busy",
                error = "no",
                note = "two\nlines",
                "done"
            );
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((&line["message"], &line["status"]), (&"done".into(), &"warn".into()));
        assert_eq!((&line["trace_id"], &line["dd"]["trace_id"]), (&"4bf9".into(), &"4bf9".into()));
        assert_eq!(line["http"], serde_json::json!({"method": "GET", "status_code": 503}));
        assert_eq!(line["error"], serde_json::json!({"kind": "busy", "message": "no"}));
        assert_eq!((&line["duration"], &line["hash"]), (&1_500_000.into(), &7.into()));
        assert_eq!((&line["dd"]["service"], &line["dd"]["env"]), (&"rag-api".into(), &"test".into()));
        assert_eq!((&line["note"], line.get("otel")), (&"two\nlines".into(), None));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(line["logger"]["name"].as_str().unwrap().contains("telemetry::logs"));
    }

    #[test]
    fn an_event_cannot_pose_as_another_service() {
        let lines = lines_of(|| tracing::info!(dd = "other", dd.service = "other", logger = 1, "x"));
        let dd = &lines[0]["dd"];
        assert_eq!((&dd["service"], &lines[0]["status"]), (&"rag-api".into(), &"info".into()));
    }

    #[test]
    fn a_mistyped_level_is_refused_and_named() {
        for wrong in ["inof", "info,rag_api", "rag_api=loud", "info,=debug,x=y=z"] {
            let error = filter(wrong).err().unwrap_or_else(|| panic!("{wrong} was taken")).to_string();
            assert!(error.starts_with("RUST_LOG "), "{error}");
        }
        assert!(filter("inof").unwrap_err().to_string().contains("\"inof\""));
        for right in ["info", "DEBUG", "off", "warn,rag_api=debug", "rag_api::http=trace"] {
            assert!(filter(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn only_the_plain_default_quiets_the_noisy_crates() {
        assert!(filter("info").unwrap().to_string().contains("tantivy=warn"));
        assert!(!filter("debug").unwrap().to_string().contains("tantivy"));
    }

    #[test]
    fn a_panic_message_loses_what_it_quotes() {
        assert_eq!(
            without_quoted(
                "byte index 1 is not a char boundary; it is inside 'é' (bytes 0..2) of `é secret`"
            ),
            "byte index 1 is not a char boundary; it is inside"
        );
        assert_eq!(without_quoted("index out of bounds: the len is 1"), "index out of bounds");
    }
}
