//! One consistent view of the index: a tantivy searcher and the vector files of the same commit.

use std::{collections::HashMap, path::Path};

use tantivy::{DocAddress, DocId, IndexReader, ReloadPolicy, Searcher, SegmentReader};

use super::{
    analyzer,
    schema::{CHARACTERS, Fields, VECTOR_ROW, WORDS},
    state::State,
    vectors::VectorFile,
};
use crate::retrieval::{Fingerprint, RetrievalError};

/// Folder of the vector files within the index folder.
pub(super) const VECTORS: &str = "vectors";
/// Folder of tantivy's files within the index folder.
pub(super) const TEXT: &str = "text";

/// An immutable view. Opening one maps files and reads one column; 100,000 chunks take milliseconds.
pub(super) struct Snapshot {
    pub searcher: Searcher,
    pub fields: Fields,
    pub opstamp: u64,
    files: Vec<VectorFile>,
    /// By segment, by document: where its vector is.
    rows: Vec<Vec<Place>>,
}

/// A vector file and a row in it.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: u32,
    row: u32,
}

impl Snapshot {
    /// Opens the last commit in `dir`.
    pub(super) fn open(dir: &Path, wanted: &Fingerprint) -> Result<Self, RetrievalError> {
        let text = dir.join(TEXT);
        if !text.join("meta.json").exists() {
            return Err(RetrievalError::Missing);
        }
        let index = open_text_index(&text)?;
        // A commit between the two looks would pair a searcher with another commit's vectors; so look
        // again. A vector file can also vanish in between, when the writer merged it into another.
        let mut last_error = None;
        for _ in 0..5 {
            let before = index.load_metas()?;
            let reader: IndexReader =
                index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
            let state = State::from_payload(before.payload.as_deref())?;
            wanted.check(&state.fingerprint)?;
            let files: Result<Vec<_>, _> = state
                .vector_files
                .iter()
                .map(|name| VectorFile::open(&dir.join(VECTORS).join(name)))
                .collect();
            if index.load_metas()?.opstamp != before.opstamp {
                continue;
            }
            match files {
                Ok(files) => return Self::assemble(reader.searcher(), before.opstamp, files),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.map_or_else(
            || RetrievalError::Index("it changes faster than it can be opened".into()),
            RetrievalError::from,
        ))
    }

    fn assemble(searcher: Searcher, opstamp: u64, files: Vec<VectorFile>) -> Result<Self, RetrievalError> {
        let mut places = HashMap::with_capacity(files.iter().map(VectorFile::len).sum());
        for (file, vectors) in (0u32..).zip(&files) {
            places.extend((0u32..).zip(vectors.ids()).map(|(row, &id)| (id, Place { file, row })));
        }
        let mut rows = Vec::new();
        for segment in searcher.segment_readers() {
            let column = segment.fast_fields().column_first_or_default::<u64>(VECTOR_ROW)?;
            let mut ids = vec![0; segment.max_doc() as usize];
            column.get_range(0, &mut ids);
            let of_segment = (0..).zip(ids).map(|(doc, id)| match places.get(&id) {
                Some(&place) => Ok(place),
                // The rows of deleted documents may have been dropped from the files.
                None if segment.is_deleted(doc) => Ok(Place { file: 0, row: 0 }),
                None => Err(RetrievalError::Index(format!("vector {id} is missing"))),
            });
            rows.push(of_segment.collect::<Result<Vec<_>, _>>()?);
        }
        let (_, fields) = Fields::schema();
        Ok(Self { searcher, fields, opstamp, files, rows })
    }

    pub(super) fn chunk_count(&self) -> u64 {
        self.searcher.num_docs()
    }

    /// Rows in the vector files, those of deleted chunks included.
    pub(super) fn row_count(&self) -> usize {
        self.files.iter().map(VectorFile::len).sum()
    }

    pub(super) fn vector(&self, address: DocAddress) -> &[f32] {
        self.vector_at(address.segment_ord as usize, address.doc_id)
    }

    pub(super) fn vector_at(&self, segment: usize, doc: DocId) -> &[f32] {
        let Place { file, row } = self.rows[segment][doc as usize];
        self.files[file as usize].row(row as usize)
    }

    /// Ids of the vector rows of retrievable chunks with their place, in no order.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = (u64, &[f32])> {
        self.searcher.segment_readers().iter().enumerate().flat_map(move |(segment, reader)| {
            alive(reader).map(move |doc| {
                let Place { file, row } = self.rows[segment][doc as usize];
                let file = &self.files[file as usize];
                (file.ids()[row as usize], file.row(row as usize))
            })
        })
    }
}

/// Documents of a segment that are not deleted.
pub(super) fn alive(segment: &SegmentReader) -> impl Iterator<Item = DocId> + '_ {
    (0..segment.max_doc()).filter(|&doc| !segment.is_deleted(doc))
}

/// Opens tantivy's part with our analyzers in place.
pub(super) fn open_text_index(folder: &Path) -> Result<tantivy::Index, RetrievalError> {
    let index = tantivy::Index::open_in_dir(folder)?;
    register_analyzers(&index);
    let (schema, _) = Fields::schema();
    if index.schema() != schema {
        return Err(RetrievalError::Incompatible(
            "the index was written by another version; rebuild it with `rag-api index delete` and \
             `rag-api ingest`"
                .into(),
        ));
    }
    Ok(index)
}

pub(super) fn register_analyzers(index: &tantivy::Index) {
    index.tokenizers().register(WORDS, analyzer::words());
    index.tokenizers().register(CHARACTERS, analyzer::characters());
}
