//! Documents: indexing, lookup, count and search.

use std::sync::Arc;

use axum::http::StatusCode;

use super::{
    super::{
        documents::{self, Item},
        json::{Json, list, object},
        query::{Page, SearchRequest, Selection, from_url, page, project},
        refusal::Refusal,
        store::{Index, Store},
    },
    call::{Call, Reply},
};

/// `failing`: the status of every second item, the first among them.
pub(super) fn index(store: &Store, call: &Call, name: &str, failing: Option<u16>) -> Result<Reply, Refusal> {
    let index = find(store, name)?;
    let any_key = call.parameter("allowUnsafeKeys").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let actions = documents::read(&index.state().definition, &call.body, any_key)?;
    let items = index.write(store.visibility_delay(), |state| {
        // The definition may have changed since the batch was read, but only by more fields.
        let vectors = state.definition.vector_fields().count();
        let mut failed = Vec::new();
        let mut taken = Vec::with_capacity(actions.len());
        for (position, action) in actions.into_iter().enumerate() {
            match failing {
                Some(status) if position % 2 == 0 => {
                    failed.push((position, Item::failed(action.key, status, "A fault that was asked for.")));
                }
                _ => taken.push(action),
            }
        }
        let (mut items, changes) = documents::apply(&state.table.view(), vectors, taken);
        if !changes.is_empty() {
            state.table.apply(changes)?;
        }
        for (position, item) in failed {
            items.insert(position, item);
        }
        Ok::<_, Refusal>(items)
    })?;
    let all_done = items.iter().all(|item| item.error.is_none());
    let status = if all_done { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    let mut members = call.context(&format!("Collection({})", call.type_name("IndexResult")));
    members.push(("value".to_owned(), list(items.into_iter().map(write_item))));
    Ok(Reply::json(status, members))
}

pub(super) fn count(store: &Store, name: &str) -> Result<Reply, Refusal> {
    let (_, view) = find(store, name)?.visible();
    Ok(Reply::text(view.len().to_string()))
}

pub(super) fn lookup(store: &Store, call: &Call, name: &str, key: &str) -> Result<Reply, Refusal> {
    let (state, view) = find(store, name)?.visible();
    let selection = Selection::read(&state.definition, call.parameter("$select").unwrap_or_default())?;
    let doc = view.find(key).ok_or_else(Refusal::document_not_found)?;
    let mut members = call.context(&format!("docs/{}/$entity", call.type_name("Document")));
    members.extend(project(&state.definition, &view, doc, &selection));
    Ok(Reply::json(StatusCode::OK, members))
}

/// `by_url`: a search by GET, whose next page is a link that holds everything.
pub(super) fn search(store: &Store, call: &Call, name: &str, by_url: bool) -> Result<Reply, Refusal> {
    let (state, view) = find(store, name)?.visible();
    let body = if by_url { from_url(&call.query)? } else { call.object()? };
    let request = SearchRequest::read(&state.definition, &body)?;
    let Page { head, next, value } = page(&state.definition, &view, &request, &body)?;
    let mut members = call.context("docs(*)");
    members.extend(head);
    let mut link = None;
    if let Some(next) = next {
        link = Some(next_link(call, &next, by_url));
        if !by_url {
            members.push(("@search.nextPageParameters".to_owned(), Json::Value(next.into())));
        }
    }
    members.push(("value".to_owned(), value));
    members.extend(link.map(|link| ("@odata.nextLink".to_owned(), link.into())));
    Ok(Reply::json(StatusCode::OK, members))
}

fn next_link(call: &Call, next: &serde_json::Map<String, serde_json::Value>, by_url: bool) -> String {
    let mut link = format!("{}{}?api-version={}", call.base(), call.path, encode(&call.version));
    if by_url {
        let moved = ["skip", "top"];
        let kept = call
            .query
            .iter()
            .filter(|(name, _)| name != "api-version" && !moved.contains(&name.trim_start_matches('$')));
        for (name, value) in kept {
            link.push_str(&format!("&{}={}", encode(name), encode(value)));
        }
        for name in moved {
            if let Some(value) = next.get(name) {
                link.push_str(&format!("&${name}={value}"));
            }
        }
    }
    link
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'$') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn find(store: &Store, name: &str) -> Result<Arc<Index>, Refusal> {
    store.index_or_alias(name).ok_or_else(|| Refusal::index_not_found(name))
}

fn write_item(item: Item) -> Json {
    object([
        ("key", item.key.into()),
        ("status", item.error.is_none().into()),
        ("errorMessage", item.error.into()),
        ("statusCode", Json::Int(item.status.into())),
    ])
}
