//! The id that ties a reply, its log lines and its trace together.

use std::fmt;

use opentelemetry::{
    global,
    propagation::Extractor,
    trace::{SpanContext, TraceContextExt},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::config::IncomingTrace;

/// What of an incoming request may say which trace it belongs to.
const TRACE_HEADERS: [&str; 6] = [
    "traceparent",
    "tracestate",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
];

/// 128 bits, never zero; prints as 32 lower-case hex digits, as W3C Trace Context writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    pub fn random() -> Self {
        Self(fastrand::u128(1..))
    }

    /// Joins a request's fresh span to the caller's trace, where that is wanted, and gives the id of the
    /// trace it is then in. `header` gives the value of a header that occurs once.
    pub fn of_request<'a>(
        span: &Span,
        incoming: IncomingTrace,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let trusted = incoming == IncomingTrace::Trust;
        if trusted {
            let values = TRACE_HEADERS.map(|name| (name, header(name)));
            let context = global::get_text_map_propagator(|from| from.extract(&Incoming(values)));
            if context.span().span_context().is_valid() {
                // It fails where no tracer is installed, and then there is nothing to join.
                let _ = span.set_parent(context);
            }
        }
        let sent = || header("traceparent").filter(|_| trusted).and_then(Self::from_traceparent);
        let id = Self::of(span).or_else(sent).unwrap_or_else(Self::random);
        span.record("trace_id", tracing::field::display(id));
        id
    }

    /// The id of the trace that begins with this span.
    pub fn of_root(span: &Span) -> Self {
        let id = Self::of(span).unwrap_or_else(Self::random);
        span.record("trace_id", tracing::field::display(id));
        id
    }

    /// `None`: no tracer is installed, or it does not look at this span.
    fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let bytes = valid(context.span().span_context())?.trace_id().to_bytes();
        Some(Self(u128::from_be_bytes(bytes)))
    }

    /// The trace id of a `traceparent` header (W3C Trace Context, level 1, section 3.2); `None`
    /// when the header is malformed, as it must then be ignored whole.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(5, '-');
        let version = lower_hex(parts.next()?, 2)?;
        let trace = lower_hex(parts.next()?, 32)?;
        let parent = lower_hex(parts.next()?, 16)?;
        lower_hex(parts.next()?, 2)?;
        // Later versions may append fields; version 0 may not, and 255 is forbidden.
        let more = parts.next().is_some();
        let known = version != 0xff && (version != 0 || !more);
        (known && trace != 0 && parent != 0).then_some(Self(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The header by which another service continues the trace of the span at work. It is all that goes to
/// others: no `tracestate`, no baggage.
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    let current = context.span();
    let current = valid(current.span_context())?;
    let sampled = u8::from(current.is_sampled());
    Some(format!("00-{}-{}-{sampled:02x}", current.trace_id(), current.span_id()))
}

/// Trace and span at work, as log lines name them: 32 hex digits, and a decimal number.
pub(super) fn current_ids() -> Option<(String, String)> {
    opentelemetry::Context::map_current(|context| {
        let current = context.span();
        let current = valid(current.span_context())?;
        let span = u64::from_be_bytes(current.span_id().to_bytes());
        Some((current.trace_id().to_string(), span.to_string()))
    })
}

fn valid(context: &SpanContext) -> Option<&SpanContext> {
    context.is_valid().then_some(context)
}

struct Incoming<'a>([(&'static str, Option<&'a str>); 6]);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).and_then(|(_, value)| *value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect()
    }
}

fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    let all = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    all.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_traceparent_gives_its_trace_id_unchanged() {
        let id = TraceId::from_traceparent(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!(id.to_string(), TRACE);
        assert!(TraceId::from_traceparent(&format!("cc-{TRACE}-00f067aa0ba902b7-01-what-next")).is_some());
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        for header in [
            "",
            "00",
            "rubbish",
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-extra"),
            &format!("00-{TRACE}-0000000000000000-01"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceId::from_traceparent(header), None, "{header}");
        }
    }

    #[test]
    fn random_ids_differ_and_have_32_digits() {
        let (one, two) = (TraceId::random(), TraceId::random());
        assert_ne!(one, two);
        assert_eq!(one.to_string().len(), 32);
    }
}
