//! A reader of one index that keeps an eye on its fingerprint and its reachability.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::{
    marker::Marked,
    search,
    transport::{Access, Transport},
};
use crate::{
    config::AzureConfig,
    retrieval::{Fingerprint, Found, RetrievalError, SearchRequest},
    telemetry::Metrics,
    upstream::BreakerState,
};

const LOOK_INTERVAL: Duration = Duration::from_secs(15);
/// After a look that found something wrong, as somebody may be mending it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Searches that find an unusable index look again themselves, but not all of them all the time.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Searches one index, or what an alias points to. Cheap to clone.
#[derive(Clone)]
pub struct AzureIndex {
    shared: Arc<Shared>,
}

struct Shared {
    reader: Arc<Reader>,
    watch: tokio::task::AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

struct Reader {
    transport: Transport,
    index: String,
    semantic: bool,
    fingerprint: Fingerprint,
    look: RwLock<Look>,
    looking: tokio::sync::Mutex<()>,
}

/// What the last look found.
#[derive(Debug, Clone)]
struct Look {
    at: Option<Instant>,
    problem: Option<RetrievalError>,
    /// The version of an index whose fingerprint fits; `None` until one was seen.
    version: Option<u64>,
    chunks: u64,
}

impl AzureIndex {
    /// The index or alias of the configuration. Sends nothing yet: a task of its own looks at the index
    /// at once and then every 15 seconds, until the last clone is gone. Needs a tokio runtime.
    pub fn connect(
        config: &AzureConfig,
        fingerprint: Fingerprint,
        metrics: Metrics,
    ) -> Result<Self, RetrievalError> {
        Self::connect_index(config, &config.index, fingerprint, metrics)
    }

    /// Another index of the same service.
    pub fn connect_index(
        config: &AzureConfig,
        index: &str,
        fingerprint: Fingerprint,
        metrics: Metrics,
    ) -> Result<Self, RetrievalError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| RetrievalError::Index("there is no runtime to watch the index on".into()))?;
        let problem = RetrievalError::Unavailable { reason: "it was not asked yet".into() };
        let reader = Arc::new(Reader {
            transport: Transport::new(config, Access::Read, metrics)?,
            index: index.to_owned(),
            semantic: config.semantic,
            fingerprint,
            look: RwLock::new(Look { at: None, problem: Some(problem), version: None, chunks: 0 }),
            looking: tokio::sync::Mutex::default(),
        });
        let watch = runtime.spawn(watch(reader.clone())).abort_handle();
        Ok(Self { shared: Arc::new(Shared { reader, watch }) })
    }

    /// Best first. An index that was not found fit yet is looked at first.
    pub async fn search(&self, request: &SearchRequest<'_>) -> Result<Found, RetrievalError> {
        let reader = &*self.shared.reader;
        if reader.current().version.is_none() {
            reader.look_unless_fresh().await;
        }
        let look = reader.current();
        if look.version.is_none()
            && let Some(problem) = look.problem
        {
            return Err(problem);
        }
        let hits = search::search(&reader.transport, &reader.index, request, reader.semantic).await?;
        Ok(Found { hits, version: self.version() })
    }

    /// Looks now.
    pub async fn refresh(&self) {
        self.shared.reader.look().await;
    }

    /// Why searches fail now, if they do, as of the last look.
    pub fn problem(&self) -> Option<RetrievalError> {
        let problem = self.shared.reader.current().problem;
        let open = || RetrievalError::Unavailable { reason: "it failed several times in a row".into() };
        problem.or_else(|| (self.breaker() == BreakerState::Open).then(open))
    }

    /// Chunks that can be found, as of the last look.
    pub fn chunk_count(&self) -> u64 {
        self.shared.reader.current().chunks
    }

    /// Changes with every commit, within the time between two looks.
    pub fn version(&self) -> String {
        let Reader { index, .. } = &*self.shared.reader;
        match self.shared.reader.current().version {
            Some(version) => format!("azure-{index}-{version}"),
            None => "none".into(),
        }
    }

    pub fn breaker(&self) -> BreakerState {
        self.shared.reader.transport.breaker()
    }
}

async fn watch(reader: Arc<Reader>) {
    loop {
        reader.look_unless_fresh().await;
        let well = reader.current().problem.is_none();
        tokio::time::sleep(if well { LOOK_INTERVAL } else { LOOK_AGAIN }).await;
    }
}

impl Reader {
    fn current(&self) -> Look {
        self.look.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One at a time: who waited for another's look takes its result.
    async fn look_unless_fresh(&self) {
        let _looking = self.looking.lock().await;
        if self.current().at.is_none_or(|at| at.elapsed() >= LOOK_PAUSE) {
            self.look_now().await;
        }
    }

    async fn look(&self) {
        let _looking = self.looking.lock().await;
        self.look_now().await;
    }

    async fn look_now(&self) {
        let found = self.ask().await;
        let before = self.current();
        let at = Some(Instant::now());
        let now = match found {
            Ok((version, chunks)) => Look { at, problem: None, version: Some(version), chunks },
            // The index is not there or not ours: searches end.
            Err(error @ (RetrievalError::Missing | RetrievalError::Incompatible(_))) => {
                Look { at, problem: Some(error), version: None, chunks: 0 }
            }
            // It did not answer, which does not make it another one.
            Err(error) => Look { at, problem: Some(error), ..before.clone() },
        };
        let text = |look: &Look| look.problem.as_ref().map(ToString::to_string);
        if before.at.is_none() || text(&before) != text(&now) || before.version != now.version {
            match &now.problem {
                None => tracing::info!(index = self.index, chunks = now.chunks, "index is ready"),
                Some(error) => tracing::warn!(index = self.index, error = %error, "index cannot be searched"),
            }
        }
        *self.look.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    async fn ask(&self) -> Result<(u64, u64), RetrievalError> {
        let Self { transport, index, fingerprint, .. } = self;
        let marker = Marked::read(transport, index).await?.fitting(fingerprint, index)?;
        Ok((marker.version, search::count_chunks(transport, index).await?))
    }
}
