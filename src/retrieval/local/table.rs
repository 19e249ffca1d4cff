//! Documents of any shape in a folder of their own, searched as the index of chunks is.
//!
//! One process owns a table. All its documents are held parsed in memory, as filters and facets look at
//! any field; terms and vectors stay in the files that the index of chunks uses too.

mod counts;
mod query;
mod view;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tantivy::{
    TantivyDocument, Term,
    schema::{
        Field, IndexRecordOption, STORED, STRING, Schema, SchemaBuilder, TextFieldIndexing, TextOptions,
    },
    tokenizer::TextAnalyzer,
};

pub use query::{TextQuery, Token, analyze};
pub use view::View;

use super::{
    analyzer::{self, BLANKS, CHARACTERS, SIMPLE, STANDARD, WORDS},
    snapshot::Layout,
    store::Store,
    terms::TextFields,
};
use crate::retrieval::RetrievalError;

/// What is searched; everything else of a document is only kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    pub text: Vec<TextField>,
    pub vectors: Vec<VectorField>,
}

/// A member of a document, a string or a list of strings, that words are looked for in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextField {
    pub name: String,
    pub analyzer: Analyzer,
}

/// How text becomes terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Analyzer {
    /// Words in lower case.
    Standard,
    /// As in the index of chunks: English stems, pairs of CJK characters.
    Language,
    /// The whole text is one term.
    Keyword,
    /// Runs of letters in lower case.
    Simple,
    /// What white space leaves.
    Whitespace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorField {
    pub name: String,
    pub dimensions: usize,
}

/// One change; the later of two on the same key counts.
#[derive(Debug, Clone)]
pub enum Change {
    /// The whole document, its vectors apart, in the order of [`TableSchema::vectors`].
    Put {
        key: String,
        document: Map<String, Value>,
        vectors: Vec<Option<Vec<f32>>>,
    },
    Delete {
        key: String,
    },
}

/// Owns its folder; shared by reference between threads. Blocking.
pub struct Table {
    dir: PathBuf,
    layout: TableLayout,
    writer: Mutex<Store<TableSchema>>,
    current: RwLock<Arc<View>>,
}

impl Table {
    /// Opens the folder, or creates it; one that was created with another schema is refused.
    pub fn open(dir: &Path, schema: TableSchema) -> Result<Self, RetrievalError> {
        let layout = TableLayout::new(schema);
        let other = || RetrievalError::Incompatible("the table was created with another schema".into());
        let check = |found: &TableSchema| if *found == *layout.schema { Ok(()) } else { Err(other()) };
        let fresh = || (*layout.schema).clone();
        let store = Store::open(dir, layout.common.clone(), Duration::ZERO, fresh, check)?;
        let view = View::build(store.snapshot()?, &layout, None)?;
        Ok(Self {
            dir: dir.to_owned(),
            layout,
            writer: Mutex::new(store),
            current: RwLock::new(Arc::new(view)),
        })
    }

    /// All changes or none, durable and in the next [`Table::view`] when this returns. Vectors must have
    /// the lengths of the schema.
    pub fn apply(&self, changes: Vec<Change>) -> Result<(), RetrievalError> {
        // What cannot be written is known before anything is.
        let changes: Vec<_> = changes
            .into_iter()
            .map(|change| match change {
                Change::Delete { key } => Ok((key, None)),
                Change::Put { key, document, vectors } => {
                    let row = self.layout.row(&vectors)?;
                    let stored = self.layout.to_stored(&key, &document, &vectors)?;
                    Ok((key, Some((stored, row))))
                }
            })
            .collect::<Result<_, RetrievalError>>()?;
        let mut store = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, document) in changes {
            store.delete(Term::from_field_text(self.layout.key, &key));
            if let Some((stored, row)) = document {
                store.add(stored, &key, row.as_deref())?;
            }
        }
        store.commit()?;
        let mut snapshot = store.snapshot()?;
        if store.tidy_vectors(&snapshot)? {
            snapshot = store.snapshot()?;
        }
        let view = View::build(snapshot, &self.layout, Some(&self.view()))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        Ok(())
    }

    /// The documents as of the last [`Table::apply`].
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Size of all files.
    pub fn bytes_on_disk(&self) -> u64 {
        fn size(dir: &Path) -> io::Result<u64> {
            fs::read_dir(dir)?.try_fold(0, |sum, entry| {
                let entry = entry?;
                let meta = entry.metadata()?;
                Ok(sum + if meta.is_dir() { size(&entry.path())? } else { meta.len() })
            })
        }
        // Files come and go while segments merge; a size is an estimate anyway.
        size(&self.dir).unwrap_or(0)
    }
}

/// Handles of the fields a schema needs.
#[derive(Clone)]
struct TableLayout {
    schema: Arc<TableSchema>,
    common: Layout,
    key: Field,
    document: Field,
    /// Bit by bit, which vectors a document has.
    present: Field,
    /// Tokens of a document in each of [`TableLayout::analyzed`], joined by blanks.
    lengths: Field,
    /// By text field.
    text: Vec<TextFields>,
    /// All text fields as one text, where all have the same analyzer: scored as the index of chunks
    /// scores title and content.
    combined: Option<TextFields>,
}

impl TableLayout {
    fn new(schema: TableSchema) -> Self {
        let mut builder = Schema::builder();
        let key = builder.add_text_field("key", STRING | STORED);
        let document = builder.add_text_field("document", STORED);
        let present = builder.add_u64_field("present", STORED);
        let lengths = builder.add_text_field("lengths", STORED);
        let positions = IndexRecordOption::WithFreqsAndPositions;
        let text = (0..)
            .zip(&schema.text)
            .map(|(number, field)| {
                text_fields(&mut builder, &format!("text{number}"), field.analyzer, positions)
            })
            .collect();
        let combined = schema.text.first().map(|field| field.analyzer);
        let combined = combined
            .filter(|analyzer| schema.text.iter().all(|field| field.analyzer == *analyzer))
            .map(|analyzer| text_fields(&mut builder, "combined", analyzer, IndexRecordOption::WithFreqs));
        let dimensions: usize = schema.vectors.iter().map(|field| field.dimensions).sum();
        // Even, because the row ids behind the rows are read where they lie and need eight bytes each.
        let dimensions = dimensions.next_multiple_of(2);
        let common = Layout::new(builder, dimensions);
        Self { schema: Arc::new(schema), common, key, document, present, lengths, text, combined }
    }

    /// The vectors one behind the other, zeros where one is absent; `None` when all are.
    fn row(&self, vectors: &[Option<Vec<f32>>]) -> Result<Option<Vec<f32>>, RetrievalError> {
        let fields = &self.schema.vectors;
        let fits = |(vector, field): (&Option<Vec<f32>>, &VectorField)| {
            vector.as_ref().is_none_or(|vector| vector.len() == field.dimensions)
        };
        if vectors.len() != fields.len() || !vectors.iter().zip(fields).all(fits) {
            return Err(RetrievalError::Index("vectors that do not fit the schema".into()));
        }
        if vectors.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut row = Vec::with_capacity(self.common.dimensions);
        for (vector, field) in vectors.iter().zip(fields) {
            match vector {
                Some(vector) => row.extend_from_slice(vector),
                None => row.resize(row.len() + field.dimensions, 0.0),
            }
        }
        row.resize(self.common.dimensions, 0.0);
        Ok(Some(row))
    }

    fn to_stored(
        &self,
        key: &str,
        document: &Map<String, Value>,
        vectors: &[Option<Vec<f32>>],
    ) -> Result<TantivyDocument, RetrievalError> {
        let mut stored = TantivyDocument::new();
        stored.add_text(self.key, key);
        let json =
            serde_json::to_string(document).map_err(|error| RetrievalError::Index(error.to_string()))?;
        stored.add_text(self.document, json);
        let present =
            (0..).zip(vectors).fold(0u64, |bits, (bit, vector)| bits | u64::from(vector.is_some()) << bit);
        stored.add_u64(self.present, present);
        let texts: Vec<String> =
            self.schema.text.iter().map(|field| text_of(document.get(&field.name))).collect();
        let combined = texts.join("\n");
        let mut lengths = Vec::new();
        for (field, analyzer, place) in self.analyzed() {
            let text = place.map_or(&combined, |place| &texts[place]);
            lengths.push(analyzer::terms(&mut analyzer.clone(), text).len().to_string());
            stored.add_text(field, text);
        }
        stored.add_text(self.lengths, lengths.join(" "));
        Ok(stored)
    }

    /// Every field of terms, its analyzer, and the place of its text in the schema; none for the combined one.
    fn analyzed(&self) -> Vec<(Field, TextAnalyzer, Option<usize>)> {
        let mut analyzed = Vec::new();
        let mut add = |fields: &TextFields, analyzer: Analyzer, place| {
            analyzed.push((fields.text, query::text_analyzer(analyzer), place));
            if let Some(characters) = fields.cjk_characters {
                analyzed.push((characters, analyzer::characters(), place));
            }
        };
        for (place, (fields, field)) in self.text.iter().zip(&self.schema.text).enumerate() {
            add(fields, field.analyzer, Some(place));
        }
        if let (Some(fields), Some(field)) = (&self.combined, self.schema.text.first()) {
            add(fields, field.analyzer, None);
        }
        analyzed
    }
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

fn text_fields(
    schema: &mut SchemaBuilder,
    name: &str,
    analyzer: Analyzer,
    record: IndexRecordOption,
) -> TextFields {
    let analyzed = |analyzer| {
        let indexing = TextFieldIndexing::default().set_tokenizer(analyzer).set_index_option(record);
        TextOptions::default().set_indexing_options(indexing)
    };
    let tokenizer = match analyzer {
        Analyzer::Standard => STANDARD,
        Analyzer::Language => WORDS,
        Analyzer::Keyword => "raw",
        Analyzer::Simple => SIMPLE,
        Analyzer::Whitespace => BLANKS,
    };
    let text = schema.add_text_field(name, analyzed(tokenizer));
    let cjk_characters = (analyzer == Analyzer::Language)
        .then(|| schema.add_text_field(&format!("{name}Characters"), analyzed(CHARACTERS)));
    TextFields { text, cjk_characters }
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
