//! What is asked for, checked against the index.

use serde_json::{Map, Value};

use super::{
    super::{
        definition::Definition,
        members::Members,
        odata::{Filter, Order, Resolver},
        refusal::Refusal,
        simple_query::{self, Mode, Scope},
    },
    facets::Facet,
    highlight::Highlight,
    project::Selection,
    vectors::{self, VectorQuery},
};
use crate::retrieval::local::table::TextQuery;

const MAX_SKIP: i64 = 100_000;
/// A semantic query must be given more than these milliseconds.
const SEMANTIC_WAIT: i64 = 750;

#[derive(Debug)]
pub(in crate::emulator) struct SearchRequest {
    /// `None` where vectors alone are asked for.
    pub(super) text: Option<TextQuery>,
    pub(super) vectors: Vec<VectorQuery>,
    /// Whether vectors are ranked before the filter is applied.
    pub(super) post_filter: bool,
    pub(super) filter: Option<Filter>,
    pub(super) order: Vec<Order>,
    pub(super) selection: Selection,
    pub(super) top: Option<usize>,
    pub(super) skip: usize,
    pub(super) count: bool,
    pub(super) coverage: bool,
    pub(super) facets: Vec<Facet>,
    pub(super) highlight: Option<Highlight>,
    pub(super) debug_vectors: bool,
}

impl SearchRequest {
    pub(in crate::emulator) fn read(
        definition: &Definition,
        body: &Map<String, Value>,
    ) -> Result<Self, Refusal> {
        let members = Members::new(body);
        refuse_other_kinds(&members)?;
        let text = |name| members.text(name).map_err(Refusal::parameters);
        let vectors = vectors::read(definition, &members)?;
        let search = text("search")?.unwrap_or_default();
        let scope = Scope::named(definition, text("searchFields")?.unwrap_or_default())
            .map_err(|message| Refusal::expression("searchFields", message))?;
        let mode = match text("searchMode")? {
            None | Some("any") => Mode::Any,
            Some("all") => Mode::All,
            Some(_) => return Err(Refusal::parameters("The value of 'searchMode' must be any or all.")),
        };
        let query = simple_query::parse(search, mode, &scope)
            .map_err(|message| Refusal::parameter("search", "InvalidSearchSyntax", &message))?;
        let filter = text("filter")?.filter(|filter| !filter.trim().is_empty());
        let filter = filter.map(|filter| Resolver::filter(definition, filter)).transpose();
        let order = text("orderby")?.filter(|order| !order.trim().is_empty());
        let order = order.map(|order| Order::parse(definition, order)).transpose();
        let request = Self {
            text: (vectors.is_empty() || !search.trim().is_empty()).then_some(query),
            post_filter: match text("vectorFilterMode")? {
                None | Some("preFilter") => false,
                // There is one shard, whose best are the best of all.
                Some("postFilter" | "strictPostFilter") => true,
                Some(_) => {
                    let names = "preFilter, postFilter or strictPostFilter";
                    return Err(Refusal::parameters(format!(
                        "The value of 'vectorFilterMode' must be {names}."
                    )));
                }
            },
            vectors,
            filter: filter.map_err(|error| error.into_refusal("$filter"))?,
            order: order.map_err(|error| error.into_refusal("$orderby"))?.unwrap_or_default(),
            selection: Selection::read(definition, text("select")?.unwrap_or_default())?,
            top: whole(&members, "top", i64::from(i32::MAX))?,
            skip: whole(&members, "skip", MAX_SKIP)?.unwrap_or(0),
            count: members.flag("count").map_err(Refusal::parameters)?.unwrap_or(false),
            coverage: match members.number("minimumCoverage").map_err(Refusal::parameters)? {
                None => false,
                Some(percent) if (0.0..=100.0).contains(&percent) => true,
                Some(_) => return Err(out_of_range("minimumCoverage", "from 0 to 100")),
            },
            facets: Facet::read_all(definition, &members.texts("facets").map_err(Refusal::parameters)?)?,
            highlight: Highlight::read(definition, &members)?,
            debug_vectors: debug(text("debug")?.unwrap_or_default())?,
        };
        match members.unknown() {
            Some(name) => Err(unknown(name)),
            None => Ok(request),
        }
    }
}

/// Kinds of search that are not done here, and values that say nothing about the result.
fn refuse_other_kinds(members: &Members<'_>) -> Result<(), Refusal> {
    let text = |name| members.text(name).map_err(Refusal::parameters);
    let wait = members.integer("semanticMaxWaitInMilliseconds").map_err(Refusal::parameters)?;
    if wait.is_some_and(|wait| wait <= SEMANTIC_WAIT) {
        let name = "semanticMaxWaitInMilliseconds";
        let message = format!("The '{name}' parameter needs to be larger than {SEMANTIC_WAIT}.");
        return Err(Refusal::parameter(name, "ParameterValueOutOfRange", &message));
    }
    match text("queryType")? {
        None | Some("simple") => {}
        Some("full") => return Err(Refusal::not_emulated("The query type 'full'")),
        Some("semantic") => return Err(Refusal::not_emulated("The query type 'semantic'")),
        Some(_) => {
            return Err(Refusal::parameters("The value of 'queryType' must be simple, full or semantic."));
        }
    }
    for name in ["answers", "captions"] {
        if text(name)?.is_some_and(|value| value != "none") {
            return Err(Refusal::not_emulated(format!("The semantic parameter '{name}'")));
        }
    }
    for name in
        ["semanticConfiguration", "semanticQuery", "semanticErrorHandling", "semanticMaxWaitInMilliseconds"]
    {
        if members.value(name).is_some() {
            return Err(Refusal::not_emulated(format!("The semantic parameter '{name}'")));
        }
    }
    if members.value("scoringProfile").is_some() {
        return Err(Refusal::not_emulated("A scoring profile"));
    }
    if !members.list("scoringParameters").map_err(Refusal::parameters)?.is_empty() {
        return Err(Refusal::not_emulated("The parameter 'scoringParameters'"));
    }
    if text("sessionId")?.is_some_and(|id| id.starts_with('_')) {
        return Err(Refusal::parameters("The value of 'sessionId' cannot start with an underscore."));
    }
    // There is one shard, whose statistics are those of the whole.
    match text("scoringStatistics")? {
        None | Some("local" | "global") => Ok(()),
        Some(_) => Err(Refusal::parameters("The value of 'scoringStatistics' must be local or global.")),
    }
}

fn debug(text: &str) -> Result<bool, Refusal> {
    let mut vectors = false;
    for word in text.split('|').map(str::trim) {
        match word {
            "" | "disabled" => {}
            "vector" | "all" => vectors = true,
            "semantic" | "queryRewrites" | "innerHits" => {
                return Err(Refusal::not_emulated(format!("The debug mode '{word}'")));
            }
            _ => return Err(Refusal::parameters("The value of 'debug' is unknown.")),
        }
    }
    Ok(vectors)
}

fn whole<'a>(members: &Members<'a>, name: &'a str, most: i64) -> Result<Option<usize>, Refusal> {
    match members.integer(name).map_err(Refusal::parameters)? {
        None => Ok(None),
        Some(value) if (0..=most).contains(&value) => Ok(usize::try_from(value).ok()),
        Some(_) => Err(out_of_range(&format!("${name}"), &format!("from 0 to {most}"))),
    }
}

fn out_of_range(name: &str, range: &str) -> Refusal {
    let message = format!("Value must be {range}.");
    Refusal::parameter(name, "ParameterValueOutOfRange", &message)
}

fn unknown(name: &str) -> Refusal {
    let preview = ["queryLanguage", "speller", "queryRewrites", "semanticFields", "hybridSearch"];
    if preview.contains(&name) {
        return Refusal::not_emulated(format!("The preview parameter '{name}'"));
    }
    let name: String = name.chars().take(200).collect();
    Refusal::parameters(format!("The property '{name}' does not exist on a search request."))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
