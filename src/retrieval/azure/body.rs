//! The JSON of a search request.

use serde::Serialize;

use super::{
    documents::{CHUNK_FIELDS, VECTOR_FIELD},
    odata::Expr,
    schema::SEMANTIC_CONFIGURATION,
    simple_syntax,
};
use crate::{
    domain::SearchMode,
    retrieval::{RetrievalError, SearchRequest, VECTOR_DEPTH, fusion::effective_weight},
};

/// Hits of one page, at most.
pub(super) const MAX_TOP: usize = 1_000;
/// What the semantic ranker reads; more neighbours would only displace keyword hits.
const SEMANTIC_DEPTH: usize = 50;

/// Members that are absent are left out. One struct for every search, so that each is spelled once.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) search: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) orderby: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) search_fields: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) search_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) semantic_configuration: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) captions: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) semantic_error_handling: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) select: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) skip: usize,
    pub(super) top: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vector_queries: Option<[VectorQuery<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) vector_filter_mode: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct VectorQuery<'a> {
    vector: &'a [f32],
    k: usize,
    fields: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f32>,
    kind: &'static str,
}

/// What the scores of the reply are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scores {
    /// As they come.
    AsGiven,
    /// Those of one list that stands for a hybrid search: what fusion gives a list of this weight.
    OneList { weight: f32 },
}

/// A search as it goes out, and how its scores are to be read; `None` when nothing can be found,
/// because the question holds no word to search for.
pub(super) fn search<'a>(
    request: &SearchRequest<'a>,
    semantic: bool,
) -> Result<Option<(Body<'a>, Scores)>, RetrievalError> {
    let text = match request.mode {
        SearchMode::Vector => None,
        SearchMode::Keyword | SearchMode::Hybrid => simple_syntax::escaped(request.text),
    };
    let weight = effective_weight(request.vector_weight, request.text);
    let by_vector = match request.mode {
        SearchMode::Vector => true,
        SearchMode::Keyword => false,
        SearchMode::Hybrid => weight > 0.0,
    };
    if text.is_none() && !by_vector {
        return Ok(None);
    }
    let needs_vector = request.mode != SearchMode::Keyword;
    let vector = match request.vector {
        None if needs_vector => return Err(RetrievalError::NoVector),
        vector => vector,
    };
    let scores = match (request.mode, &text, by_vector) {
        (SearchMode::Hybrid, None, _) => Scores::OneList { weight },
        (SearchMode::Hybrid, _, false) => Scores::OneList { weight: 1.0 },
        _ => Scores::AsGiven,
    };
    let hybrid = text.is_some() && by_vector;
    let semantic = semantic && text.is_some();
    let depth = if semantic { SEMANTIC_DEPTH } else { VECTOR_DEPTH };
    let filter = Expr::of(request.filter).map(|expr| expr.to_string());
    let query = vector.filter(|_| by_vector).map(|vector| VectorQuery {
        vector: vector.as_slice(),
        k: depth.max(request.top),
        fields: VECTOR_FIELD,
        weight: (hybrid && weight != 1.0).then_some(weight),
        kind: "vector",
    });
    let select = match vector {
        Some(_) => format!("{CHUNK_FIELDS},{VECTOR_FIELD}"),
        None => CHUNK_FIELDS.to_owned(),
    };
    let with_text = text.is_some();
    let body = Body {
        search: text,
        query_type: with_text.then_some(if semantic { "semantic" } else { "simple" }),
        search_fields: with_text.then_some("content,title"),
        search_mode: with_text.then_some("any"),
        semantic_configuration: semantic.then_some(SEMANTIC_CONFIGURATION),
        captions: semantic.then_some("extractive|highlight-false"),
        semantic_error_handling: semantic.then_some("partial"),
        vector_filter_mode: (query.is_some() && filter.is_some()).then_some("preFilter"),
        vector_queries: query.map(|query| [query]),
        filter,
        select: Some(select),
        top: request.top,
        ..Body::default()
    };
    Ok(Some((body, scores)))
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{EMBEDDING_DIMENSION, Embedding, Filter, VectorWeight};

    fn vector() -> Embedding {
        let mut values = vec![0.0; EMBEDDING_DIMENSION];
        values[7] = 1.0;
        Embedding::new(values).unwrap()
    }

    /// The body without the numbers of the vector.
    fn sent(mode: SearchMode, text: &str, weight: Option<f64>, semantic: bool) -> Option<(Value, Scores)> {
        let (vector, filter) = (vector(), Filter::default());
        let vector_weight = weight.map(|weight| VectorWeight::parse(weight).unwrap());
        let request =
            SearchRequest { text, vector: Some(&vector), mode, top: 3, filter: &filter, vector_weight };
        let (body, scores) = search(&request, semantic).unwrap()?;
        let mut body = serde_json::to_value(body).unwrap();
        if let Some(query) = body.get_mut("vectorQueries") {
            query[0]["vector"] = json!(query[0]["vector"].as_array().unwrap().len());
        }
        body.as_object_mut().unwrap().remove("select");
        Some((body, scores))
    }

    #[test]
    fn each_mode_sends_its_own_lists() {
        let hybrid = sent(SearchMode::Hybrid, "annual leave", Some(2.0), false).unwrap();
        assert_eq!(
            hybrid.0,
            json!({"search": "annual leave", "queryType": "simple", "searchFields": "content,title", "searchMode": "any",
                   "top": 3, "vectorQueries": [{"vector": 384, "k": 100, "fields": "contentVector", "weight": 2.0, "kind": "vector"}]})
        );
        assert_eq!(hybrid.1, Scores::AsGiven);
        let keyword = sent(SearchMode::Keyword, "annual leave", None, false).unwrap();
        assert_eq!((keyword.0.get("vectorQueries"), keyword.1), (None, Scores::AsGiven));
        let by_vector = sent(SearchMode::Vector, "annual leave", None, true).unwrap();
        assert_eq!(
            by_vector.0,
            json!({"top": 3, "vectorQueries": [{"vector": 384, "k": 100, "fields": "contentVector", "kind": "vector"}]})
        );
    }

    #[test]
    fn a_hybrid_search_with_one_list_left_keeps_the_scores_of_a_hybrid_search() {
        let (body, scores) = sent(SearchMode::Hybrid, "leave", Some(0.0), false).unwrap();
        assert_eq!((body.get("vectorQueries"), scores), (None, Scores::OneList { weight: 1.0 }));
        let (body, scores) = sent(SearchMode::Hybrid, "?!", Some(2.0), false).unwrap();
        assert_eq!((body.get("search"), scores), (None, Scores::OneList { weight: 2.0 }));
    }

    #[test]
    fn a_question_without_words_never_matches_everything() {
        assert!(sent(SearchMode::Keyword, "*", None, false).is_none());
        assert!(sent(SearchMode::Hybrid, "***", Some(0.0), false).is_none());
    }

    #[test]
    fn the_semantic_ranker_is_asked_for_captions_and_may_fail_partially() {
        let (body, _) = sent(SearchMode::Hybrid, "annual leave", None, true).unwrap();
        for (name, value) in [
            ("queryType", "semantic"),
            ("semanticConfiguration", "rag-semantic"),
            ("captions", "extractive|highlight-false"),
            ("semanticErrorHandling", "partial"),
        ] {
            assert_eq!(body[name], value);
        }
        assert_eq!(body["vectorQueries"][0]["k"], 50);
        assert_eq!(body["vectorQueries"][0].get("weight"), None);
    }

    #[test]
    fn hybrid_and_vector_search_need_a_vector() {
        let filter = Filter::default();
        for mode in [SearchMode::Hybrid, SearchMode::Vector] {
            let request =
                SearchRequest { text: "x", vector: None, mode, top: 3, filter: &filter, vector_weight: None };
            assert!(matches!(search(&request, false), Err(RetrievalError::NoVector)));
        }
    }
}
