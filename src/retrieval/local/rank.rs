//! Two ways to rank the documents of a snapshot: BM25 over terms, and exact cosine over vectors.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap},
};

use rayon::ThreadPool;
use tantivy::{
    DocAddress, DocId, DocSet, Score, SegmentReader, TERMINATED, Term,
    collector::{Collector, SegmentCollector},
    query::{
        Bm25StatisticsProvider, BooleanQuery, BoostQuery, EnableScoring, Occur, Query, TermQuery, Weight,
    },
    schema::{Field, IndexRecordOption},
};

use super::{
    analyzer,
    snapshot::{Snapshot, alive},
    vectors::for_each_dot,
};
use crate::retrieval::RetrievalError;

/// Different terms of one question; what a longer one asks behind them does not count.
const MAX_TERMS: usize = 1_024;
/// Documents scanned by one task.
const SCAN_CHUNK: usize = 4_096;

/// Best first.
pub(super) type Ranked = Vec<(DocAddress, f32)>;

/// Where the terms of a text are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextFields {
    pub text: Field,
    /// Holds single CJK characters, which the pairs in `text` cannot match.
    pub cjk_characters: Option<Field>,
}

/// BM25 (k1 1.2, b 0.75) over terms, each optional; a term that stands twice counts twice. `None`
/// when there is no term.
pub(super) fn any_term(fields: TextFields, terms: Vec<String>) -> Option<Box<dyn Query>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut counts: Vec<f32> = Vec::new();
    for term in terms {
        match places.get(&term) {
            Some(&place) => counts[place] += 1.0,
            None if places.len() < MAX_TERMS => {
                places.insert(term, counts.len());
                counts.push(1.0);
            }
            None => {}
        }
    }
    // In the order of the text: sums of floats depend on it.
    let mut terms: Vec<(String, usize)> = places.into_iter().collect();
    terms.sort_unstable_by_key(|(_, place)| *place);
    let clauses: Vec<(Occur, Box<dyn Query>)> = terms
        .into_iter()
        .map(|(term, place)| {
            let field = match fields.cjk_characters {
                Some(field) if analyzer::is_single_cjk(&term) => field,
                _ => fields.text,
            };
            let query = TermQuery::new(Term::from_field_text(field, &term), IndexRecordOption::WithFreqs);
            let query = BoostQuery::new(Box::new(query), counts[place]);
            (Occur::Should, Box::new(query) as Box<dyn Query>)
        })
        .collect();
    (!clauses.is_empty()).then(|| Box::new(BooleanQuery::new(clauses)) as Box<dyn Query>)
}

/// The best by score; equal ones by [`Snapshot::key_order`]. `counts`: of documents, tokens and terms, which
/// the searcher itself gives with deleted documents among them.
pub(super) fn best(
    snapshot: &Snapshot,
    counts: &dyn Bm25StatisticsProvider,
    query: &dyn Query,
    top: usize,
) -> Result<Ranked, RetrievalError> {
    let collector = Best { snapshot, top: top.max(1) };
    Ok(ranked(snapshot.searcher.search_with_statistics_provider(query, &collector, counts)?, top))
}

/// Every match, as [`best`] orders them.
pub(super) fn all(
    snapshot: &Snapshot,
    counts: &dyn Bm25StatisticsProvider,
    query: &dyn Query,
) -> Result<Ranked, RetrievalError> {
    let top = snapshot.document_count() as usize;
    let collector = Every { snapshot };
    Ok(ranked(snapshot.searcher.search_with_statistics_provider(query, &collector, counts)?, top))
}

fn ranked(mut scored: Vec<Scored>, top: usize) -> Ranked {
    scored.sort_unstable_by(|a, b| b.cmp(a));
    scored.truncate(top);
    scored.into_iter().map(|scored| (scored.address, scored.score)).collect()
}

/// Tantivy's own collector breaks ties by the place of a document, which differs from index to index.
struct Best<'a> {
    snapshot: &'a Snapshot,
    top: usize,
}

impl Collector for Best<'_> {
    type Fruit = Vec<Scored>;
    type Child = Gather;

    fn for_segment(&self, segment: u32, _: &SegmentReader) -> tantivy::Result<Gather> {
        Ok(Gather { segment, found: Vec::new() })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, fruits: Vec<Vec<(DocAddress, Score)>>) -> tantivy::Result<Vec<Scored>> {
        Ok(scored(self.snapshot, fruits))
    }

    fn collect_segment(
        &self,
        weight: &dyn Weight,
        segment: u32,
        reader: &SegmentReader,
    ) -> tantivy::Result<Vec<(DocAddress, Score)>> {
        let mut best = Heap::new(self.top);
        let mut threshold = Score::MIN;
        weight.for_each_pruning(Score::MIN, reader, &mut |doc, score| {
            if !reader.is_deleted(doc) {
                let address = DocAddress::new(segment, doc);
                best.push(score, address, self.snapshot);
                // Below the worst, so that what equals it is seen as well.
                threshold = best.worst().map_or(Score::MIN, f32::next_down);
            }
            threshold
        })?;
        Ok(best.into_iter().map(|scored| (scored.address, scored.score)).collect())
    }
}

struct Every<'a> {
    snapshot: &'a Snapshot,
}

impl Collector for Every<'_> {
    type Fruit = Vec<Scored>;
    type Child = Gather;

    fn for_segment(&self, segment: u32, _: &SegmentReader) -> tantivy::Result<Gather> {
        Ok(Gather { segment, found: Vec::new() })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, fruits: Vec<Vec<(DocAddress, Score)>>) -> tantivy::Result<Vec<Scored>> {
        Ok(scored(self.snapshot, fruits))
    }
}

/// Collects the living of one segment; tantivy leaves out the deleted.
struct Gather {
    segment: u32,
    found: Vec<(DocAddress, Score)>,
}

impl SegmentCollector for Gather {
    type Fruit = Vec<(DocAddress, Score)>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.found.push((DocAddress::new(self.segment, doc), score));
    }

    fn harvest(self) -> Self::Fruit {
        self.found
    }
}

fn scored(snapshot: &Snapshot, fruits: Vec<Vec<(DocAddress, Score)>>) -> Vec<Scored> {
    let all = fruits.into_iter().flatten();
    all.map(|(address, score)| Scored { score, order: snapshot.key_order(address), address }).collect()
}

/// Documents of one segment that one task scans.
pub(super) struct Part {
    segment: u32,
    docs: Vec<DocId>,
}

/// The live documents that pass the filter, cut into parts.
pub(super) fn parts(snapshot: &Snapshot, filter: Option<&dyn Query>) -> Result<Vec<Part>, RetrievalError> {
    let mut parts = Vec::new();
    for (segment, reader) in (0u32..).zip(snapshot.searcher.segment_readers()) {
        let docs: Vec<DocId> = match filter {
            None => alive(reader).collect(),
            Some(filter) => {
                let weight = filter.weight(EnableScoring::disabled_from_searcher(&snapshot.searcher))?;
                let mut scorer = weight.scorer(reader, 1.0)?;
                let mut docs = Vec::new();
                while scorer.doc() != TERMINATED {
                    if !reader.is_deleted(scorer.doc()) {
                        docs.push(scorer.doc());
                    }
                    scorer.advance();
                }
                docs
            }
        };
        parts.extend(docs.chunks(SCAN_CHUNK).map(|docs| Part { segment, docs: docs.to_vec() }));
    }
    Ok(parts)
}

/// Exact nearest neighbours by cosine.
pub(super) struct Scan<'a> {
    pub snapshot: &'a Snapshot,
    /// A unit vector, as the rows are.
    pub vector: &'a [f32],
    pub parts: Vec<Part>,
    pub top: usize,
}

impl Scan<'_> {
    /// The nearest, best first, and what `meanwhile` gives on this thread while the pool scans.
    ///
    /// No thread of the pool ever waits for another. One that did would start on the next search in
    /// the meantime, and the one it waits for would be late by a whole search, or by several.
    pub(super) fn run<T>(&self, pool: &ThreadPool, meanwhile: impl FnOnce() -> T) -> (Ranked, T) {
        let mut found = Vec::new();
        found.resize_with(self.parts.len(), Vec::new);
        let other = pool.in_place_scope(|scope| {
            for (part, found) in self.parts.iter().zip(&mut found) {
                scope.spawn(move |_| *found = self.best_of(part));
            }
            meanwhile()
        });
        (ranked(found.concat(), self.top), other)
    }

    /// In no order.
    fn best_of(&self, &Part { segment, ref docs }: &Part) -> Vec<Scored> {
        let mut best = Heap::new(self.top);
        let rows = docs.iter().map(|&doc| self.snapshot.vector_at(segment as usize, doc));
        for_each_dot(self.vector, rows, |index, cosine| {
            best.push(cosine, DocAddress::new(segment, docs[index]), self.snapshot);
        });
        best.into_iter().collect()
    }
}

/// The `top` best of what is pushed.
pub(super) struct Heap {
    top: usize,
    best: BinaryHeap<Reverse<Scored>>,
}

impl Heap {
    pub(super) fn new(top: usize) -> Self {
        Self { top, best: BinaryHeap::with_capacity(top + 1) }
    }

    pub(super) fn push(&mut self, score: f32, address: DocAddress, snapshot: &Snapshot) {
        if self.worst().is_some_and(|worst| score < worst) {
            return;
        }
        self.best.push(Reverse(Scored { score, order: snapshot.key_order(address), address }));
        if self.best.len() > self.top {
            self.best.pop();
        }
    }

    /// The lowest score that is in, once no more fit.
    fn worst(&self) -> Option<f32> {
        (self.best.len() == self.top).then(|| self.best.peek().map(|Reverse(worst)| worst.score)).flatten()
    }

    pub(super) fn into_ranked(self) -> Ranked {
        let top = self.top;
        ranked(self.into_iter().collect(), top)
    }

    fn into_iter(self) -> impl Iterator<Item = Scored> {
        self.best.into_iter().map(|Reverse(scored)| scored)
    }
}

/// Ordered by score, then towards lower [`Snapshot::key_order`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scored {
    score: f32,
    order: u64,
    address: DocAddress,
}

impl Eq for Scored {}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        let later = || other.order.cmp(&self.order).then_with(|| other.address.cmp(&self.address));
        self.score.total_cmp(&other.score).then_with(later)
    }
}
