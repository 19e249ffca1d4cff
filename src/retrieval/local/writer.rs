//! The one writer of the index of chunks: whole sources go in, whole commits come out.

use std::{collections::HashMap, path::Path, time::Duration};

use tantivy::{
    TantivyDocument, Term,
    collector::DocSetCollector,
    query::TermQuery,
    schema::{IndexRecordOption, Value},
};

use super::{schema::Fields, state::ChunkMeta, store::Store};
use crate::retrieval::{Fingerprint, KnownSource, RetrievalError, SourceChunks};

/// Holds the folder's lock. What is not committed when it is dropped, or when the process dies, is as
/// if it had never been written.
pub struct LocalWriter {
    store: Store<ChunkMeta>,
    fields: Fields,
    known: HashMap<String, KnownSource>,
}

impl LocalWriter {
    /// Opens or creates the index, waiting at most `wait` for another writer to end.
    pub fn open(dir: &Path, fingerprint: &Fingerprint, wait: Duration) -> Result<Self, RetrievalError> {
        let (layout, fields) = Fields::layout();
        let fresh = || ChunkMeta::new(fingerprint.clone());
        let store = Store::open(dir, layout, wait, fresh, |meta| fingerprint.check(&meta.fingerprint))?;
        let mut writer = Self { store, fields, known: HashMap::new() };
        writer.known = writer.read_known()?;
        Ok(writer)
    }

    /// Sources as of the last commit.
    pub fn known_sources(&self) -> &HashMap<String, KnownSource> {
        &self.known
    }

    /// Puts a source in place of what was there of it; with no chunks it is remembered only.
    pub fn replace(&mut self, new: SourceChunks) -> Result<(), RetrievalError> {
        self.remove(&new.source);
        if new.chunks.is_empty() {
            self.store.meta_mut().without_chunks.insert(new.source.clone(), new.document.clone());
        }
        for (index, (chunk, embedding)) in new.chunks.iter().enumerate() {
            let document = (index == 0).then_some(new.document.as_str());
            let document = self.fields.to_document(chunk, &self.store.meta().fingerprint, document);
            self.store.add(document, &chunk.id.0, Some(embedding.as_slice()))?;
        }
        self.known.insert(new.source, KnownSource { document: new.document });
        Ok(())
    }

    /// Takes a source out; `false` when it was not there.
    pub fn remove(&mut self, source: &str) -> bool {
        let was_known = self.known.remove(source).is_some();
        if was_known {
            self.store.meta_mut().without_chunks.remove(source);
            self.store.delete(Term::from_field_text(self.fields.source, source));
        }
        was_known
    }

    /// Takes everything out and commits that.
    pub fn clear(&mut self) -> Result<(), RetrievalError> {
        self.known.clear();
        self.store.meta_mut().without_chunks.clear();
        self.store.clear()
    }

    /// Makes everything since the last commit visible and durable, in one step.
    pub fn commit(&mut self) -> Result<(), RetrievalError> {
        self.store.commit()
    }

    /// Commits, then tidies up: merges text segments and small or mostly dead vector files.
    pub fn finish(mut self) -> Result<(), RetrievalError> {
        self.commit()?;
        let snapshot = self.store.snapshot()?;
        self.store.tidy_vectors(&snapshot)?;
        drop(snapshot);
        self.store.close()
    }

    fn read_known(&self) -> Result<HashMap<String, KnownSource>, RetrievalError> {
        let without_chunks = &self.store.meta().without_chunks;
        let mut known: HashMap<String, KnownSource> = without_chunks
            .iter()
            .map(|(source, document)| (source.clone(), KnownSource { document: document.clone() }))
            .collect();
        let searcher = self.store.index().reader()?.searcher();
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
