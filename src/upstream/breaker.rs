//! A circuit breaker: leaves a failing service alone for a while, then lets one request try it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go out.
    Closed,
    /// One request is out to see whether the service is back.
    HalfOpen,
    /// Nothing goes out.
    Open,
}

impl BreakerState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    /// As the gauge `upstream_breaker_state` shows it.
    pub fn as_number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Shared by all requests to one service. It reads no clock and rolls no dice: both are given.
#[derive(Debug, Default)]
pub struct Breaker {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    failures: u32,
    /// Pauses since it was closed last; each is longer than the one before.
    pauses: u32,
    /// `None`: closed.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    pause: Duration,
    probing: bool,
}

impl Breaker {
    /// Asks for leave to send one try; otherwise how long to wait before asking again.
    ///
    /// After the pause one caller gets it, and the next one only after another pause: a try whose
    /// outcome is never told, because its caller went away, cannot keep the breaker half-open for ever.
    pub fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut inner = self.lock();
        let Some(open) = &mut inner.open else { return Ok(()) };
        if now < open.until {
            return Err(open.until - now);
        }
        open.until = now + open.pause;
        open.probing = true;
        Ok(())
    }

    /// The service answered: well, or with a refusal that is no sign of illness.
    pub fn succeeded(&self) {
        *self.lock() = Inner::default();
    }

    /// A passing failure. `jitter` is 0 to 1: processes that left together shall not come back together.
    pub fn failed(&self, now: Instant, jitter: f64) {
        let mut inner = self.lock();
        inner.failures = inner.failures.saturating_add(1);
        // Tries that were already out when it opened say nothing new.
        let stale = inner.open.is_some_and(|open| !open.probing);
        if inner.failures < THRESHOLD || stale {
            return;
        }
        let full = FIRST_PAUSE.saturating_mul(1 << inner.pauses.min(10)).min(MAX_PAUSE);
        let pause = full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0));
        inner.pauses = inner.pauses.saturating_add(1);
        inner.open = Some(Open { until: now + pause, pause, probing: false });
    }

    pub fn state(&self) -> BreakerState {
        match self.lock().open {
            None => BreakerState::Closed,
            Some(Open { probing: true, .. }) => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..THRESHOLD {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now, 1.0);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            (1..THRESHOLD).for_each(|_| breaker.failed(now, 1.0));
            assert_eq!(breaker.state(), BreakerState::Closed);
            breaker.succeeded();
        }
        (0..THRESHOLD).for_each(|_| breaker.failed(now, 1.0));
        assert_eq!((breaker.state(), breaker.admit(now)), (BreakerState::Open, Err(FIRST_PAUSE)));
    }

    #[test]
    fn after_the_pause_one_try_decides() {
        let now = Instant::now();
        for well in [true, false] {
            let breaker = opened(now);
            let later = now + FIRST_PAUSE;
            assert_eq!(breaker.admit(later), Ok(()));
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
            assert!(breaker.admit(later).is_err(), "a second try got through");
            if well {
                breaker.succeeded();
                assert_eq!((breaker.state(), breaker.admit(later)), (BreakerState::Closed, Ok(())));
            } else {
                breaker.failed(later, 1.0);
                assert_eq!(
                    (breaker.state(), breaker.admit(later)),
                    (BreakerState::Open, Err(FIRST_PAUSE * 2))
                );
            }
        }
    }

    #[test]
    fn a_try_that_vanished_does_not_keep_it_half_open() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.admit(now + FIRST_PAUSE), Ok(()));
        assert_eq!(breaker.admit(now + FIRST_PAUSE * 2), Ok(()));
    }

    #[test]
    fn pauses_grow_to_a_limit_and_jitter_shortens_them() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut longest = Duration::ZERO;
        for _ in 0..40 {
            let pause = breaker.admit(now).unwrap_err();
            longest = longest.max(pause);
            now += pause;
            breaker.admit(now).unwrap();
            breaker.failed(now, 1.0);
        }
        assert_eq!(longest, MAX_PAUSE);
        let jittered = Breaker::default();
        (0..THRESHOLD).for_each(|_| jittered.failed(now, 0.0));
        assert_eq!(jittered.admit(now), Err(FIRST_PAUSE / 2));
    }

    #[test]
    fn failures_of_tries_already_out_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let breaker = opened(now);
        (0..100).for_each(|_| breaker.failed(now, 1.0));
        assert_eq!(breaker.admit(now), Err(FIRST_PAUSE));
    }
}
