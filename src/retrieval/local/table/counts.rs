//! What BM25 needs to know of a whole table: documents that were deleted or have no text do not count.
//!
//! Tables are changed document by document, and tantivy counts what was deleted until segments merge: scores
//! would depend on the order in which the same documents were written.

use tantivy::{DocSet, Searcher, TERMINATED, Term, query::Bm25StatisticsProvider, schema::Field};

/// Counts over the living documents of a view.
pub(super) struct Counts<'a> {
    pub searcher: &'a Searcher,
    /// Documents with at least one token.
    pub documents: u64,
    /// By analyzed field.
    pub tokens: &'a [(Field, u64)],
}

impl Bm25StatisticsProvider for Counts<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        Ok(self.tokens.iter().find(|(other, _)| *other == field).map_or(0, |(_, tokens)| *tokens))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.documents)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        let mut frequency = 0;
        for reader in self.searcher.segment_readers() {
            let index = reader.inverted_index(term.field())?;
            if !reader.has_deletes() {
                frequency += u64::from(index.doc_freq(term)?);
                continue;
            }
            let Some(mut postings) = index.read_postings(term, tantivy::schema::IndexRecordOption::Basic)?
            else {
                continue;
            };
            while postings.doc() != TERMINATED {
                frequency += u64::from(!reader.is_deleted(postings.doc()));
                postings.advance();
            }
        }
        Ok(frequency)
    }
}
