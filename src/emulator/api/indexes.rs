//! Management of indexes, statistics and analysis of text.

use axum::http::StatusCode;

use super::{
    super::{
        definition::{self, Definition, analyzer_named, check_change},
        json::{Json, list, object},
        members::Members,
        refusal::Refusal,
        store::{Index, Store},
    },
    call::{Call, Reply},
};
use crate::retrieval::local::table::{View, analyze};

/// Quotas of a small plan, as recorded.
const MAX_INDEXES: usize = 15;
pub(super) const MAX_ALIASES: usize = 30;
const STORAGE: i64 = 16_106_127_360;
const VECTORS: i64 = 5_368_709_120;

pub(super) fn list_all(store: &Store, call: &Call) -> Result<Reply, Refusal> {
    let names_only = match call.parameter("$select").map(str::trim) {
        None | Some("" | "*") => false,
        Some("name") => true,
        Some(_) => return Err(Refusal::not_emulated("A list of indexes with other members than 'name'")),
    };
    let states = store.indexes().into_iter().map(|index| index.state());
    let value = list(states.map(|state| {
        if names_only {
            object([("name", state.definition.name.clone().into())])
        } else {
            Json::Object(definition::write(&state.definition, &state.etag))
        }
    }));
    let mut members = call.context(if names_only { "indexes(name)" } else { "indexes" });
    members.push(("value".to_owned(), value));
    Ok(Reply::json(StatusCode::OK, members))
}

pub(super) fn create(store: &Store, call: &Call) -> Result<Reply, Refusal> {
    let definition = definition::read(&call.object()?)?;
    let _alone = store.manage();
    if let Some(existing) = store.index(&definition.name) {
        call.check_conditions(Some(&existing.state().etag))?;
        return Err(Refusal::exists("index", &definition.name));
    }
    created(store, call, definition)
}

pub(super) fn put(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let definition = definition::read(&call.object()?)?;
    if definition.name != name {
        return Err(Refusal::definition(
            "InvalidName",
            format!("The name '{}' of the definition is not the one in the URL.", definition.name),
        ));
    }
    let _alone = store.manage();
    let Some(index) = store.index(name) else {
        call.check_conditions(None)?;
        return created(store, call, definition);
    };
    let state = index.state();
    call.check_conditions(Some(&state.etag))?;
    let rebuild = check_change(&state.definition, &definition)?;
    drop(state);
    store.update(&index, definition, rebuild)?;
    Ok(shown(call, StatusCode::OK, &index))
}

fn created(store: &Store, call: &Call, definition: Definition) -> Result<Reply, Refusal> {
    let name = definition.name.clone();
    if store.alias(&name).is_some() {
        return Err(Refusal::exists("index", &name));
    }
    if store.indexes().len() >= MAX_INDEXES {
        return Err(Refusal::not_allowed(
            "IndexQuotaExceeded",
            format!(
                "Index quota of {MAX_INDEXES} has been exceeded for this service. Delete an index first."
            ),
        ));
    }
    let index = store.create(definition)?;
    let mut reply = shown(call, StatusCode::CREATED, &index);
    reply.location = Some(format!("{}/indexes('{name}')?api-version={}", call.base(), call.version));
    Ok(reply)
}

pub(super) fn get(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let index = store.index(name).ok_or_else(|| Refusal::no_such("index", name))?;
    Ok(shown(call, StatusCode::OK, &index))
}

pub(super) fn delete(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let _alone = store.manage();
    let index = store.index(name).ok_or_else(|| Refusal::no_such("index", name))?;
    call.check_conditions(Some(&index.state().etag))?;
    if let Some(alias) =
        store.aliases().into_iter().find(|alias| alias.indexes.iter().any(|index| index == name))
    {
        return Err(Refusal::not_allowed(
            "IndexHasAlias",
            format!("Index '{name}' cannot be deleted because the alias '{}' stands for it.", alias.name),
        ));
    }
    drop(index);
    store.delete(name)?;
    Ok(Reply::nothing())
}

pub(super) fn statistics(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let index = store.index(name).ok_or_else(|| Refusal::no_such("index", name))?;
    let (state, view) = index.visible();
    let mut members = call.context(&call.type_name("IndexStatistics"));
    members.extend([
        ("documentCount".to_owned(), view.len().into()),
        ("storageSize".to_owned(), Json::Int(state.table.bytes_on_disk() as i64)),
        ("vectorIndexSize".to_owned(), Json::Int(vector_bytes(&state.definition, &view))),
    ]);
    Ok(Reply::json(StatusCode::OK, members))
}

pub(super) fn service_statistics(store: &Store, call: &Call) -> Reply {
    let indexes = store.indexes();
    let (mut documents, mut storage, mut vectors) = (0, 0, 0);
    for index in &indexes {
        let (state, view) = index.visible();
        documents += view.len() as i64;
        storage += state.table.bytes_on_disk() as i64;
        vectors += vector_bytes(&state.definition, &view);
    }
    let counter = |usage: i64, quota: Option<i64>| object([("usage", usage.into()), ("quota", quota.into())]);
    let none = |quota| counter(0, Some(quota));
    let most = MAX_INDEXES as i64;
    let counters = object([
        ("documentCount", counter(documents, None)),
        ("indexesCount", counter(indexes.len() as i64, Some(most))),
        ("indexersCount", none(most)),
        ("dataSourcesCount", none(most)),
        ("storageSize", counter(storage, Some(STORAGE))),
        ("synonymMaps", none(3)),
        ("skillsetCount", none(most)),
        ("aliasesCount", counter(store.aliases().len() as i64, Some(MAX_ALIASES as i64))),
        ("vectorIndexSize", counter(vectors, Some(VECTORS))),
    ]);
    let limits = object([
        ("maxStoragePerIndex", STORAGE.into()),
        ("maxFieldsPerIndex", Json::Int(1_000)),
        ("maxFieldNestingDepthPerIndex", Json::Int(10)),
        ("maxComplexCollectionFieldsPerIndex", Json::Int(40)),
        ("maxComplexObjectsInCollectionsPerDocument", Json::Int(3_000)),
        ("maxCumulativeIndexerRuntimeSeconds", Json::Null),
    ]);
    let mut members = call.context(&call.type_name("ServiceStatistics"));
    members.extend([("counters".to_owned(), counters), ("limits".to_owned(), limits)]);
    Reply::json(StatusCode::OK, members)
}

pub(super) fn analyze_text(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    store.index(name).ok_or_else(|| Refusal::no_such("index", name))?;
    let body = call.object()?;
    let members = Members::new(&body);
    let text = members.text("text").map_err(Refusal::parameters)?;
    let text = text.ok_or_else(|| Refusal::parameters("The member 'text' is missing."))?;
    let analyzer = members.text("analyzer").map_err(Refusal::parameters)?;
    for other in ["tokenizer", "normalizer", "tokenFilters", "charFilters"] {
        if members.value(other).is_some_and(|value| !super::super::members::is_empty(value)) {
            return Err(Refusal::not_emulated(format!("Analysis with '{other}'")));
        }
    }
    let Some(analyzer) = analyzer else {
        return Err(Refusal::parameters("The member 'analyzer' is missing."));
    };
    let Some(cutter) = analyzer_named(analyzer) else {
        return Err(Refusal::not_emulated(format!(
            "The analyzer '{}'",
            analyzer.chars().take(100).collect::<String>()
        )));
    };
    // The service is a .NET program and counts UTF-16 units.
    let place = |byte: usize| text.get(..byte).map_or(0, |head| head.encode_utf16().count());
    let tokens = analyze(cutter, text).into_iter().map(|token| {
        object([
            ("token", token.text.into()),
            ("startOffset", place(token.start).into()),
            ("endOffset", place(token.end).into()),
            ("position", token.position.into()),
        ])
    });
    let mut members = call.context(&call.type_name("AnalyzeResult"));
    members.push(("tokens".to_owned(), list(tokens)));
    Ok(Reply::json(StatusCode::OK, members))
}

fn shown(call: &Call, status: StatusCode, index: &Index) -> Reply {
    let state = index.state();
    let mut members = call.context("indexes/$entity");
    members.extend(definition::write(&state.definition, &state.etag));
    Reply { etag: Some(state.etag.clone()), ..Reply::json(status, members) }
}

/// Vectors as 32-bit floats, without what an approximate index would add.
fn vector_bytes(definition: &Definition, view: &View) -> i64 {
    let fields = definition.vector_fields().enumerate();
    let bytes = fields.map(|(number, field)| {
        let present = (0..view.len()).filter(|&doc| view.vector(doc, number).is_some()).count();
        present * field.dimensions.unwrap_or_default() * size_of::<f32>()
    });
    bytes.sum::<usize>() as i64
}
