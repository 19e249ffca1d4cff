//! Threads that help with a text another thread computes, when a core is free for them.

use std::{
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{EmbeddingError, LoadError, bert::Bert, kernels::AttentionScratch, split::Split};

/// How long texts are computed without help after a helper was late or did not come, as then others want its core.
/// Twice as long each time that it happens, half as long after each text that was helped with.
const REST: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(16);

/// Parked until they are invited; they end with this handle.
pub(super) struct Team(Arc<Shared>);

struct Shared {
    /// Threads that may compute at once, helpers and helped.
    threads: usize,
    computing: AtomicUsize,
    state: Mutex<State>,
    invited: Condvar,
}

#[derive(Default)]
struct State {
    idle: usize,
    invitations: Vec<Arc<Split>>,
    /// Memory of texts that are done.
    spare: Vec<(Arc<Split>, AttentionScratch)>,
    /// When a helper was late or did not come for the last time.
    late: Option<Instant>,
    /// How long to do without after that.
    rest: Duration,
    stopped: bool,
}

impl Drop for Team {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.invited.notify_all();
    }
}

/// Counts a thread that computes.
pub(super) struct Computing<'t>(&'t Shared);

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Team {
    /// A helper for every second of `threads` threads. `None`: there is nobody to help.
    pub fn start(threads: usize) -> Result<Option<Self>, LoadError> {
        if threads < 2 {
            return Ok(None);
        }
        let team = Self(Arc::new(Shared {
            threads,
            computing: AtomicUsize::new(0),
            state: Mutex::default(),
            invited: Condvar::new(),
        }));
        for number in 0..threads / 2 {
            let shared = Arc::clone(&team.0);
            std::thread::Builder::new()
                .name(format!("helper-{number}"))
                .spawn(move || shared.run())
                .map_err(|error| LoadError::Model(format!("no thread for it: {error}")))?;
        }
        Ok(Some(team))
    }

    /// To be held by every thread that computes, so that helpers know when they are in the way.
    pub fn enter(&self) -> Computing<'_> {
        self.0.computing.fetch_add(1, Ordering::Relaxed);
        Computing(&self.0)
    }

    /// The mean over the text's tokens, if a helper is idle and a core is free.
    pub fn forward(&self, bert: &Arc<Bert>, ids: &[u32]) -> Option<Result<Vec<f32>, EmbeddingError>> {
        let spare = {
            let mut state = self.0.lock();
            let resting = state.late.is_some_and(|late| late.elapsed() < state.rest);
            if resting || !self.0.has_help(&state) {
                return None;
            }
            state.spare.pop()
        };
        let (split, mut scratch) = match self.prepare(spare, bert, ids) {
            Ok(prepared) => prepared,
            Err(error) => return Some(Err(error)),
        };
        let led = split.lead(&mut scratch, || self.0.invite(&split));
        let mut state = self.0.lock();
        // A helper that did not come in time cost its call all the same.
        if led.late || !split.helped.load(Ordering::Relaxed) {
            state.late = Some(Instant::now());
            state.rest = (2 * state.rest).clamp(*REST.start(), *REST.end());
        } else {
            state.rest /= 2;
        }
        if !led.late {
            state.spare.push((split, scratch));
        }
        Some(Ok(led.mean))
    }

    fn prepare(
        &self,
        spare: Option<(Arc<Split>, AttentionScratch)>,
        bert: &Arc<Bert>,
        ids: &[u32],
    ) -> Result<(Arc<Split>, AttentionScratch), EmbeddingError> {
        let (mut split, scratch) = match spare {
            Some(spare) => spare,
            None => return Ok((Arc::new(Split::new(bert, ids)?), AttentionScratch::default())),
        };
        match Arc::get_mut(&mut split) {
            Some(own) => own.restart(ids)?,
            // A helper has not yet seen that the last text is done.
            None => split = Arc::new(Split::new(bert, ids)?),
        }
        Ok((split, scratch))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Changed by single pushes, pops and counts, which leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_help(&self, state: &State) -> bool {
        state.idle > state.invitations.len() && self.computing.load(Ordering::Relaxed) < self.threads
    }

    fn invite(&self, split: &Arc<Split>) {
        let mut state = self.lock();
        if self.has_help(&state) {
            self.computing.fetch_add(1, Ordering::Relaxed);
            split.helpers.fetch_add(1, Ordering::Relaxed);
            state.invitations.push(Arc::clone(split));
            drop(state);
            self.invited.notify_one();
        }
    }

    fn run(&self) {
        let mut scratch = AttentionScratch::default();
        while let Some(split) = self.wait() {
            // Helpers outlive a panic, which its leader takes for a late helper.
            let stay = || self.computing.load(Ordering::Relaxed) <= self.threads;
            let _ = catch_unwind(AssertUnwindSafe(|| split.help(&mut scratch, stay)));
            split.helpers.fetch_sub(1, Ordering::Relaxed);
            self.computing.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// `None`: the model is gone.
    fn wait(&self) -> Option<Arc<Split>> {
        let mut state = self.lock();
        state.idle += 1;
        loop {
            if state.stopped {
                return None;
            }
            if let Some(split) = state.invitations.pop() {
                state.idle -= 1;
                return Some(split);
            }
            state = self.invited.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
