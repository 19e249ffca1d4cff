//! One consistent state of a table: its documents, numbered, and the rankings over them.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};
use tantivy::{
    DocAddress, TantivyDocument,
    index::SegmentId,
    schema::{Field, Value as _},
};

use super::{TableLayout, TextQuery, counts::Counts};
use crate::retrieval::{
    KEYWORD_DEPTH, RetrievalError,
    local::{
        rank::{self, Heap, Ranked},
        snapshot::{Snapshot, alive},
        vectors::for_each_dot,
    },
};

/// Documents are numbered from 0, without gaps; the numbers hold for this view only.
pub struct View {
    snapshot: Snapshot,
    layout: TableLayout,
    documents: Vec<(DocAddress, Arc<Row>)>,
    /// By segment, by document: its number.
    numbers: Vec<Vec<usize>>,
    by_key: HashMap<String, usize>,
    /// Documents with at least one token.
    with_text: u64,
    tokens: Vec<(Field, u64)>,
    /// Segments never change, so what was parsed of one is parsed for good.
    segments: HashMap<SegmentId, Arc<Vec<Option<Arc<Row>>>>>,
}

/// A parsed document.
struct Row {
    key: String,
    document: Map<String, Value>,
    present: u64,
    /// Tokens by analyzed field.
    lengths: Vec<u64>,
}

impl View {
    /// Takes from `before` what was parsed already.
    pub(super) fn build(
        snapshot: Snapshot,
        layout: &TableLayout,
        before: Option<&Self>,
    ) -> Result<Self, RetrievalError> {
        let (mut segments, mut documents, mut numbers) = (HashMap::new(), Vec::new(), Vec::new());
        let mut by_key = HashMap::new();
        let mut tokens: Vec<(Field, u64)> =
            layout.analyzed().into_iter().map(|(field, _, _)| (field, 0)).collect();
        let mut with_text = 0;
        for (ord, reader) in (0u32..).zip(snapshot.searcher.segment_readers()) {
            let id = reader.segment_id();
            let rows = match before.and_then(|before| before.segments.get(&id)) {
                Some(rows) => Arc::clone(rows),
                None => Arc::new(parse_segment(&snapshot, layout, ord)?),
            };
            let mut of_segment = vec![usize::MAX; reader.max_doc() as usize];
            for doc in alive(reader) {
                let Some(Some(row)) = rows.get(doc as usize) else { continue };
                of_segment[doc as usize] = documents.len();
                by_key.insert(row.key.clone(), documents.len());
                with_text += u64::from(row.lengths.iter().any(|&length| length > 0));
                tokens.iter_mut().zip(&row.lengths).for_each(|((_, sum), length)| *sum += length);
                documents.push((DocAddress::new(ord, doc), Arc::clone(row)));
            }
            numbers.push(of_segment);
            segments.insert(id, rows);
        }
        let layout = layout.clone();
        Ok(Self { snapshot, layout, documents, numbers, by_key, with_text, tokens, segments })
    }

    pub fn len(&self) -> usize {
        self.documents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// All members but the vectors. As every method that takes a number: panics beyond [`View::len`].
    pub fn document(&self, doc: usize) -> &Map<String, Value> {
        &self.documents[doc].1.document
    }

    pub fn key(&self, doc: usize) -> &str {
        &self.documents[doc].1.key
    }

    pub fn find(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// `field`: its place in the schema. `None` where the document has none.
    pub fn vector(&self, doc: usize, field: usize) -> Option<&[f32]> {
        let (address, row) = &self.documents[doc];
        let vectors = &self.layout.schema.vectors;
        let length = vectors.get(field)?.dimensions;
        let start: usize = vectors[..field].iter().map(|field| field.dimensions).sum();
        (row.present >> field & 1 == 1).then(|| &self.snapshot.vector(*address)[start..start + length])
    }

    /// Every match with its score, best first; equal ones by a hash of the key.
    /// `allowed`, by number, leaves documents out.
    pub fn rank_text(
        &self,
        query: &TextQuery,
        allowed: Option<&[bool]>,
    ) -> Result<Vec<(usize, f32)>, RetrievalError> {
        let terms = query.as_terms(&self.layout);
        let Some(query) = query.compile(&self.layout) else { return Ok(Vec::new()) };
        let (searcher, tokens) = (&self.snapshot.searcher, self.tokens.as_slice());
        let counts = Counts { searcher, documents: self.with_text, tokens };
        // The head as the index of chunks ranks it; then what is behind.
        let head = match terms {
            Some(terms) => terms.best(&self.snapshot, &counts, None, KEYWORD_DEPTH)?,
            None => rank::best(&self.snapshot, &counts, &*query, KEYWORD_DEPTH)?,
        };
        let mut seen = vec![false; self.len()];
        let mut ranked = self.numbered(head);
        ranked.iter().for_each(|&(doc, _)| seen[doc] = true);
        if ranked.len() == KEYWORD_DEPTH {
            let rest = self.numbered(rank::best(&self.snapshot, &counts, &*query, self.len())?);
            ranked.extend(rest.into_iter().filter(|&(doc, _)| !seen[doc]));
        }
        ranked.retain(|&(doc, _)| allowed.is_none_or(|allowed| allowed[doc]));
        Ok(ranked)
    }

    /// The `k` nearest by cosine, exact, best first. Vectors of unit length are compared by their dot
    /// product, as in the index of chunks; others are normalized first.
    pub fn rank_vector(
        &self,
        field: usize,
        vector: &[f32],
        allowed: Option<&[bool]>,
        k: usize,
    ) -> Vec<(usize, f32)> {
        let mut best = Heap::new(k.clamp(1, self.len().max(1)));
        let query_norm = norm(vector);
        for (doc, &(address, _)) in self.documents.iter().enumerate() {
            if allowed.is_some_and(|allowed| !allowed[doc]) {
                continue;
            }
            let Some(row) = self.vector(doc, field) else { continue };
            best.push(dot(vector, row) / (query_norm * norm(row)), address, &self.snapshot);
        }
        self.numbered(best.into_ranked())
    }

    fn numbered(&self, ranked: Ranked) -> Vec<(usize, f32)> {
        let number =
            |address: DocAddress| self.numbers[address.segment_ord as usize][address.doc_id as usize];
        ranked.into_iter().map(|(address, score)| (number(address), score)).collect()
    }
}

fn parse_segment(
    snapshot: &Snapshot,
    layout: &TableLayout,
    segment: u32,
) -> Result<Vec<Option<Arc<Row>>>, RetrievalError> {
    let reader = snapshot.searcher.segment_reader(segment);
    let mut rows: Vec<Option<Arc<Row>>> = vec![None; reader.max_doc() as usize];
    for doc in alive(reader) {
        let stored: TantivyDocument = snapshot.searcher.doc(DocAddress::new(segment, doc))?;
        let text = |field| stored.get_first(field).and_then(|value| value.as_str()).unwrap_or_default();
        let document = serde_json::from_str(text(layout.document))
            .map_err(|error| RetrievalError::Index(format!("a document cannot be read: {error}")))?;
        let present = stored.get_first(layout.present).and_then(|value| value.as_u64()).unwrap_or(0);
        let lengths = text(layout.lengths).split(' ').map(|length| length.parse().unwrap_or(0)).collect();
        let key = text(layout.key).to_owned();
        rows[doc as usize] = Some(Arc::new(Row { key, document, present, lengths }));
    }
    Ok(rows)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut product = 0.0;
    for_each_dot(a, std::iter::once(b), |_, dot| product = dot);
    product
}

/// Exactly 1 for a vector that was normalized in 32 bits.
fn norm(vector: &[f32]) -> f32 {
    let square = dot(vector, vector);
    if (square - 1.0).abs() < 1e-5 { 1.0 } else { square.sqrt().max(f32::MIN_POSITIVE) }
}
