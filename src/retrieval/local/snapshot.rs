//! One consistent view of a folder: a tantivy searcher and the vector files of the same commit.

use std::{collections::HashMap, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use tantivy::{
    DocAddress, DocId, IndexReader, ReloadPolicy, Searcher, SegmentReader,
    schema::{FAST, Field, Schema, SchemaBuilder},
};

use super::{analyzer, state::State, vectors::VectorFile};
use crate::retrieval::RetrievalError;

/// Folder of the vector files within the index folder.
pub(super) const VECTORS: &str = "vectors";
/// Folder of tantivy's files within the index folder.
pub(super) const TEXT: &str = "text";

/// The column that joins a document to its row in the vector files; absent where it has none.
const VECTOR_ROW: &str = "vectorRow";
/// The column that ranks documents of equal score.
const KEY_ORDER: &str = "keyOrder";

/// How the documents of a folder are laid out.
#[derive(Clone)]
pub(super) struct Layout {
    pub schema: Schema,
    pub vector_row: Field,
    pub key_order: Field,
    /// Numbers in a row of the vector files; 0: there are no vectors.
    pub dimensions: usize,
}

impl Layout {
    /// Adds the columns every folder has.
    pub(super) fn new(mut schema: SchemaBuilder, dimensions: usize) -> Self {
        let vector_row = schema.add_u64_field(VECTOR_ROW, FAST);
        let key_order = schema.add_u64_field(KEY_ORDER, FAST);
        Self { schema: schema.build(), vector_row, key_order, dimensions }
    }
}

/// An immutable view. Opening one maps files and reads two columns; 100,000 documents take milliseconds.
pub(super) struct Snapshot {
    pub searcher: Searcher,
    pub opstamp: u64,
    files: Vec<VectorFile>,
    /// By segment, by document.
    places: Vec<Vec<Place>>,
    key_order: Vec<Vec<u64>>,
}

/// A vector file and a row in it.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: u32,
    row: u32,
}

/// The document has no vector.
const NOWHERE: Place = Place { file: u32::MAX, row: 0 };

impl Snapshot {
    /// Opens the last commit in `dir`; `check` looks at what its owner kept with it.
    pub(super) fn open<M: Serialize + DeserializeOwned>(
        dir: &Path,
        layout: &Layout,
        check: impl Fn(&M) -> Result<(), RetrievalError>,
    ) -> Result<Self, RetrievalError> {
        let text = dir.join(TEXT);
        if !text.join("meta.json").exists() {
            return Err(RetrievalError::Missing);
        }
        let index = open_text_index(&text, layout)?;
        // A commit between the two looks would pair a searcher with another commit's vectors; so look
        // again. A vector file can also vanish in between, when the writer merged it into another.
        let mut last_error = None;
        for _ in 0..5 {
            let before = index.load_metas()?;
            let reader: IndexReader =
                index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
            let state = State::from_payload(before.payload.as_deref())?;
            check(&state.meta)?;
            let files: Result<Vec<_>, _> = state
                .vector_files
                .iter()
                .map(|name| VectorFile::open(&dir.join(VECTORS).join(name), layout.dimensions))
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
        let mut by_id = HashMap::with_capacity(files.iter().map(VectorFile::len).sum());
        for (file, vectors) in (0u32..).zip(&files) {
            by_id.extend((0u32..).zip(vectors.ids()).map(|(row, &id)| (id, Place { file, row })));
        }
        let (mut places, mut key_order) = (Vec::new(), Vec::new());
        for segment in searcher.segment_readers() {
            let ids = column(segment, VECTOR_ROW, u64::MAX)?;
            let of_segment = (0..).zip(ids).map(|(doc, id)| match by_id.get(&id) {
                _ if id == u64::MAX => Ok(NOWHERE),
                Some(&place) => Ok(place),
                // The rows of deleted documents may have been dropped from the files.
                None if segment.is_deleted(doc) => Ok(NOWHERE),
                None => Err(RetrievalError::Index(format!("vector {id} is missing"))),
            });
            places.push(of_segment.collect::<Result<Vec<_>, _>>()?);
            key_order.push(column(segment, KEY_ORDER, 0)?);
        }
        Ok(Self { searcher, opstamp, files, places, key_order })
    }

    /// Documents that are not deleted.
    pub(super) fn document_count(&self) -> u64 {
        self.searcher.num_docs()
    }

    /// Rows in the vector files, those of deleted documents included.
    pub(super) fn row_count(&self) -> usize {
        self.files.iter().map(VectorFile::len).sum()
    }

    /// Empty where the document has none.
    pub(super) fn vector(&self, address: DocAddress) -> &[f32] {
        self.vector_at(address.segment_ord as usize, address.doc_id)
    }

    pub(super) fn vector_at(&self, segment: usize, doc: DocId) -> &[f32] {
        let Place { file, row } = self.places[segment][doc as usize];
        self.files.get(file as usize).map_or(&[], |file| file.row(row as usize))
    }

    /// What ranks documents of equal score: lower first, whatever order they were written in.
    pub(super) fn key_order(&self, address: DocAddress) -> u64 {
        self.key_order[address.segment_ord as usize][address.doc_id as usize]
    }

    /// Ids of the vector rows of retrievable documents with their place, in no order.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = (u64, &[f32])> {
        self.searcher.segment_readers().iter().enumerate().flat_map(move |(segment, reader)| {
            alive(reader).filter_map(move |doc| {
                let Place { file, row } = self.places[segment][doc as usize];
                let file = self.files.get(file as usize)?;
                Some((file.ids()[row as usize], file.row(row as usize)))
            })
        })
    }
}

fn column(segment: &SegmentReader, name: &str, absent: u64) -> Result<Vec<u64>, RetrievalError> {
    let mut values = vec![absent; segment.max_doc() as usize];
    if let Some(column) = segment.fast_fields().column_opt::<u64>(name)? {
        column.first_or_default_col(absent).get_range(0, &mut values);
    }
    Ok(values)
}

/// Documents of a segment that are not deleted.
pub(super) fn alive(segment: &SegmentReader) -> impl Iterator<Item = DocId> + '_ {
    (0..segment.max_doc()).filter(|&doc| !segment.is_deleted(doc))
}

/// Opens tantivy's part with our analyzers in place.
pub(super) fn open_text_index(folder: &Path, layout: &Layout) -> Result<tantivy::Index, RetrievalError> {
    let index = tantivy::Index::open_in_dir(folder)?;
    analyzer::register(&index);
    if index.schema() != layout.schema {
        return Err(RetrievalError::Incompatible(
            "the index was written by another version; rebuild it with `rag-api index delete` and \
             `rag-api ingest`"
                .into(),
        ));
    }
    Ok(index)
}
