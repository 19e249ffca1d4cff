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
    EnvFilter, Layer,
    fmt::MakeWriter,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{LogFormat, ServiceInfo, TelemetryConfig};

/// Crates that say at `info` what only their authors want to know.
const QUIET: &str = "tantivy=warn,hyper=warn,hyper_util=warn,h2=warn,reqwest=warn,rustls=warn,hf_hub=warn,\
                     pdf_oxide=error,pdf_extract=error,lopdf=error,tokenizers=warn";

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
}

/// Installs the logger and the panic hook of this process, once.
pub fn init(config: &TelemetryConfig, service: &ServiceInfo, target: LogTarget) -> Result<(), LogsError> {
    let filter = filter(&config.log_filter)?;
    let terminal = match target {
        LogTarget::Stdout => std::io::stdout().is_terminal(),
        LogTarget::Stderr => std::io::stderr().is_terminal(),
    };
    let format = config.log_format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let (json_out, json_err, pretty) = match (format, target) {
        (LogFormat::Json, LogTarget::Stdout) => {
            (Some(JsonLines::new(service, std::io::stdout as fn() -> _)), None, None)
        }
        (LogFormat::Json, LogTarget::Stderr) => {
            (None, Some(JsonLines::new(service, std::io::stderr as fn() -> _)), None)
        }
        (LogFormat::Pretty, _) => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
            (None, None, Some(layer))
        }
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(json_out)
        .with(json_err)
        .with(pretty)
        .try_init()
        .map_err(|_| LogsError::Installed)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
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
    let text = if plain { format!("info,{QUIET}") } else { directives.to_owned() };
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

/// A layer that writes each event as one JSON object: the event's fields and those of the spans
/// around it side by side, with who is speaking. `trace_id` is repeated as `dd.trace_id`, the name
/// by which Datadog joins logs to traces.
pub struct JsonLines<W> {
    service: ServiceInfo,
    writer: W,
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
        let mut line = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
                line.0.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        event.record(&mut line);
        let Fields(mut line) = line;
        // An event that came through the `log` facade carries its origin in fields.
        let target = line.remove("log.target").unwrap_or_else(|| event.metadata().target().into());
        line.retain(|name, _| !name.starts_with("log."));
        if let Some(id) = line.get("trace_id").cloned() {
            line.insert("dd.trace_id".to_owned(), id);
        }
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(now.millisecond() as u32 * 1_000_000).unwrap_or(now);
        for (name, value) in [
            ("timestamp", now.format(&Rfc3339).unwrap_or_default().into()),
            ("level", event.metadata().level().as_str().into()),
            ("target", target),
            ("service", self.service.name.as_str().into()),
            ("env", self.service.env.as_str().into()),
            ("version", self.service.version.as_str().into()),
        ] {
            line.insert(name.to_owned(), value);
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
    fn an_event_is_one_flat_object_with_the_fields_of_its_spans() {
        let lines = lines_of(|| {
            let span = tracing::info_span!("request", trace_id = "4bf9", status = tracing::field::Empty);
            let _inside = span.enter();
            span.record("status", 200);
            tracing::warn!(duration_ms = 1.5, note = "two\nlines", "done");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["message"], "done");
        assert_eq!(line["level"], "WARN");
        assert_eq!((&line["trace_id"], &line["dd.trace_id"]), (&"4bf9".into(), &"4bf9".into()));
        assert_eq!((&line["status"], &line["duration_ms"]), (&200.into(), &1.5.into()));
        assert_eq!((&line["service"], &line["env"]), (&"rag-api".into(), &"test".into()));
        assert_eq!(line["note"], "two\nlines");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(line["target"].as_str().unwrap().contains("telemetry::logs"));
    }

    #[test]
    fn an_event_cannot_pose_as_another_service() {
        let lines = lines_of(|| tracing::info!(service = "other", level = "none", "x"));
        assert_eq!((&lines[0]["service"], &lines[0]["level"]), (&"rag-api".into(), &"INFO".into()));
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
