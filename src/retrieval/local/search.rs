//! Keyword, vector and hybrid search over one snapshot.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, HashMap},
    ops::Bound,
};

use rayon::ThreadPool;
use tantivy::{
    DocAddress, DocId, DocSet, TERMINATED, TantivyDocument, Term,
    collector::TopDocs,
    query::{
        BooleanQuery, BoostQuery, ConstScoreQuery, EnableScoring, Occur, Query, RangeQuery, TermQuery,
        TermSetQuery,
    },
    schema::{Field, IndexRecordOption},
};

use super::{
    analyzer,
    snapshot::{Snapshot, alive},
    vectors::for_each_dot,
};
use crate::{
    domain::{Embedding, Filter, Hit, PageRange, SearchMode},
    retrieval::{
        RetrievalError, SearchRequest, VECTOR_DEPTH,
        fusion::{RankedList, effective_weight, fuse},
    },
};

/// The keyword list of a hybrid search is cut here, as Azure AI Search cuts its own.
const KEYWORD_DEPTH: usize = 1_000;
/// Different terms of one question; what a longer one asks behind them does not count.
const MAX_TERMS: usize = 1_024;
/// Documents scanned by one task.
const SCAN_CHUNK: usize = 4_096;

type Ranked = Vec<(DocAddress, f32)>;

/// Vectors are scanned on the threads of `pool`, keywords meanwhile on the caller's: rayon's global pool
/// belongs to the embedder, with one thread.
pub(super) fn search(
    snapshot: &Snapshot,
    pool: &ThreadPool,
    request: &SearchRequest<'_>,
) -> Result<Vec<Hit>, RetrievalError> {
    let filter = filter_query(snapshot, request.filter);
    let filter = filter.as_deref();
    let keyword = |top| keyword(snapshot, request.text, filter, top);
    let scan = |top| {
        let vector = request.vector.ok_or(RetrievalError::NoVector)?;
        Ok::<_, RetrievalError>(Scan { snapshot, vector, parts: parts(snapshot, filter)?, top })
    };
    let mut ranked = match request.mode {
        SearchMode::Keyword => keyword(request.top)?,
        SearchMode::Vector => scan(request.top)?
            .run(pool, || ())
            .0
            .into_iter()
            // The score Azure AI Search gives: 1 / (1 + distance), with distance = 1 - cosine.
            .map(|(address, cosine)| (address, 1.0 / (2.0 - cosine)))
            .collect(),
        SearchMode::Hybrid => {
            let (by_vector, by_keyword) =
                scan(VECTOR_DEPTH.max(request.top))?.run(pool, || keyword(KEYWORD_DEPTH.max(request.top)));
            let keys = |ranked: Ranked| ranked.into_iter().map(|(address, _)| address).collect::<Vec<_>>();
            let (by_keyword, by_vector) = (keys(by_keyword?), keys(by_vector));
            let weight = effective_weight(request.vector_weight, request.text);
            fuse(&[RankedList { keys: &by_keyword, weight: 1.0 }, RankedList { keys: &by_vector, weight }])
        }
    };
    ranked.truncate(request.top);
    let mut hits = Vec::with_capacity(ranked.len());
    for (address, score) in ranked {
        let stored: TantivyDocument = snapshot.searcher.doc(address)?;
        hits.push(Hit {
            chunk: snapshot.fields.to_chunk(&stored),
            score,
            cosine: request.vector.map(|vector| cosine(snapshot, vector, address)),
            caption: None,
        });
    }
    Ok(hits)
}

/// BM25 (k1 1.2, b 0.75) over the terms of the text; a term that stands twice counts twice. The text
/// is analyzed, never parsed, so it has no syntax to break.
fn keyword(
    snapshot: &Snapshot,
    text: &str,
    filter: Option<&dyn Query>,
    top: usize,
) -> Result<Ranked, RetrievalError> {
    let mut counts: HashMap<String, f32> = HashMap::new();
    for term in analyzer::terms(&mut analyzer::words(), text) {
        if counts.len() < MAX_TERMS || counts.contains_key(&term) {
            *counts.entry(term).or_default() += 1.0;
        }
    }
    if counts.is_empty() {
        return Ok(Ranked::new());
    }
    let clauses: Vec<(Occur, Box<dyn Query>)> = counts
        .into_iter()
        .map(|(term, count)| {
            let field = if analyzer::is_single_cjk(&term) {
                snapshot.fields.cjk_characters
            } else {
                snapshot.fields.text
            };
            let query = TermQuery::new(Term::from_field_text(field, &term), IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(BoostQuery::new(Box::new(query), count)) as Box<dyn Query>)
        })
        .collect();
    let mut query: Box<dyn Query> = Box::new(BooleanQuery::new(clauses));
    if let Some(filter) = filter {
        let unscored = Box::new(ConstScoreQuery::new(filter.box_clone(), 0.0));
        query = Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::Must, unscored)]));
    }
    Ok(snapshot
        .searcher
        .search(&query, &TopDocs::with_limit(top.max(1)).order_by_score())?
        .into_iter()
        .map(|(score, address)| (address, score))
        .collect())
}

/// Documents of one segment that one task scans.
struct Part {
    segment: u32,
    docs: Vec<DocId>,
}

/// The live documents that pass the filter, cut into parts.
fn parts(snapshot: &Snapshot, filter: Option<&dyn Query>) -> Result<Vec<Part>, RetrievalError> {
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
struct Scan<'a> {
    snapshot: &'a Snapshot,
    vector: &'a Embedding,
    parts: Vec<Part>,
    top: usize,
}

impl Scan<'_> {
    /// The nearest, best first, and what `meanwhile` gives on this thread while the pool scans.
    ///
    /// No thread of the pool ever waits for another. One that did would start on the next search in
    /// the meantime, and the one it waits for would be late by a whole search, or by several.
    fn run<T>(&self, pool: &ThreadPool, meanwhile: impl FnOnce() -> T) -> (Ranked, T) {
        let mut found = vec![Vec::new(); self.parts.len()];
        let other = pool.in_place_scope(|scope| {
            for (part, found) in self.parts.iter().zip(&mut found) {
                scope.spawn(move |_| *found = self.best_of(part));
            }
            meanwhile()
        });
        let mut best = found.concat();
        best.sort_unstable_by(|a, b| b.cmp(a));
        best.truncate(self.top);
        (best.into_iter().map(|scored| (scored.address, scored.cosine)).collect(), other)
    }

    /// In no order.
    fn best_of(&self, &Part { segment, ref docs }: &Part) -> Vec<Scored> {
        let mut best = BinaryHeap::with_capacity(self.top + 1);
        let rows = docs.iter().map(|&doc| self.snapshot.vector_at(segment as usize, doc));
        for_each_dot(self.vector.as_slice(), rows, |index, cosine| {
            let scored = Scored { cosine, address: DocAddress::new(segment, docs[index]) };
            if best.len() < self.top {
                best.push(Reverse(scored));
            } else if best.peek().is_some_and(|Reverse(worst)| scored > *worst) {
                best.pop();
                best.push(Reverse(scored));
            }
        });
        best.into_iter().map(|Reverse(scored)| scored).collect()
    }
}

fn cosine(snapshot: &Snapshot, vector: &Embedding, address: DocAddress) -> f32 {
    let mut cosine = 0.0;
    for_each_dot(vector.as_slice(), std::iter::once(snapshot.vector(address)), |_, dot| cosine = dot);
    cosine
}

/// Ordered by cosine, then towards earlier documents, so that equal scores rank the same every time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scored {
    cosine: f32,
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
        self.cosine.total_cmp(&other.cosine).then_with(|| other.address.cmp(&self.address))
    }
}

/// The filter as a query; `None` when it does not restrict.
fn filter_query(snapshot: &Snapshot, filter: &Filter) -> Option<Box<dyn Query>> {
    let fields = &snapshot.fields;
    let any_of = |field: Field, values: &[String]| -> Option<Box<dyn Query>> {
        let terms = values.iter().map(|value| Term::from_field_text(field, value));
        (!values.is_empty()).then(|| Box::new(TermSetQuery::new(terms)) as Box<dyn Query>)
    };
    let pages =
        filter.page_number.filter(|range| range.min.or(range.max).is_some()).map(|PageRange { min, max }| {
            let bound = |page: Option<u32>| {
                page.map_or(Bound::Unbounded, |page| {
                    Bound::Included(Term::from_field_u64(fields.page_number, u64::from(page)))
                })
            };
            Box::new(RangeQuery::new(bound(min), bound(max))) as Box<dyn Query>
        });
    let clauses: Vec<(Occur, Box<dyn Query>)> = [
        any_of(fields.source, &filter.source),
        any_of(fields.tags, &filter.tags),
        any_of(fields.language, &filter.language),
        pages,
    ]
    .into_iter()
    .flatten()
    .map(|clause| (Occur::Must, clause))
    .collect();
    (!clauses.is_empty()).then(|| Box::new(BooleanQuery::new(clauses)) as Box<dyn Query>)
}
