//! The embedded index: tantivy for keywords and storage, exact cosine over mapped vectors.

mod analyzer;
mod rank;
mod schema;
mod search;
mod snapshot;
mod state;
mod store;
pub mod table;
mod terms;
mod vectors;
mod writer;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

pub use writer::LocalWriter;

use crate::retrieval::{Fingerprint, Found, RetrievalError, SearchRequest};
use schema::Fields;
use snapshot::{Layout, Snapshot};
use state::ChunkMeta;

/// How often a reader looks for a new commit; twice this is what a commit needs to be seen.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A reader of one index folder that follows the commits of other processes. Cheap to clone, blocking.
#[derive(Clone)]
pub struct LocalIndex {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    fingerprint: Fingerprint,
    layout: Layout,
    fields: Fields,
    pool: rayon::ThreadPool,
    current: RwLock<Result<Arc<Snapshot>, RetrievalError>>,
}

impl LocalIndex {
    /// Opens the folder and keeps watching it. An index that is absent or does not fit is no error
    /// here: searches say so until it is there.
    pub fn open(dir: &Path, fingerprint: Fingerprint) -> Result<Self, RetrievalError> {
        let mut stamp = commit_stamp(dir);
        let (layout, fields) = Fields::layout();
        let current = open_snapshot(dir, &layout, &fingerprint).map(Arc::new);
        if matches!(current, Err(RetrievalError::Index(_))) {
            stamp = None;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(cores)
            .thread_name(|thread| format!("search-{thread}"))
            .build()
            .map_err(|error| RetrievalError::Index(format!("no threads to search with: {error}")))?;
        let current = RwLock::new(current);
        let shared = Arc::new(Shared { dir: dir.to_owned(), fingerprint, layout, fields, pool, current });
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new().name("index-watch".into()).spawn(move || watch(&watched, stamp))?;
        Ok(Self { shared })
    }

    /// Best first, with the version they come from. Blocking: call it from a thread that may block.
    pub fn search(&self, request: &SearchRequest<'_>) -> Result<Found, RetrievalError> {
        let snapshot = self.snapshot()?;
        let hits = search::search(&snapshot, &self.shared.fields, &self.shared.pool, request)?;
        Ok(Found { hits, version: version(&snapshot) })
    }

    /// Changes with every commit that a reader sees.
    pub fn version(&self) -> String {
        self.snapshot().map_or_else(|_| "none".into(), |snapshot| version(&snapshot))
    }

    /// Retrievable chunks.
    pub fn chunk_count(&self) -> u64 {
        self.snapshot().map_or(0, |snapshot| snapshot.document_count())
    }

    /// Why searches fail now, if they do.
    pub fn problem(&self) -> Option<RetrievalError> {
        self.snapshot().err()
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, RetrievalError> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn open_snapshot(dir: &Path, layout: &Layout, fingerprint: &Fingerprint) -> Result<Snapshot, RetrievalError> {
    Snapshot::open(dir, layout, |meta: &ChunkMeta| fingerprint.check(&meta.fingerprint))
}

fn version(snapshot: &Snapshot) -> String {
    format!("local-{}", snapshot.opstamp)
}

fn watch(shared: &Weak<Shared>, mut seen: Option<CommitStamp>) {
    let mut warned = None;
    loop {
        std::thread::sleep(WATCH_INTERVAL);
        let Some(shared) = shared.upgrade() else { return };
        let stamp = commit_stamp(&shared.dir);
        if stamp == seen {
            continue;
        }
        let fresh = open_snapshot(&shared.dir, &shared.layout, &shared.fingerprint).map(Arc::new);
        // Too many open files, a disk that stutters: what works is kept, and the next look tries again.
        let passing = matches!(fresh, Err(RetrievalError::Index(_)));
        match &fresh {
            Ok(snapshot) => tracing::info!(chunks = snapshot.document_count(), "index reloaded"),
            Err(error) if warned != stamp => {
                tracing::warn!(error = %error, "index cannot be searched");
                warned.clone_from(&stamp);
            }
            Err(_) => {}
        }
        let mut current = shared.current.write().unwrap_or_else(PoisonError::into_inner);
        if !(passing && current.is_ok()) {
            *current = fresh;
        }
        if !passing {
            seen = stamp;
        }
    }
}

/// Tells one commit from the next: tantivy replaces `meta.json` by a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CommitStamp(std::time::SystemTime, u64, u64);

fn commit_stamp(dir: &Path) -> Option<CommitStamp> {
    let meta = fs::metadata(dir.join(snapshot::TEXT).join("meta.json")).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&meta);
    #[cfg(not(unix))]
    let inode = 0;
    Some(CommitStamp(meta.modified().ok()?, meta.len(), inode))
}

/// Removes the index and nothing else; `false` when there was none. Fails while a writer is at work.
pub fn delete(dir: &Path) -> Result<bool, RetrievalError> {
    if ![snapshot::TEXT, snapshot::VECTORS].iter().any(|folder| dir.join(folder).exists()) {
        return Ok(false);
    }
    let _lock = store::WriterLock::take(dir, Duration::ZERO)?;
    // First, in one step: without it there is no index, whatever else a kill leaves behind.
    match fs::remove_file(dir.join(snapshot::TEXT).join("meta.json")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    for folder in [snapshot::TEXT, snapshot::VECTORS] {
        match fs::remove_dir_all(dir.join(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(true)
}

impl From<tantivy::TantivyError> for RetrievalError {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::Index(error.to_string())
    }
}

impl From<std::io::Error> for RetrievalError {
    fn from(error: std::io::Error) -> Self {
        Self::Index(error.to_string())
    }
}
