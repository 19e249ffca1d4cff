//! The order of documents: one list for the text and one for each vector field of each vector query,
//! joined by reciprocal rank fusion where there are several.

use std::{cmp::Ordering, collections::HashMap};

use super::super::{json::Json, odata::Candidate};
use super::request::SearchRequest;
use crate::retrieval::{
    KEYWORD_DEPTH, RetrievalError,
    fusion::{RankedList, fuse},
    local::table::View,
};

/// A document and why it stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    pub(super) doc: usize,
    pub(super) score: Score,
}

/// Scores of one list are printed with the digits of 32 bits, fused ones widened to 64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Score {
    Own(f32),
    Fused(f32),
}

impl Score {
    fn get(self) -> f32 {
        match self {
            Self::Own(score) | Self::Fused(score) => score,
        }
    }
}

impl From<Score> for Json {
    fn from(score: Score) -> Self {
        match score {
            Score::Own(score) => Self::Single(score),
            Score::Fused(score) => Self::Double(f64::from(score)),
        }
    }
}

/// Everything found, best first, and the lists it was made of.
pub(super) struct Ranking {
    pub(super) hits: Vec<Ranked>,
    pub(super) text: HashMap<usize, f32>,
    /// For each vector list, its field and the cosines.
    pub(super) vectors: Vec<(String, HashMap<usize, f32>)>,
}

pub(super) fn rank(view: &View, request: &SearchRequest) -> Result<Ranking, RetrievalError> {
    let allowed = allowed(view, request)?;
    let allowed = allowed.as_deref();
    let mut text = match &request.text {
        Some(query) => Some(view.rank_text(query, allowed)?),
        None => None,
    };
    let mut vectors = Vec::new();
    for query in &request.vectors {
        for (field, name) in &query.fields {
            let before = allowed.filter(|_| !request.post_filter);
            let mut list = view.rank_vector(*field, &query.vector, before, query.k);
            list.retain(|&(doc, _)| allowed.is_none_or(|allowed| allowed[doc]));
            vectors.push((name.clone(), query.weight, list));
        }
    }
    let mut hits = match (&mut text, vectors.as_slice()) {
        (Some(text), []) => own(text.iter().copied()),
        (None, [(_, _, list)]) => own(list.iter().map(|&(doc, cosine)| (doc, score_of(cosine)))),
        (text, lists) => {
            if let Some(text) = text {
                text.truncate(KEYWORD_DEPTH);
            }
            fused(text.as_deref(), lists)
        }
    };
    if !request.order.is_empty() {
        hits.sort_by(|a, b| compare(view, request, a, b));
    }
    Ok(Ranking {
        hits,
        text: text.into_iter().flatten().collect(),
        vectors: vectors.into_iter().map(|(name, _, list)| (name, list.into_iter().collect())).collect(),
    })
}

/// `1 / (1 + distance)` with distance = 1 - cosine: what the service documents for cosine.
pub(super) fn score_of(cosine: f32) -> f32 {
    1.0 / (2.0 - if cosine.is_nan() { 0.0 } else { cosine })
}

fn own(list: impl Iterator<Item = (usize, f32)>) -> Vec<Ranked> {
    list.map(|(doc, score)| Ranked { doc, score: Score::Own(score) }).collect()
}

type VectorList = (String, f32, Vec<(usize, f32)>);

fn fused(text: Option<&[(usize, f32)]>, vectors: &[VectorList]) -> Vec<Ranked> {
    let docs = |list: &[(usize, f32)]| list.iter().map(|&(doc, _)| doc).collect::<Vec<usize>>();
    let mut lists: Vec<(Vec<usize>, f32)> = text.map(|list| (docs(list), 1.0)).into_iter().collect();
    lists.extend(vectors.iter().map(|(_, weight, list)| (docs(list), *weight)));
    let lists: Vec<RankedList<'_, usize>> =
        lists.iter().map(|(keys, weight)| RankedList { keys, weight: *weight }).collect();
    fuse(&lists).into_iter().map(|(doc, score)| Ranked { doc, score: Score::Fused(score) }).collect()
}

/// Equal keys keep the order of the scores, as the sort is stable.
fn compare(view: &View, request: &SearchRequest, a: &Ranked, b: &Ranked) -> Ordering {
    let side = |hit: &Ranked| (view.document(hit.doc), hit.score.get());
    let mut keys = request.order.iter().map(|order| order.compare(side(a), side(b)));
    keys.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn allowed(view: &View, request: &SearchRequest) -> Result<Option<Vec<bool>>, RetrievalError> {
    let Some(filter) = &request.filter else { return Ok(None) };
    let mut matches = Vec::with_capacity(filter.queries.len());
    for query in &filter.queries {
        let mut found = vec![false; view.len()];
        view.rank_text(query, None)?.into_iter().for_each(|(doc, _)| found[doc] = true);
        matches.push(found);
    }
    let passes = |number| {
        filter.predicate.holds(&Candidate { document: view.document(number), number, matches: &matches })
    };
    Ok(Some((0..view.len()).map(passes).collect()))
}
