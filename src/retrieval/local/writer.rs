//! The one writer of an index folder: whole sources go in, whole commits come out.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tantivy::{
    IndexWriter, TantivyDocument, Term,
    collector::DocSetCollector,
    query::TermQuery,
    schema::{IndexRecordOption, Value},
};

use super::{
    schema::Fields,
    snapshot::{Snapshot, TEXT, VECTORS, open_text_index, register_analyzers},
    state::State,
    vectors::VectorWriter,
};
use crate::retrieval::{Fingerprint, KnownSource, RetrievalError, SourceChunks};

/// Memory for terms that are not yet on disk.
const TERM_BUFFER_BYTES: usize = 64 << 20;
/// More vector files than this are merged into one.
const MAX_VECTOR_FILES: usize = 8;

/// Holds the folder's lock. What is not committed when it is dropped, or when the process dies, is as
/// if it had never been written.
pub struct LocalWriter {
    dir: PathBuf,
    fields: Fields,
    text: IndexWriter,
    /// As of the next commit.
    state: State,
    pending: Option<VectorWriter>,
    known: HashMap<String, KnownSource>,
    /// Set while something is being written: an error in between leaves documents without vectors,
    /// which must never be committed.
    broken: bool,
    // Last, so that the lock is released after everything else here.
    _lock: WriterLock,
}

impl LocalWriter {
    /// Opens or creates the index, waiting at most `wait` for another writer to end.
    pub fn open(dir: &Path, fingerprint: &Fingerprint, wait: Duration) -> Result<Self, RetrievalError> {
        let lock = WriterLock::take(dir, wait)?;
        let (text_dir, vector_dir) = (dir.join(TEXT), dir.join(VECTORS));
        fs::create_dir_all(&vector_dir)?;
        let (schema, fields) = Fields::schema();
        let (state, index) = if text_dir.join("meta.json").exists() {
            let index = open_text_index(&text_dir)?;
            // A crash between creating an index and its first commit leaves one without a state.
            let state = match index.load_metas()?.payload {
                None => State::new(fingerprint.clone()),
                payload => State::from_payload(payload.as_deref())?,
            };
            fingerprint.check(&state.fingerprint)?;
            (state, index)
        } else {
            // What a deletion that was cut short left is nobody's.
            if text_dir.exists() {
                fs::remove_dir_all(&text_dir)?;
            }
            fs::create_dir_all(&text_dir)?;
            let index = tantivy::Index::create_in_dir(&text_dir, schema)?;
            register_analyzers(&index);
            (State::new(fingerprint.clone()), index)
        };
        remove_unnamed(&vector_dir, &state)?;
        // One thread keeps the order of documents, and with it the order of equal scores.
        let text = index.writer_with_num_threads(1, TERM_BUFFER_BYTES)?;
        let mut writer = Self {
            dir: dir.to_owned(),
            fields,
            text,
            state,
            pending: None,
            known: HashMap::new(),
            broken: false,
            _lock: lock,
        };
        writer.known = writer.read_known()?;
        if index.load_metas()?.payload.is_none() {
            writer.commit()?;
        }
        Ok(writer)
    }

    /// Sources as of the last commit.
    pub fn known_sources(&self) -> &HashMap<String, KnownSource> {
        &self.known
    }

    /// Puts a source in place of what was there of it; with no chunks it is remembered only.
    pub fn replace(&mut self, new: SourceChunks) -> Result<(), RetrievalError> {
        self.remove(&new.source);
        self.broken = true;
        if new.chunks.is_empty() {
            self.state.without_chunks.insert(new.source.clone(), new.document.clone());
        }
        for (index, (chunk, embedding)) in new.chunks.iter().enumerate() {
            let row = self.state.next_row;
            self.state.next_row += 1;
            let pending = match &mut self.pending {
                Some(pending) => pending,
                none => none.insert(VectorWriter::create(self.dir.join(VECTORS).join("pending.part"))?),
            };
            pending.push(row, embedding.as_slice())?;
            let document = (index == 0).then_some(new.document.as_str());
            self.text.add_document(self.fields.to_document(chunk, &self.state.fingerprint, row, document))?;
        }
        self.known.insert(new.source, KnownSource { document: new.document });
        self.broken = false;
        Ok(())
    }

    /// Takes a source out; `false` when it was not there.
    pub fn remove(&mut self, source: &str) -> bool {
        let was_known = self.known.remove(source).is_some();
        if was_known {
            self.state.without_chunks.remove(source);
            self.text.delete_term(Term::from_field_text(self.fields.source, source));
        }
        was_known
    }

    /// Takes everything out and commits that.
    pub fn clear(&mut self) -> Result<(), RetrievalError> {
        self.text.delete_all_documents()?;
        self.pending = None;
        self.known.clear();
        self.state.vector_files.clear();
        self.state.without_chunks.clear();
        self.commit()?;
        remove_unnamed(&self.dir.join(VECTORS), &self.state)
    }

    /// Makes everything since the last commit visible and durable, in one step.
    pub fn commit(&mut self) -> Result<(), RetrievalError> {
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

    /// Commits, then tidies up: merges text segments and small or mostly dead vector files.
    pub fn finish(mut self) -> Result<(), RetrievalError> {
        self.commit()?;
        let snapshot = Snapshot::open(&self.dir, &self.state.fingerprint)?;
        let (rows, live) = (snapshot.row_count() as u64, snapshot.chunk_count());
        if self.state.vector_files.len() > MAX_VECTOR_FILES || rows > live + live / 3 {
            self.merge_vectors(&snapshot)?;
        }
        self.text.wait_merging_threads()?;
        Ok(())
    }

    fn merge_vectors(&mut self, snapshot: &Snapshot) -> Result<(), RetrievalError> {
        let folder = self.dir.join(VECTORS);
        let mut live: Vec<(u64, &[f32])> = snapshot.live_rows().collect();
        live.sort_unstable_by_key(|(id, _)| *id);
        let mut merged = VectorWriter::create(folder.join("merged.part"))?;
        for (id, row) in live {
            merged.push(id, row)?;
        }
        let name = new_file_name(self.state.next_row);
        merged.finish(&folder.join(&name))?;
        self.state.vector_files = vec![name];
        self.commit()?;
        remove_unnamed(&folder, &self.state)
    }

    fn read_known(&self) -> Result<HashMap<String, KnownSource>, RetrievalError> {
        let mut known: HashMap<String, KnownSource> = self
            .state
            .without_chunks
            .iter()
            .map(|(source, document)| (source.clone(), KnownSource { document: document.clone() }))
            .collect();
        let searcher = self.text.index().reader()?.searcher();
        let first_chunks = TermQuery::new(self.fields.first_chunk(), IndexRecordOption::Basic);
        for address in searcher.search(&first_chunks, &DocSetCollector)? {
            let stored: TantivyDocument = searcher.doc(address)?;
            let document = stored.get_first(self.fields.document).and_then(|value| value.as_str());
            let document = document.unwrap_or_default().to_owned();
            known.insert(self.fields.to_chunk(&stored).source, KnownSource { document });
        }
        Ok(known)
    }
}

/// Names are never used twice, so a reader cannot take a new file for an old one.
fn new_file_name(next_row: u64) -> String {
    format!("{next_row:012}-{:08x}.vec", fastrand::u32(..))
}

/// Removes what an interrupted writer left, and files that were merged into others.
fn remove_unnamed(folder: &Path, state: &State) -> Result<(), RetrievalError> {
    let named: HashSet<&str> = state.vector_files.iter().map(String::as_str).collect();
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
