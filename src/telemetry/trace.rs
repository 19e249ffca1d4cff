//! The id that ties a reply, its log lines and its trace together.

use std::fmt;

/// 128 bits, never zero; prints as 32 lower-case hex digits, as W3C Trace Context writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    pub fn random() -> Self {
        Self(fastrand::u128(1..))
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
