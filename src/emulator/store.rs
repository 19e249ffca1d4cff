//! The indexes and aliases on disk: `INDEX_DIR/emulator/NAME/` with `definition.json` and a table's folder.
//!
//! `definition.json` names the table's folder and is replaced in one step, after the table is complete:
//! whatever moment a crash takes, what it leaves is the index before or after, and rests of the other
//! are removed when the emulator starts again.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    definition::{self, Definition},
    documents::rebuilt,
    json::Json,
    refusal::Refusal,
};
use crate::retrieval::{
    RetrievalError,
    local::table::{Table, View},
};

/// Why the emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    #[error("another emulator is using {0}; stop it, or set INDEX_DIR to another folder")]
    Busy(PathBuf),
    #[error("cannot use {0}: {1}")]
    Folder(PathBuf, std::io::Error),
    #[error("{0} is damaged; delete the folder it is in to start without that index")]
    Damaged(PathBuf),
    #[error("the emulated index {0} cannot be opened: {1}")]
    Table(String, RetrievalError),
}

pub(super) struct Store {
    dir: PathBuf,
    /// Locked as long as this program uses the folder.
    _lock: File,
    indexes: RwLock<BTreeMap<String, Arc<Index>>>,
    aliases: RwLock<BTreeMap<String, Alias>>,
    /// Definitions and aliases change one at a time.
    managing: Mutex<()>,
    last_etag: Mutex<u64>,
    visibility_delay: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alias {
    pub(super) name: String,
    pub(super) indexes: Vec<String>,
    pub(super) etag: String,
}

/// One index; its state is replaced as a whole when its definition changes.
pub(super) struct Index {
    state: RwLock<Arc<State>>,
    /// Batches are applied one at a time.
    writing: Mutex<()>,
    /// With a delay of visibility: what is seen from when on.
    views: Mutex<VecDeque<(Instant, Arc<View>)>>,
}

pub(super) struct State {
    pub(super) definition: Definition,
    pub(super) etag: String,
    pub(super) table: Arc<Table>,
    folder: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    etag: String,
    /// The name of the table's folder.
    table: String,
    definition: Map<String, Value>,
}

const DEFINITION: &str = "definition.json";
const ALIASES: &str = "aliases.json";

impl Store {
    pub(super) fn open(dir: &Path, visibility_delay: Duration) -> Result<Self, EmulatorError> {
        let folder = |error| EmulatorError::Folder(dir.to_owned(), error);
        fs::create_dir_all(dir).map_err(folder)?;
        let lock = File::create(dir.join("lock")).map_err(folder)?;
        lock.try_lock().map_err(|_| EmulatorError::Busy(dir.to_owned()))?;
        let mut indexes = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(folder)?.flatten() {
            let path = entry.path();
            if path.join(DEFINITION).exists() {
                let index = Index::open(&path)?;
                indexes.insert(index.state().definition.name.clone(), Arc::new(index));
            }
        }
        let aliases = match fs::read(dir.join(ALIASES)) {
            Ok(bytes) => serde_json::from_slice::<Vec<Alias>>(&bytes)
                .map_err(|_| EmulatorError::Damaged(dir.join(ALIASES)))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(folder(error)),
        };
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
            indexes: RwLock::new(indexes),
            aliases: RwLock::new(aliases.into_iter().map(|alias| (alias.name.clone(), alias)).collect()),
            managing: Mutex::default(),
            last_etag: Mutex::default(),
            visibility_delay,
        })
    }

    /// Hold it while deciding on and making a change of definitions or aliases.
    pub(super) fn manage(&self) -> MutexGuard<'_, ()> {
        lock(&self.managing)
    }

    pub(super) fn index(&self, name: &str) -> Option<Arc<Index>> {
        self.indexes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// In document and query calls an alias stands for its index.
    pub(super) fn index_or_alias(&self, name: &str) -> Option<Arc<Index>> {
        self.index(name).or_else(|| self.index(self.alias(name)?.indexes.first()?))
    }

    pub(super) fn indexes(&self) -> Vec<Arc<Index>> {
        self.indexes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn create(&self, definition: Definition) -> Result<Arc<Index>, Refusal> {
        let etag = self.new_etag();
        let name = definition.name.clone();
        let dir = self.dir.join(&name);
        fs::create_dir_all(&dir)?;
        let folder = table_folder(&etag);
        let table = Table::open(&dir.join(&folder), definition.schema())?;
        let state = State { definition, etag, table: Arc::new(table), folder };
        state.keep(&dir)?;
        let index = Arc::new(Index::new(state));
        self.indexes.write().unwrap_or_else(PoisonError::into_inner).insert(name, index.clone());
        Ok(index)
    }

    /// Gives the index another definition; `rebuild` when its table has other fields.
    pub(super) fn update(&self, index: &Index, definition: Definition, rebuild: bool) -> Result<(), Refusal> {
        let _writing = lock(&index.writing);
        let old = index.state();
        let dir = self.dir.join(&definition.name);
        let etag = self.new_etag();
        // The folder's name is new, as the old table keeps its lock until its last reader is gone.
        let folder = table_folder(&etag);
        let (table, folder) = if rebuild {
            let table = Table::open(&dir.join(&folder), definition.schema())?;
            let view = old.table.view();
            let was = |name: &str| old.definition.vector_fields().position(|field| field.name == name);
            let places: Vec<Option<usize>> =
                definition.vector_fields().map(|field| was(&field.name)).collect();
            for start in (0..view.len()).step_by(REBUILD_BATCH) {
                let end = (start + REBUILD_BATCH).min(view.len());
                table.apply((start..end).map(|doc| rebuilt(&view, doc, &places)).collect())?;
            }
            (Arc::new(table), folder)
        } else {
            (old.table.clone(), old.folder.clone())
        };
        let obsolete = rebuild.then(|| dir.join(&old.folder));
        let state = State { definition, etag, table, folder };
        state.keep(&dir)?;
        index.replace(state);
        drop(old);
        if let Some(obsolete) = obsolete
            && let Err(error) = fs::remove_dir_all(obsolete)
        {
            tracing::warn!(error = %error, "the old table of an index is left; the next start removes it");
        }
        Ok(())
    }

    /// `false` when there is none.
    pub(super) fn delete(&self, name: &str) -> Result<bool, Refusal> {
        let Some(index) = self.indexes.write().unwrap_or_else(PoisonError::into_inner).remove(name) else {
            return Ok(false);
        };
        let _writing = lock(&index.writing);
        let dir = self.dir.join(name);
        // First, in one step: without it there is no index, whatever a crash leaves behind.
        fs::remove_file(dir.join(DEFINITION))?;
        fs::remove_dir_all(dir)?;
        Ok(true)
    }

    pub(super) fn alias(&self, name: &str) -> Option<Alias> {
        self.aliases.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn aliases(&self) -> Vec<Alias> {
        self.aliases.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Adds or replaces an alias, or takes it away.
    pub(super) fn set_alias(
        &self,
        name: &str,
        indexes: Option<Vec<String>>,
    ) -> Result<Option<Alias>, Refusal> {
        let alias = indexes.map(|indexes| Alias { name: name.to_owned(), indexes, etag: self.new_etag() });
        let mut changed = self.aliases.read().unwrap_or_else(PoisonError::into_inner).clone();
        match &alias {
            Some(alias) => changed.insert(name.to_owned(), alias.clone()),
            None => changed.remove(name),
        };
        let list: Vec<&Alias> = changed.values().collect();
        write_atomically(&self.dir.join(ALIASES), &serde_json::to_vec(&list).unwrap_or_default())?;
        *self.aliases.write().unwrap_or_else(PoisonError::into_inner) = changed;
        Ok(alias)
    }

    pub(super) fn visibility_delay(&self) -> Duration {
        self.visibility_delay
    }

    /// As the service writes them: the time in units of 100 ns since year 1, in hexadecimal.
    fn new_etag(&self) -> String {
        const UNIX_EPOCH_TICKS: u64 = 621_355_968_000_000_000;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UNIX_EPOCH_TICKS + (since.as_nanos() / 100) as u64;
        let mut last = lock(&self.last_etag);
        *last = now.max(*last + 1);
        format!("\"0x{:X}\"", *last)
    }
}

/// Documents that a rebuild commits at once.
const REBUILD_BATCH: usize = 1_000;

fn table_folder(etag: &str) -> String {
    format!("table-{}", etag.trim_matches('"'))
}

impl Index {
    fn new(state: State) -> Self {
        let views = VecDeque::from([(Instant::now(), state.table.view())]);
        Self { state: RwLock::new(Arc::new(state)), writing: Mutex::default(), views: Mutex::new(views) }
    }

    fn open(dir: &Path) -> Result<Self, EmulatorError> {
        let file = dir.join(DEFINITION);
        let bytes = fs::read(&file).map_err(|error| EmulatorError::Folder(file.clone(), error))?;
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|_| EmulatorError::Damaged(file.clone()))?;
        let definition = definition::read(&kept.definition).map_err(|_| EmulatorError::Damaged(file))?;
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // What a crash in the middle of a rebuild left.
            if name.starts_with("table-") && name != kept.table {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let table = Table::open(&dir.join(&kept.table), definition.schema())
            .map_err(|error| EmulatorError::Table(definition.name.clone(), error))?;
        Ok(Self::new(State { definition, etag: kept.etag, table: Arc::new(table), folder: kept.table }))
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Definition and documents as queries see them.
    pub(super) fn visible(&self) -> (Arc<State>, Arc<View>) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut views = lock(&self.views);
        drop_past(&mut views);
        let view = views.front().map_or_else(|| state.table.view(), |(_, view)| view.clone());
        (state.clone(), view)
    }

    /// Runs `change` alone; what it commits is seen after `delay`.
    pub(super) fn write<T>(&self, delay: Duration, change: impl FnOnce(&State) -> T) -> T {
        let _writing = lock(&self.writing);
        let state = self.state();
        let result = change(&state);
        let mut views = lock(&self.views);
        views.push_back((Instant::now() + delay, state.table.view()));
        drop_past(&mut views);
        result
    }

    /// Numbers of fields and their view change together.
    fn replace(&self, state: State) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *lock(&self.views) = VecDeque::from([(Instant::now(), state.table.view())]);
        *current = Arc::new(state);
    }
}

/// Leaves the view that is seen now in front.
fn drop_past(views: &mut VecDeque<(Instant, Arc<View>)>) {
    let now = Instant::now();
    while views.get(1).is_some_and(|(from, _)| *from <= now) {
        views.pop_front();
    }
}

impl State {
    fn keep(&self, dir: &Path) -> Result<(), Refusal> {
        let text = Json::Object(definition::write(&self.definition, &self.etag)).to_text();
        let definition = serde_json::from_str(&text).unwrap_or_default();
        let kept = Kept { etag: self.etag.clone(), table: self.folder.clone(), definition };
        write_atomically(&dir.join(DEFINITION), &serde_json::to_vec_pretty(&kept).unwrap_or_default())?;
        Ok(())
    }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The name must be durable too.
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
