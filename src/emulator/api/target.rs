//! Paths to operations, in both spellings: `/indexes('N')/docs('K')` and `/indexes/N/docs/K`.

use axum::http::Method;

use super::super::faults::On;

/// What a request asks for. Names are decoded and not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    ListIndexes,
    CreateIndex,
    PutIndex(String),
    GetIndex(String),
    DeleteIndex(String),
    IndexStatistics(String),
    Analyze(String),
    IndexDocuments(String),
    /// By POST or GET.
    Search(String),
    SearchByUrl(String),
    Lookup(String, String),
    Count(String),
    ServiceStatistics,
    ListAliases,
    CreateAlias,
    PutAlias(String),
    GetAlias(String),
    DeleteAlias(String),
    /// Parts of the service that are not here at all.
    NotEmulated(&'static str),
}

/// Why a path and a method are no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoOperation {
    Path,
    Method,
}

impl Operation {
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, NoOperation> {
        let segments = segments(path).ok_or(NoOperation::Path)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let found = match segments.as_slice() {
            ["servicestats"] => only(method, &Method::GET, Self::ServiceStatistics),
            ["indexes"] => by(method, Some(Self::ListIndexes), Some(Self::CreateIndex), None, None),
            ["indexes", name] => {
                let name = || (*name).to_owned();
                let (get, put) = (Self::GetIndex(name()), Self::PutIndex(name()));
                by(method, Some(get), None, Some(put), Some(Self::DeleteIndex(name())))
            }
            ["indexes", name, "search.stats" | "stats"] => {
                only(method, &Method::GET, Self::IndexStatistics((*name).to_owned()))
            }
            ["indexes", name, "search.analyze" | "analyze"] => {
                only(method, &Method::POST, Self::Analyze((*name).to_owned()))
            }
            ["indexes", name, "docs"] => only(method, &Method::GET, Self::SearchByUrl((*name).to_owned())),
            ["indexes", name, "docs", "$count"] => {
                only(method, &Method::GET, Self::Count((*name).to_owned()))
            }
            ["indexes", name, "docs", rest] => documents(method, name, rest),
            ["aliases"] => by(method, Some(Self::ListAliases), Some(Self::CreateAlias), None, None),
            ["aliases", name] => {
                let name = || (*name).to_owned();
                let (get, put) = (Self::GetAlias(name()), Self::PutAlias(name()));
                by(method, Some(get), None, Some(put), Some(Self::DeleteAlias(name())))
            }
            ["knowledgebases", ..] => Some(Self::NotEmulated("A knowledge base")),
            ["knowledgesources", ..] => Some(Self::NotEmulated("A knowledge source")),
            ["synonymmaps", ..] => Some(Self::NotEmulated("A synonym map")),
            ["indexers", ..] => Some(Self::NotEmulated("An indexer")),
            ["datasources", ..] => Some(Self::NotEmulated("A data source")),
            ["skillsets", ..] => Some(Self::NotEmulated("A skillset")),
            ["indexstats"] => Some(Self::NotEmulated("The summary of all indexes")),
            _ => return Err(NoOperation::Path),
        };
        found.ok_or(NoOperation::Method)
    }

    pub(super) fn on(&self) -> On {
        match self {
            Self::Search(_) | Self::SearchByUrl(_) => On::Search,
            Self::IndexDocuments(_) => On::Index,
            Self::Lookup(..) | Self::Count(_) => On::Lookup,
            _ => On::Manage,
        }
    }

    /// Whether the query key is enough.
    pub(super) fn only_reads_documents(&self) -> bool {
        let suggests = matches!(self, Self::NotEmulated(what) if *what == SUGGEST || *what == AUTOCOMPLETE);
        suggests || matches!(self.on(), On::Search | On::Lookup)
    }
}

const SUGGEST: &str = "Suggest";
const AUTOCOMPLETE: &str = "Autocomplete";

fn documents(method: &Method, index: &str, rest: &str) -> Option<Operation> {
    let name = || index.to_owned();
    match rest {
        "search.post.search" | "search" if method == Method::POST => Some(Operation::Search(name())),
        "search.index" | "index" if method == Method::POST => Some(Operation::IndexDocuments(name())),
        "search.post.suggest" | "search.suggest" | "suggest" => Some(Operation::NotEmulated(SUGGEST)),
        "search.post.autocomplete" | "search.autocomplete" | "autocomplete" => {
            Some(Operation::NotEmulated(AUTOCOMPLETE))
        }
        key => only(method, &Method::GET, Operation::Lookup(name(), key.to_owned())),
    }
}

fn only(method: &Method, wanted: &Method, operation: Operation) -> Option<Operation> {
    (method == wanted).then_some(operation)
}

fn by(
    method: &Method,
    get: Option<Operation>,
    post: Option<Operation>,
    put: Option<Operation>,
    delete: Option<Operation>,
) -> Option<Operation> {
    match *method {
        Method::GET => get,
        Method::POST => post,
        Method::PUT => put,
        Method::DELETE => delete,
        _ => None,
    }
}

/// `indexes('N')` counts as two segments. `None` for escapes that are no UTF-8.
fn segments(path: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    for raw in path.trim_matches('/').split('/') {
        let segment = decode(raw)?;
        match segment.split_once("('") {
            Some((collection @ ("indexes" | "docs" | "aliases"), rest)) => {
                segments.push(collection.to_owned());
                segments.push(rest.strip_suffix("')")?.to_owned());
            }
            _ => match segment.split_once("('") {
                // The other collections are refused whatever their keys are.
                Some((collection, _)) => segments.push(collection.to_owned()),
                None => segments.push(segment),
            },
        }
    }
    Some(segments)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, path: &str) -> Result<Operation, NoOperation> {
        Operation::of(&method, path)
    }

    #[test]
    fn both_spellings_are_understood() {
        let n = || "my-index".to_owned();
        for (method, paths, operation) in [
            (Method::GET, vec!["/indexes", "/indexes/"], Operation::ListIndexes),
            (Method::PUT, vec!["/indexes('my-index')", "/indexes/my-index"], Operation::PutIndex(n())),
            (
                Method::POST,
                vec!["/indexes('my-index')/docs/search.index", "/indexes/my-index/docs/index"],
                Operation::IndexDocuments(n()),
            ),
            (
                Method::POST,
                vec!["/indexes('my-index')/docs/search.post.search", "/indexes/my-index/docs/search"],
                Operation::Search(n()),
            ),
            (
                Method::GET,
                vec!["/indexes(%27my-index%27)/docs", "/indexes/my-index/docs"],
                Operation::SearchByUrl(n()),
            ),
            (
                Method::GET,
                vec!["/indexes('my-index')/docs/$count", "/indexes/my-index/docs/%24count"],
                Operation::Count(n()),
            ),
            (
                Method::GET,
                vec!["/indexes('my-index')/docs('o%27brien%3D_-1')", "/indexes/my-index/docs/o'brien=_-1"],
                Operation::Lookup(n(), "o'brien=_-1".into()),
            ),
            (Method::GET, vec!["/indexes('my-index')/docs('a%2Fb')"], Operation::Lookup(n(), "a/b".into())),
            (Method::GET, vec!["/indexes('my-index')/docs/search"], Operation::Lookup(n(), "search".into())),
            (
                Method::GET,
                vec!["/indexes('my-index')/search.stats", "/indexes/my-index/stats"],
                Operation::IndexStatistics(n()),
            ),
            (Method::DELETE, vec!["/aliases('my-index')"], Operation::DeleteAlias(n())),
            (Method::POST, vec!["/knowledgebases('k')/retrieve"], Operation::NotEmulated("A knowledge base")),
        ] {
            for path in paths {
                assert_eq!(of(method.clone(), path), Ok(operation.clone()), "{path}");
            }
        }
    }

    #[test]
    fn the_rest_is_no_operation() {
        assert_eq!(of(Method::PATCH, "/indexes('a')"), Err(NoOperation::Method));
        assert_eq!(of(Method::PUT, "/indexes"), Err(NoOperation::Method));
        for path in
            ["/", "/nothing", "/indexes('a", "/indexes('a')/docs('b')/c", "/indexes/%ff", "/indexes/%2"]
        {
            assert_eq!(of(Method::GET, path), Err(NoOperation::Path), "{path}");
        }
    }

    #[test]
    fn the_query_key_is_for_reading_documents() {
        let reads = |method, path| of(method, path).unwrap().only_reads_documents();
        assert!(reads(Method::POST, "/indexes('a')/docs/search.post.search"));
        assert!(reads(Method::GET, "/indexes('a')/docs/$count"));
        assert!(reads(Method::POST, "/indexes('a')/docs/search.post.suggest"));
        assert!(!reads(Method::POST, "/indexes('a')/docs/search.index"));
        assert!(!reads(Method::GET, "/indexes('a')"));
        assert!(!reads(Method::GET, "/servicestats"));
    }
}
