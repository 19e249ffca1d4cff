//! The one writer of a folder: documents and their vectors go in, whole commits come out.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tantivy::{IndexWriter, TantivyDocument, Term};

use super::{
    analyzer,
    snapshot::{Layout, Snapshot, TEXT, VECTORS, open_text_index},
    state::State,
    vectors::VectorWriter,
};
use crate::retrieval::RetrievalError;

/// Memory for terms that are not yet on disk.
const TERM_BUFFER_BYTES: usize = 64 << 20;
/// More vector files than this are merged into one.
const MAX_VECTOR_FILES: usize = 8;

/// Holds the folder's lock. What is not committed when it is dropped, or when the process dies, is as
/// if it had never been written.
pub(super) struct Store<M> {
    dir: PathBuf,
    layout: Layout,
    text: IndexWriter,
    /// As of the next commit.
    state: State<M>,
    pending: Option<VectorWriter>,
    /// Set while something is being written: an error in between leaves documents without vectors,
    /// which must never be committed.
    broken: bool,
    // Last, so that the lock is released after everything else here.
    _lock: WriterLock,
}

impl<M: Serialize + DeserializeOwned> Store<M> {
    /// Opens the folder, or creates it with `fresh`, waiting at most `wait` for another writer to end.
    pub(super) fn open(
        dir: &Path,
        layout: Layout,
        wait: Duration,
        fresh: impl FnOnce() -> M,
        check: impl FnOnce(&M) -> Result<(), RetrievalError>,
    ) -> Result<Self, RetrievalError> {
        let lock = WriterLock::take(dir, wait)?;
        let (text_dir, vector_dir) = (dir.join(TEXT), dir.join(VECTORS));
        fs::create_dir_all(&vector_dir)?;
        let (state, index) = if text_dir.join("meta.json").exists() {
            let index = open_text_index(&text_dir, &layout)?;
            // A crash between creating an index and its first commit leaves one without a state.
            let state = match index.load_metas()?.payload {
                None => State::new(fresh()),
                payload => State::from_payload(payload.as_deref())?,
            };
            check(&state.meta)?;
            (state, index)
        } else {
            // What a deletion that was cut short left is nobody's.
            if text_dir.exists() {
                fs::remove_dir_all(&text_dir)?;
            }
            fs::create_dir_all(&text_dir)?;
            let index = tantivy::Index::create_in_dir(&text_dir, layout.schema.clone())?;
            analyzer::register(&index);
            (State::new(fresh()), index)
        };
        remove_unnamed(&vector_dir, &state.vector_files)?;
        // One thread keeps the order of documents.
        let text = index.writer_with_num_threads(1, TERM_BUFFER_BYTES)?;
        let dir = dir.to_owned();
        let mut store = Self { dir, layout, text, state, pending: None, broken: false, _lock: lock };
        if index.load_metas()?.payload.is_none() {
            store.commit()?;
        }
        Ok(store)
    }

    pub(super) fn meta(&self) -> &M {
        &self.state.meta
    }

    /// Changes count with the next commit.
    pub(super) fn meta_mut(&mut self) -> &mut M {
        &mut self.state.meta
    }

    pub(super) fn index(&self) -> &tantivy::Index {
        self.text.index()
    }

    /// `key` ranks the document among those of equal score; `row` is its vector, where it has one.
    pub(super) fn add(
        &mut self,
        mut document: TantivyDocument,
        key: &str,
        row: Option<&[f32]>,
    ) -> Result<(), RetrievalError> {
        self.broken = true;
        if let Some(row) = row {
            let id = self.state.next_row;
            self.state.next_row += 1;
            let pending = match &mut self.pending {
                Some(pending) => pending,
                none => {
                    let path = self.dir.join(VECTORS).join("pending.part");
                    none.insert(VectorWriter::create(path, self.layout.dimensions)?)
                }
            };
            pending.push(id, row)?;
            document.add_u64(self.layout.vector_row, id);
        }
        document.add_u64(self.layout.key_order, key_order(key));
        self.text.add_document(document)?;
        self.broken = false;
        Ok(())
    }

    /// Takes out every document with this term that was added before.
    pub(super) fn delete(&mut self, term: Term) {
        self.text.delete_term(term);
    }

    /// Takes everything out and commits that.
    pub(super) fn clear(&mut self) -> Result<(), RetrievalError> {
        self.text.delete_all_documents()?;
        self.pending = None;
        self.state.vector_files.clear();
        self.commit()?;
        remove_unnamed(&self.dir.join(VECTORS), &self.state.vector_files)
    }

    /// Makes everything since the last commit visible and durable, in one step.
    pub(super) fn commit(&mut self) -> Result<(), RetrievalError> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(RetrievalError::Index("an earlier write failed; the last commit stands".into()));
        }
        if let Some(pending) = self.pending.take() {
            let name = new_file_name(self.state.next_row);
            pending.finish(&self.dir.join(VECTORS).join(&name))?;
            self.state.vector_files.push(name);
        }
        let payload = self.state.to_payload()?;
        let mut commit = self.text.prepare_commit()?;
        commit.set_payload(&payload);
        commit.commit()?;
        self.broken = false;
        Ok(())
    }

    /// The last commit.
    pub(super) fn snapshot(&self) -> Result<Snapshot, RetrievalError> {
        Snapshot::open(&self.dir, &self.layout, |_: &M| Ok(()))
    }

    /// Merges vector files when they are many, or when more than a quarter of their rows is dead;
    /// `snapshot` is the last commit. `true` when that made another commit.
    pub(super) fn tidy_vectors(&mut self, snapshot: &Snapshot) -> Result<bool, RetrievalError> {
        let (rows, live) = (snapshot.row_count() as u64, snapshot.document_count());
        if self.state.vector_files.len() <= MAX_VECTOR_FILES && rows <= live + live / 3 {
            return Ok(false);
        }
        let folder = self.dir.join(VECTORS);
        let mut live: Vec<(u64, &[f32])> = snapshot.live_rows().collect();
        live.sort_unstable_by_key(|(id, _)| *id);
        let mut merged = VectorWriter::create(folder.join("merged.part"), self.layout.dimensions)?;
        for (id, row) in live {
            merged.push(id, row)?;
        }
        let name = new_file_name(self.state.next_row);
        merged.finish(&folder.join(&name))?;
        self.state.vector_files = vec![name];
        self.commit()?;
        remove_unnamed(&folder, &self.state.vector_files)?;
        Ok(true)
    }

    /// Waits for merges of text segments under way.
    pub(super) fn close(self) -> Result<(), RetrievalError> {
        Ok(self.text.wait_merging_threads()?)
    }
}

/// From the key alone, so that equal scores rank alike in every index that holds the same documents.
fn key_order(key: &str) -> u64 {
    let digest = Sha256::digest(key);
    digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Names are never used twice, so a reader cannot take a new file for an old one.
fn new_file_name(next_row: u64) -> String {
    format!("{next_row:012}-{:08x}.vec", fastrand::u32(..))
}

/// Removes what an interrupted writer left, and files that were merged into others.
fn remove_unnamed(folder: &Path, named: &[String]) -> Result<(), RetrievalError> {
    let named: HashSet<&str> = named.iter().map(String::as_str).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !named.contains(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// An exclusive lock on the folder that the system takes back when its holder dies.
pub(super) struct WriterLock {
    _file: File,
}

impl WriterLock {
    pub(super) fn take(dir: &Path, wait: Duration) -> Result<Self, RetrievalError> {
        fs::create_dir_all(dir)?;
        let path = dir.join("writer.lock");
        let mut file = File::options().create(true).read(true).write(true).truncate(false).open(path)?;
        let deadline = Instant::now() + wait;
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) => {}
            }
            let mut holder = String::new();
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
            let holder = match holder.trim() {
                "" => String::new(),
                pid => format!(" (process {pid})"),
            };
            if Instant::now() >= deadline {
                return Err(RetrievalError::Busy(holder));
            }
            if !said {
                tracing::warn!(
                    seconds = wait.as_secs(),
                    "another process is writing to the index{holder}; waiting"
                );
                said = true;
            }
            std::thread::sleep(Duration::from_millis(200).min(wait));
        }
        // For the message above only; a failure to write it changes nothing.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
