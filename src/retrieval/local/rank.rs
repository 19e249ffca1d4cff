//! Two ways to rank the documents of a snapshot: BM25 over terms, and exact cosine over vectors.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use rayon::ThreadPool;
use tantivy::{
    DocAddress, DocId, DocSet, Score, SegmentReader, TERMINATED,
    collector::{Collector, SegmentCollector},
    query::{Bm25StatisticsProvider, EnableScoring, Query, Weight},
};

use super::{
    snapshot::{Snapshot, alive},
    vectors::for_each_dot,
};
use crate::retrieval::RetrievalError;

/// Documents scanned by one task.
const SCAN_CHUNK: usize = 4_096;

/// Documents with their scores, best first unless it says otherwise.
pub(super) type Ranked = Vec<(DocAddress, f32)>;

/// The best by score; equal ones by [`Snapshot::key_order`]. `counts`: of documents, tokens and terms, which
/// the searcher itself gives with deleted documents among them.
pub(super) fn best(
    snapshot: &Snapshot,
    counts: &dyn Bm25StatisticsProvider,
    query: &dyn Query,
    top: usize,
) -> Result<Ranked, RetrievalError> {
    Ok(ranked(snapshot, candidates(snapshot, counts, query, top)?, top))
}

/// In no order: at least the best, and whatever is as good as the worst of them but for rounding.
pub(super) fn candidates(
    snapshot: &Snapshot,
    counts: &dyn Bm25StatisticsProvider,
    query: &dyn Query,
    top: usize,
) -> Result<Ranked, RetrievalError> {
    let collector = Best { snapshot, top: top.max(1) };
    Ok(snapshot.searcher.search_with_statistics_provider(query, &collector, counts)?)
}

/// The best of what was found, in order.
pub(super) fn ranked(snapshot: &Snapshot, found: Ranked, top: usize) -> Ranked {
    let scored = |(address, score)| Scored { score, order: snapshot.key_order(address), address };
    sorted(found.into_iter().map(scored).collect(), top)
}

fn sorted(mut scored: Vec<Scored>, top: usize) -> Ranked {
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
    type Fruit = Ranked;
    type Child = Gather;

    fn for_segment(&self, segment: u32, _: &SegmentReader) -> tantivy::Result<Gather> {
        Ok(Gather { segment, found: Vec::new() })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, fruits: Vec<Ranked>) -> tantivy::Result<Ranked> {
        Ok(fruits.concat())
    }

    fn collect_segment(
        &self,
        weight: &dyn Weight,
        segment: u32,
        reader: &SegmentReader,
    ) -> tantivy::Result<Ranked> {
        let mut best = Heap::new(self.top);
        let mut found: Ranked = Vec::new();
        let mut threshold = Score::MIN;
        weight.for_each_pruning(Score::MIN, reader, &mut |doc, score| {
            if !reader.is_deleted(doc) {
                let address = DocAddress::new(segment, doc);
                best.push(score, address, self.snapshot);
                found.push((address, score));
                threshold = best.worst().map_or(Score::MIN, just_below);
                if found.len() > 4 * self.top + 1_024 {
                    found.retain(|&(_, score)| score > threshold);
                }
            }
            threshold
        })?;
        found.retain(|&(_, score)| score > threshold);
        Ok(found)
    }
}

/// Far enough for what equals a score, or would if its parts were added in another order, and no farther.
fn just_below(score: f32) -> f32 {
    score - score.abs() * 4e-6 - f32::MIN_POSITIVE
}

/// Collects the living of one segment; tantivy leaves out the deleted.
struct Gather {
    segment: u32,
    found: Ranked,
}

impl SegmentCollector for Gather {
    type Fruit = Ranked;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.found.push((DocAddress::new(self.segment, doc), score));
    }

    fn harvest(self) -> Self::Fruit {
        self.found
    }
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
        (sorted(found.concat(), self.top), other)
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
        sorted(self.into_iter().collect(), top)
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
