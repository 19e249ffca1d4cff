//! Faults on demand, so that a client's retries can be tested: `--fault 'status=503,on=search,every=3'`.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What one `--fault` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    effect: Effect,
    on: Option<On>,
    every: u64,
    first: Option<u64>,
}

/// A fault with the number of requests it was about so far.
#[derive(Debug)]
pub(super) struct Armed {
    fault: Fault,
    seen: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The request is answered with this status and nothing is done.
    Status {
        status: u16,
        retry_after: Option<u32>,
    },
    /// The first action of a batch, and every second one after it, fails with this status.
    Items(u16),
    /// Indexing requests with more bytes are answered 413.
    TooLargeOver(usize),
    Delay(Duration),
    /// The body of the reply ends in its middle.
    Cut,
    /// What is written is seen by searches, counts and lookups only later.
    Visibility(Duration),
}

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Search,
    Index,
    /// Of a document by its key, and the count of documents.
    Lookup,
    /// Of indexes, aliases, statistics, and everything else.
    Manage,
}

/// What is wrong with a `--fault`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

const EFFECTS: &str = "status=N, items=N, 413-over=BYTES, delay-ms=N, cut, visibility-delay-ms=N";
const MAX_MILLISECONDS: u64 = 3_600_000;

impl From<Fault> for Armed {
    fn from(fault: Fault) -> Self {
        Self { fault, seen: AtomicU64::new(0) }
    }
}

impl Armed {
    /// The effect on this request, if it is its turn. Counts the requests it is about.
    pub(super) fn strike(&self, on: On) -> Option<Effect> {
        let Fault { effect, on: wanted, every, first } = self.fault;
        if wanted.is_some_and(|wanted| wanted != on) {
            return None;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let turn = number.is_multiple_of(every) && first.is_none_or(|first| number <= first);
        turn.then_some(effect)
    }
}

impl Fault {
    /// How long writes stay unseen; not a matter of single requests.
    pub(super) fn visibility_delay(&self) -> Option<Duration> {
        match self.effect {
            Effect::Visibility(delay) => Some(delay),
            _ => None,
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut effect = None;
        let (mut on, mut every, mut first, mut retry_after) = (None, None, None, None);
        for part in text.split(',').map(str::trim) {
            let (name, value) =
                part.split_once('=').map_or((part, ""), |(name, value)| (name.trim(), value.trim()));
            let number = |least: u64, most: u64| match value.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(number),
                _ => {
                    Err(FaultError(format!("{name} must be a number from {least} to {most}, not {value:?}")))
                }
            };
            let milliseconds = || number(0, MAX_MILLISECONDS).map(Duration::from_millis);
            let next = match name {
                "status" => Effect::Status { status: number(400, 599)? as u16, retry_after: None },
                "items" => Effect::Items(number(400, 599)? as u16),
                "413-over" => Effect::TooLargeOver(number(0, 1 << 30)? as usize),
                "delay-ms" => Effect::Delay(milliseconds()?),
                "visibility-delay-ms" => Effect::Visibility(milliseconds()?),
                "cut" if !part.contains('=') => Effect::Cut,
                "on" => {
                    set(&mut on, name, kind(value)?)?;
                    continue;
                }
                "every" => {
                    set(&mut every, name, number(1, u64::MAX)?)?;
                    continue;
                }
                "first" => {
                    set(&mut first, name, number(1, u64::MAX)?)?;
                    continue;
                }
                "retry-after" => {
                    set(&mut retry_after, name, number(0, 3_600)? as u32)?;
                    continue;
                }
                _ => return Err(FaultError(format!("{part:?} is unknown; a fault is one of {EFFECTS}"))),
            };
            if effect.replace(next).is_some() {
                return Err(FaultError("one fault has one effect; repeat --fault for several".to_owned()));
            }
        }
        let mut effect =
            effect.ok_or_else(|| FaultError(format!("the effect is missing; it is one of {EFFECTS}")))?;
        match &mut effect {
            Effect::Status { retry_after: place, .. } => *place = retry_after,
            _ if retry_after.is_some() => {
                return Err(FaultError("retry-after goes with status alone".to_owned()));
            }
            _ => {}
        }
        match (effect, on.flatten()) {
            (Effect::Items(_) | Effect::TooLargeOver(_), Some(other)) if other != On::Index => {
                return Err(FaultError("items and 413-over are about on=index alone".to_owned()));
            }
            (Effect::Visibility(_), _) if on.is_some() || every.is_some() || first.is_some() => {
                return Err(FaultError("visibility-delay-ms stands alone".to_owned()));
            }
            _ => {}
        }
        let on = match effect {
            Effect::Items(_) | Effect::TooLargeOver(_) => Some(On::Index),
            _ => on.flatten(),
        };
        Ok(Self { effect, on, every: every.unwrap_or(1), first })
    }
}

fn kind(text: &str) -> Result<Option<On>, FaultError> {
    match text {
        "any" => Ok(None),
        "search" => Ok(Some(On::Search)),
        "index" => Ok(Some(On::Index)),
        "lookup" => Ok(Some(On::Lookup)),
        "manage" => Ok(Some(On::Manage)),
        _ => Err(FaultError(format!("on must be any, search, index, lookup or manage, not {text:?}"))),
    }
}

fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), FaultError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(FaultError(format!("{name} stands twice"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(text: &str, requests: &[On]) -> Vec<bool> {
        let fault = Armed::from(text.parse::<Fault>().unwrap());
        requests.iter().map(|&on| fault.strike(on).is_some()).collect()
    }

    #[test]
    fn a_fault_counts_the_requests_it_is_about() {
        use On::{Index, Search};
        let requests = [Search, Index, Search, Search, Index, Search];
        assert_eq!(
            strikes("status=503,on=search,every=2", &requests),
            [false, false, true, false, false, true]
        );
        assert_eq!(
            strikes("status=429,retry-after=1,on=index,first=1", &requests),
            [false, true, false, false, false, false]
        );
        assert_eq!(strikes("cut", &requests), [true; 6]);
        assert_eq!(strikes("items=503", &requests), [false, true, false, false, true, false]);
    }

    #[test]
    fn effects_are_read() {
        let effect = |text: &str| text.parse::<Fault>().unwrap().effect;
        assert_eq!(effect("status=429,retry-after=2"), Effect::Status { status: 429, retry_after: Some(2) });
        assert_eq!(effect(" on=any , delay-ms=500"), Effect::Delay(Duration::from_millis(500)));
        assert_eq!(effect("413-over=1000"), Effect::TooLargeOver(1000));
        assert_eq!(
            "visibility-delay-ms=3000".parse::<Fault>().unwrap().visibility_delay(),
            Some(Duration::from_secs(3))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("", "unknown"),
            ("on=search", "effect is missing"),
            ("status=200", "from 400 to 599"),
            ("status=x", "from 400 to 599"),
            ("status=503,status=500", "one effect"),
            ("status=503,on=everything", "on must be"),
            ("status=503,every=0", "every must be"),
            ("status=503,every=2,every=3", "stands twice"),
            ("cut=1", "unknown"),
            ("delay-ms=5,retry-after=1", "status alone"),
            ("items=503,on=search", "on=index alone"),
            ("visibility-delay-ms=5,first=1", "stands alone"),
        ] {
            let FaultError(message) = text.parse::<Fault>().unwrap_err();
            assert!(message.contains(words), "{text}: {message}");
        }
    }
}
