//! Dates of the wire: `Edm.DateTimeOffset`, kept in UTC.

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// Nanoseconds since 1970; offsets are honoured, and a time without one is no instant.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    if text.len() > 64 || text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    if let Ok(instant) = OffsetDateTime::parse(text, &Rfc3339) {
        return instant.checked_to_offset(UtcOffset::UTC);
    }
    // Seconds may be left out: 2026-11-20T10:00Z.
    let (head, tail) = text.split_at_checked(16)?;
    if !tail.starts_with(['Z', 'z', '+', '-']) {
        return None;
    }
    OffsetDateTime::parse(&format!("{head}:00{tail}"), &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)
}

/// As the service gives dates back: in UTC, with a fraction only where there is one.
pub(super) fn normalized(text: &str) -> Option<String> {
    parse(text)?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_instants_in_utc() {
        for (given, kept) in [
            ("2026-11-20T10:00:00Z", Some("2026-11-20T10:00:00Z")),
            ("2026-11-20T10:00:00+02:00", Some("2026-11-20T08:00:00Z")),
            ("2026-11-20T10:00:00.1200-01:30", Some("2026-11-20T11:30:00.12Z")),
            ("2026-11-20T10:00Z", Some("2026-11-20T10:00:00Z")),
            ("2026-11-20T10:00:00", None),
            ("2026-11-20", None),
            ("2026-13-20T10:00:00Z", None),
            ("yesterday", None),
            ("0000-01-01T00:00:00+23:59", None),
            ("ééééééééééééééééééé", None),
        ] {
            assert_eq!(normalized(given).as_deref(), kept, "{given}");
        }
    }
}
