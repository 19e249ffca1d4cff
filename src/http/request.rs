//! The bodies of `/query` and `/search` as they come over the wire, and how they become domain types.

use serde::Deserialize;

use super::problem::Problem;
use crate::{
    domain::{Filter, History, PageRange, Question, Role, Sampling, SearchMode, TopK, Turn, VectorWeight},
    rag::Query,
};

/// `POST /search`: the fields of `/query` that concern retrieval.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    question: String,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    vector_weight: Option<f64>,
    #[serde(default)]
    filter: Option<FilterFields>,
}

// `serde(flatten)` and `deny_unknown_fields` exclude each other, so the fields stand here again.
/// `POST /query`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    question: String,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    vector_weight: Option<f64>,
    #[serde(default)]
    filter: Option<FilterFields>,
    #[serde(default)]
    history: Option<Vec<TurnFields>>,
    #[serde(default)]
    stream: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterFields {
    #[serde(default)]
    source: Option<Vec<String>>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    language: Option<Vec<String>>,
    #[serde(default)]
    page_number: Option<PageFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageFields {
    #[serde(default)]
    min: Option<u32>,
    #[serde(default)]
    max: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnFields {
    role: RoleField,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleField {
    User,
    Assistant,
}

impl QueryRequest {
    /// `None`: the caller leaves it to the `Accept` header.
    pub fn stream(&self) -> Option<bool> {
        self.stream
    }

    pub fn parse(self) -> Result<Query, Problem> {
        let Self { question, top_k, mode, vector_weight, filter, history, .. } = self;
        let query = SearchRequest { question, top_k, mode, vector_weight, filter }.parse()?;
        let turns = history.unwrap_or_default().into_iter().map(|turn| Turn {
            role: match turn.role {
                RoleField::User => Role::User,
                RoleField::Assistant => Role::Assistant,
            },
            content: turn.content,
        });
        Ok(Query { history: History::parse(turns.collect())?, ..query })
    }
}

impl SearchRequest {
    pub fn parse(self) -> Result<Query, Problem> {
        let Self { question, top_k, mode, vector_weight, filter } = self;
        RetrievalFields { top_k, mode, vector_weight, filter }.parse(Question::parse(&question)?)
    }
}

/// What may be said of retrieval, wherever the question stands.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct RetrievalFields {
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    vector_weight: Option<f64>,
    #[serde(default)]
    filter: Option<FilterFields>,
}

impl RetrievalFields {
    pub fn parse(self, question: Question) -> Result<Query, Problem> {
        Ok(Query {
            question,
            // A negative number is out of range like any other, so it gets the same words.
            top_k: self.top_k.map_or(Ok(TopK::default()), |k| TopK::parse(u64::try_from(k).unwrap_or(0)))?,
            mode: self.mode.map_or(Ok(SearchMode::default()), |mode| mode.parse())?,
            vector_weight: self.vector_weight.map(VectorWeight::parse).transpose()?,
            filter: self.filter.map_or(Ok(Filter::default()), FilterFields::parse)?,
            history: History::default(),
            instructions: None,
            sampling: Sampling::default(),
        })
    }
}

/// `GET /query`, which a browser's EventSource can ask: what fits an address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryParameters {
    question: String,
    #[serde(default)]
    top_k: Option<i64>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    vector_weight: Option<f64>,
}

impl QueryParameters {
    pub fn parse(self) -> Result<Query, Problem> {
        let Self { question, top_k, mode, vector_weight } = self;
        SearchRequest { question, top_k, mode, vector_weight, filter: None }.parse()
    }
}

impl FilterFields {
    fn parse(self) -> Result<Filter, Problem> {
        let filter = Filter {
            source: self.source.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            language: self.language.unwrap_or_default(),
            page_number: self.page_number.map(|PageFields { min, max }| PageRange { min, max }),
        };
        Ok(filter.checked()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(json: &str) -> Result<Query, Problem> {
        super::super::body::parse::<QueryRequest>(json.as_bytes())?.parse()
    }

    #[test]
    fn only_the_question_is_needed() {
        let query = query(r#"{"question": " why? "}"#).unwrap();
        assert_eq!((query.question.as_str(), query.top_k.get()), ("why?", 3));
        assert_eq!(query.mode, SearchMode::Hybrid);
        assert!(query.vector_weight.is_none() && query.filter.is_empty());
    }

    #[test]
    fn every_field_of_the_contract_arrives() {
        let query = query(
            r#"{"question": "q", "top_k": 7, "mode": "vector", "vector_weight": 2.5, "stream": false,
                "filter": {"source": ["a.pdf"], "tags": ["hr"], "language": ["en"], "page_number": {"min": 1, "max": 9}},
                "history": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}"#,
        )
        .unwrap();
        assert_eq!((query.top_k.get(), query.mode.as_str()), (7, "vector"));
        assert_eq!(query.vector_weight.map(VectorWeight::get), Some(2.5));
        assert_eq!(query.filter.source, ["a.pdf"]);
        assert_eq!((query.filter.tags.len(), query.filter.language.len()), (1, 1));
        assert_eq!(query.filter.page_number, Some(PageRange { min: Some(1), max: Some(9) }));
        assert_eq!(query.history.turns()[1].role, Role::Assistant);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, named) in [
            (r#"{}"#, "question"),
            (r#"{"question": ""}"#, "question"),
            (r#"{"question": 5}"#, "question"),
            (r#"{"question": "q", "topk": 3}"#, "topk"),
            (r#"{"question": "q", "top_k": 0}"#, "top_k"),
            (r#"{"question": "q", "top_k": 51}"#, "top_k"),
            (r#"{"question": "q", "top_k": -1}"#, "top_k"),
            (r#"{"question": "q", "top_k": "3"}"#, "top_k"),
            (r#"{"question": "q", "top_k": 3.5}"#, "top_k"),
            (r#"{"question": "q", "mode": "semantic"}"#, "mode"),
            (r#"{"question": "q", "vector_weight": 11}"#, "vector_weight"),
            (r#"{"question": "q", "vector_weight": 1e999}"#, "JSON"),
            (r#"{"question": "q", "filter": {"title": ["t"]}}"#, "title"),
            (r#"{"question": "q", "filter": {"source": "a.pdf"}}"#, "filter.source"),
            (r#"{"question": "q", "filter": {"page_number": {"min": "a"}}}"#, "filter.page_number.min"),
            (r#"{"question": "q", "filter": {"page_number": {"min": 3, "max": 2}}}"#, "filter.page_number"),
            (r#"{"question": "q", "history": [{"role": "system", "content": "c"}]}"#, "history[0].role"),
            (r#"{"question": "q", "stream": "yes"}"#, "stream"),
            (r#"{"question": "q", "question": "r"}"#, "question"),
            (r#"["question"]"#, "object"),
            (r#""question""#, "object"),
        ] {
            let problem = query(json).err().unwrap_or_else(|| panic!("{json} was taken"));
            assert!(problem.detail.contains(named), "{json}: {}", problem.detail);
        }
    }

    #[test]
    fn a_search_has_no_conversation() {
        let json = br#"{"question": "q", "history": []}"#;
        assert!(super::super::body::parse::<SearchRequest>(json).is_err());
    }
}
