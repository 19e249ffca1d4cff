//! When to ask another service again, and how long to wait before.

use std::time::Duration;

use reqwest::header::HeaderMap;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// A longer wait is not worth holding a caller for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(8);

/// What the headers of a reply say about asking again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Advice {
    /// `x-should-retry`, which overrules the status.
    pub should_retry: Option<bool>,
    pub after: Option<Duration>,
}

impl Advice {
    pub fn of(headers: &HeaderMap, now: OffsetDateTime) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let seconds = |text: &str, unit: f64| {
            text.parse::<f64>()
                .ok()
                .filter(|n| *n > 0.0)
                .and_then(|n| Duration::try_from_secs_f64(n * unit).ok())
        };
        let date = |text: &str| {
            let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            Duration::try_from(date - now).ok().filter(|wait| !wait.is_zero())
        };
        let after = text("retry-after-ms")
            .and_then(|text| seconds(text, 0.001))
            .or_else(|| text("retry-after").and_then(|text| seconds(text, 1.0).or_else(|| date(text))));
        let should_retry = match text("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        Self { should_retry, after }
    }

    /// Whether a reply with this status is worth another try.
    pub fn retries(&self, status: u16) -> bool {
        // 501 and 505 say that the server cannot, not that it cannot now.
        let passing = matches!(status, 408 | 409 | 429 | 500..=599) && !matches!(status, 501 | 505);
        self.should_retry.unwrap_or(passing)
    }

    /// The wait before retry number `retry` (from 0); `None` when the server asks for more than is sensible.
    /// `jitter` is 0 to 1: callers that failed together shall not come back together.
    pub fn delay(&self, retry: u32, jitter: f64) -> Option<Duration> {
        match self.after {
            Some(after) if after > MAX_RETRY_AFTER => None,
            Some(after) => Some(after + after.mul_f64(0.1 * jitter).min(Duration::from_secs(1))),
            None => {
                let full = FIRST_DELAY.saturating_mul(1 << retry.min(10)).min(MAX_DELAY);
                Some(full.mul_f64(0.5 + 0.5 * jitter))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};
    use time::macros::datetime;

    use super::*;

    fn advice(pairs: &[(&'static str, &'static str)]) -> Advice {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Advice::of(&headers, datetime!(2026-11-22 08:00:00 UTC))
    }

    #[test]
    fn waits_are_read_in_every_form_and_nonsense_is_ignored() {
        let after = |pairs: &[(&'static str, &'static str)]| advice(pairs).after.map(|wait| wait.as_millis());
        assert_eq!(after(&[("retry-after-ms", "250"), ("retry-after", "9")]), Some(250));
        assert_eq!(after(&[("retry-after", "1.5")]), Some(1_500));
        assert_eq!(after(&[("retry-after", "Sun, 22 Nov 2026 08:00:07 GMT")]), Some(7_000));
        for text in ["0", "-1", "soon", "NaN", "inf", "1e300", "", "Sun, 22 Nov 2026 07:00:00 GMT"] {
            assert_eq!(after(&[("retry-after", text)]), None, "{text}");
        }
    }

    #[test]
    fn delays_double_up_to_a_limit_and_stay_within_their_jitter() {
        let none = Advice::default();
        assert_eq!(none.delay(0, 0.0), Some(Duration::from_millis(250)));
        assert_eq!(none.delay(1, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(none.delay(u32::MAX, 1.0), Some(MAX_DELAY));
        let asked = advice(&[("retry-after", "10")]);
        assert_eq!(asked.delay(0, 0.0), Some(Duration::from_secs(10)));
        assert_eq!(asked.delay(0, 1.0), Some(Duration::from_secs(11)));
        assert_eq!(advice(&[("retry-after", "121")]).delay(0, 0.0), None);
    }

    #[test]
    fn passing_failures_are_retried_unless_the_server_says_otherwise() {
        let none = Advice::default();
        assert!([408, 409, 429, 500, 503, 529].iter().all(|status| none.retries(*status)));
        assert!([400, 401, 404, 422, 501, 308].iter().all(|status| !none.retries(*status)));
        assert!(!advice(&[("x-should-retry", "false")]).retries(503));
        assert!(advice(&[("x-should-retry", "true")]).retries(400));
    }
}
