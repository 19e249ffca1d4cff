//! The terms of a question, and what they are worth in a document: BM25 with k1 1.2 and b 0.75.

use std::collections::HashMap;

use tantivy::{
    DocAddress, DocSet, Term,
    postings::Postings,
    query::{
        Bm25StatisticsProvider, Bm25Weight, BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query,
        TermQuery,
    },
    schema::{Field, IndexRecordOption},
};

use super::{
    analyzer,
    rank::{Ranked, candidates, ranked},
    snapshot::Snapshot,
};
use crate::retrieval::RetrievalError;

/// Different terms of one question; what a longer one asks behind them does not count.
const MAX_TERMS: usize = 1_024;

/// Where the terms of a text are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextFields {
    pub text: Field,
    /// Holds single CJK characters, which the pairs in `text` cannot match.
    pub cjk_characters: Option<Field>,
}

/// Terms with the number of times each stands in the question; each is optional, and their scores add up.
pub(super) struct Terms(Vec<(Term, f32)>);

impl Terms {
    pub(super) fn new(fields: TextFields, terms: Vec<String>) -> Self {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut counted: Vec<(Term, f32)> = Vec::new();
        for term in terms {
            if let Some(&place) = places.get(&term) {
                counted[place].1 += 1.0;
            } else if places.len() < MAX_TERMS {
                let field = match fields.cjk_characters {
                    Some(field) if analyzer::is_single_cjk(&term) => field,
                    _ => fields.text,
                };
                places.insert(term.clone(), counted.len());
                counted.push((Term::from_field_text(field, &term), 1.0));
            }
        }
        Self(counted)
    }

    /// `None` when there is no term, and so nothing to find.
    pub(super) fn query(&self) -> Option<Box<dyn Query>> {
        let clause = |(term, count): &(Term, f32)| {
            let query = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            let query = BoostQuery::new(Box::new(query), *count);
            (Occur::Should, Box::new(query) as Box<dyn Query>)
        };
        (!self.0.is_empty()).then(|| Box::new(BooleanQuery::new(self.0.iter().map(clause).collect())) as _)
    }

    /// The best documents that pass the filter, in order.
    ///
    /// Tantivy adds the parts of a score in 32 bits, in an order that depends on the files. So it only
    /// chooses the candidates here; their scores are added once more in 64 bits, where the order does not
    /// show, and the same documents rank alike in every index.
    pub(super) fn best(
        &self,
        snapshot: &Snapshot,
        counts: &dyn Bm25StatisticsProvider,
        filter: Option<&dyn Query>,
        top: usize,
    ) -> Result<Ranked, RetrievalError> {
        let Some(mut query) = self.query() else { return Ok(Ranked::new()) };
        if let Some(filter) = filter {
            let unscored = Box::new(ConstScoreQuery::new(filter.box_clone(), 0.0));
            query = Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::Must, unscored)]));
        }
        let mut found = candidates(snapshot, counts, &*query, top)?;
        found.sort_unstable_by_key(|&(address, _)| address);
        let scores = self.scores(snapshot, counts, &found)?;
        let found = found.into_iter().zip(scores).map(|((address, _), score)| (address, score as f32));
        Ok(ranked(snapshot, found.collect(), top))
    }

    /// Of documents in the order of their addresses.
    fn scores(
        &self,
        snapshot: &Snapshot,
        counts: &dyn Bm25StatisticsProvider,
        found: &[(DocAddress, f32)],
    ) -> Result<Vec<f64>, RetrievalError> {
        let mut scores = vec![0.0; found.len()];
        for (term, count) in &self.0 {
            let weight = Bm25Weight::for_terms(counts, std::slice::from_ref(term))?.boost_by(*count);
            let mut first = 0;
            for of_segment in found.chunk_by(|(a, _), (b, _)| a.segment_ord == b.segment_ord) {
                let places = first..first + of_segment.len();
                first = places.end;
                let reader = snapshot.searcher.segment_reader(of_segment[0].0.segment_ord);
                let index = reader.inverted_index(term.field())?;
                let Some(mut postings) = index.read_postings(term, IndexRecordOption::WithFreqs)? else {
                    continue;
                };
                let lengths = reader.get_fieldnorms_reader(term.field())?;
                for ((address, _), score) in of_segment.iter().zip(&mut scores[places]) {
                    if postings.doc() < address.doc_id {
                        postings.seek(address.doc_id);
                    }
                    if postings.doc() == address.doc_id {
                        let length = lengths.fieldnorm_id(address.doc_id);
                        *score += f64::from(weight.score(length, postings.term_freq()));
                    }
                }
            }
        }
        Ok(scores)
    }
}
