//! One page of an answer, in the order of members that clients of the service meet.

use serde_json::{Map, Value};

use super::{
    super::{
        definition::Definition,
        json::{Json, list, object},
        refusal::Refusal,
    },
    project::project,
    rank::{Ranked, Ranking, rank, score_of},
    request::SearchRequest,
};
use crate::retrieval::local::table::View;

const DEFAULT_TOP: usize = 50;
const MAX_TOP: usize = 1_000;

/// The members before and after the link that leads on, which only the route can make.
pub(in crate::emulator) struct Page {
    pub(in crate::emulator) head: Vec<(String, Json)>,
    /// What asks for the next page, where there is one.
    pub(in crate::emulator) next: Option<Map<String, Value>>,
    pub(in crate::emulator) value: Json,
}

/// `body` is what the request was read from.
pub(in crate::emulator) fn page(
    definition: &Definition,
    view: &View,
    request: &SearchRequest,
    body: &Map<String, Value>,
) -> Result<Page, Refusal> {
    let ranking = rank(view, request)?;
    let found = ranking.hits.len();
    let mut head = Vec::new();
    if request.count {
        head.push(("@odata.count".to_owned(), found.into()));
    }
    if request.coverage {
        head.push(("@search.coverage".to_owned(), Json::Double(100.0)));
    }
    if !request.facets.is_empty() {
        let facets = request.facets.iter().map(|facet| {
            let counts = facet.count(view, ranking.hits.iter().map(|hit| hit.doc));
            (facet.field.clone(), counts)
        });
        head.push(("@search.facets".to_owned(), Json::Object(facets.collect())));
    }
    let length = request.top.unwrap_or(DEFAULT_TOP).min(MAX_TOP);
    let shown = ranking.hits.iter().skip(request.skip).take(length);
    let value = list(shown.map(|hit| write_hit(definition, view, request, &ranking, *hit)));
    Ok(Page { head, next: next(request, body, length, found), value })
}

/// The service goes on by itself where it cut, not where the caller did.
fn next(
    request: &SearchRequest,
    body: &Map<String, Value>,
    length: usize,
    found: usize,
) -> Option<Map<String, Value>> {
    let cut = request.top.is_none_or(|top| top > length);
    if !cut || found <= request.skip + length {
        return None;
    }
    let mut next = body.clone();
    next.retain(|_, value| !value.is_null());
    next.insert("skip".to_owned(), (request.skip + length).into());
    if let Some(top) = request.top {
        next.insert("top".to_owned(), (top - length).into());
    }
    Some(next)
}

fn write_hit(
    definition: &Definition,
    view: &View,
    request: &SearchRequest,
    ranking: &Ranking,
    hit: Ranked,
) -> Json {
    let mut members = vec![("@search.score".to_owned(), hit.score.into())];
    let highlights = match (&request.highlight, &request.text) {
        (Some(highlight), Some(query)) => highlight.of(view, hit.doc, query),
        _ => None,
    };
    members.extend(highlights.map(|highlights| ("@search.highlights".to_owned(), highlights)));
    if request.debug_vectors {
        members.push(("@search.documentDebugInfo".to_owned(), debug(ranking, hit.doc)));
    }
    members.extend(project(definition, view, hit.doc, &request.selection));
    Json::Object(members)
}

fn debug(ranking: &Ranking, doc: usize) -> Json {
    let text = ranking.text.get(&doc).map(|&score| object([("searchScore", Json::Single(score))]));
    let vectors = ranking.vectors.iter().filter_map(|(field, cosines)| {
        let cosine = *cosines.get(&doc)?;
        let scores = object([
            ("searchScore", Json::Single(score_of(cosine))),
            ("vectorSimilarity", Json::Single(cosine)),
        ]);
        Some(Json::Object(vec![(field.clone(), scores)]))
    });
    let subscores =
        object([("text", text.into()), ("vectors", list(vectors)), ("documentBoost", Json::Int(1))]);
    object([("vectors", object([("subscores", subscores)]))])
}
