//! Keyword, vector and hybrid search over one snapshot.

use std::ops::Bound;

use rayon::ThreadPool;
use tantivy::{
    DocAddress, TantivyDocument, Term,
    query::{BooleanQuery, Occur, Query, RangeQuery, TermSetQuery},
    schema::Field,
};

use super::{
    analyzer,
    rank::{Ranked, Scan, parts},
    schema::Fields,
    snapshot::Snapshot,
    terms::{Terms, TextFields},
    vectors::for_each_dot,
};
use crate::{
    domain::{Embedding, Filter, Hit, PageRange, SearchMode},
    retrieval::{
        KEYWORD_DEPTH, RetrievalError, SearchRequest, VECTOR_DEPTH,
        fusion::{RankedList, effective_weight, fuse},
    },
};

/// Vectors are scanned on the threads of `pool`, keywords meanwhile on the caller's: rayon's global pool
/// belongs to the embedder, with one thread.
pub(super) fn search(
    snapshot: &Snapshot,
    fields: &Fields,
    pool: &ThreadPool,
    request: &SearchRequest<'_>,
) -> Result<Vec<Hit>, RetrievalError> {
    let filter = filter_query(fields, request.filter);
    let filter = filter.as_deref();
    let keyword = |top| keyword(snapshot, fields, request.text, filter, top);
    let scan = |top| {
        let vector = request.vector.ok_or(RetrievalError::NoVector)?;
        Ok::<_, RetrievalError>(Scan {
            snapshot,
            vector: vector.as_slice(),
            parts: parts(snapshot, filter)?,
            top,
        })
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
            chunk: fields.to_chunk(&stored),
            score,
            cosine: request.vector.map(|vector| cosine(snapshot, vector, address)),
            caption: None,
        });
    }
    Ok(hits)
}

/// BM25 over the terms of the text. The text is analyzed, never parsed, so it has no syntax to break.
fn keyword(
    snapshot: &Snapshot,
    fields: &Fields,
    text: &str,
    filter: Option<&dyn Query>,
    top: usize,
) -> Result<Ranked, RetrievalError> {
    let terms = analyzer::terms(&mut analyzer::words(), text);
    let within = TextFields { text: fields.text, cjk_characters: Some(fields.cjk_characters) };
    Terms::new(within, terms).best(snapshot, &snapshot.searcher, filter, top)
}

fn cosine(snapshot: &Snapshot, vector: &Embedding, address: DocAddress) -> f32 {
    let mut cosine = 0.0;
    for_each_dot(vector.as_slice(), std::iter::once(snapshot.vector(address)), |_, dot| cosine = dot);
    cosine
}

/// The filter as a query; `None` when it does not restrict.
fn filter_query(fields: &Fields, filter: &Filter) -> Option<Box<dyn Query>> {
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
