//! Management of aliases: second names that document and query calls take for an index's.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{
    super::{
        json::{Json, list},
        members::Members,
        names,
        refusal::Refusal,
        store::{Alias, Store},
    },
    call::{Call, Reply},
    indexes::MAX_ALIASES,
};

pub(super) fn list_all(store: &Store, call: &Call) -> Reply {
    let mut members = call.context("aliases");
    let aliases = store.aliases();
    members.push(("value".to_owned(), list(aliases.iter().map(|alias| Json::Object(write(alias))))));
    Reply::json(StatusCode::OK, members)
}

pub(super) fn create(store: &Store, call: &Call) -> Result<Reply, Refusal> {
    let (name, indexes) = read(&call.object()?)?;
    let _alone = store.manage();
    if store.alias(&name).is_some() {
        return Err(Refusal::exists("alias", &name));
    }
    set(store, call, &name, indexes)
}

pub(super) fn put(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let (given, indexes) = read(&call.object()?)?;
    if given != name {
        return Err(wrong(format!("The name '{given}' of the alias is not the one in the URL.")));
    }
    let _alone = store.manage();
    call.check_conditions(store.alias(name).as_ref().map(|alias| alias.etag.as_str()))?;
    set(store, call, name, indexes)
}

pub(super) fn get(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let alias = store.alias(name).ok_or_else(|| Refusal::no_such("alias", name))?;
    Ok(shown(call, StatusCode::OK, &alias))
}

pub(super) fn delete(store: &Store, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let _alone = store.manage();
    let alias = store.alias(name).ok_or_else(|| Refusal::no_such("alias", name))?;
    call.check_conditions(Some(&alias.etag))?;
    store.set_alias(name, None)?;
    Ok(Reply::nothing())
}

fn set(store: &Store, call: &Call, name: &str, indexes: Vec<String>) -> Result<Reply, Refusal> {
    if store.index(name).is_some() {
        return Err(wrong(format!("The name '{name}' is that of an index.")));
    }
    if let Some(missing) = indexes.iter().find(|index| store.index(index).is_none()) {
        return Err(wrong(format!("The index '{missing}' does not exist.")));
    }
    let status = match store.alias(name) {
        Some(_) => StatusCode::OK,
        None if store.aliases().len() >= MAX_ALIASES => {
            let message = format!("Alias quota of {MAX_ALIASES} has been exceeded for this service.");
            return Err(Refusal::not_allowed("AliasQuotaExceeded", message));
        }
        None => StatusCode::CREATED,
    };
    let alias = store.set_alias(name, Some(indexes))?.ok_or_else(|| Refusal::no_such("alias", name))?;
    let mut reply = shown(call, status, &alias);
    if status == StatusCode::CREATED {
        reply.location = Some(format!("{}/aliases('{name}')?api-version={}", call.base(), call.version));
    }
    Ok(reply)
}

fn read(body: &Map<String, Value>) -> Result<(String, Vec<String>), Refusal> {
    let members = Members::new(body);
    for ignored in ["@odata.context", "@odata.etag"] {
        members.value(ignored);
    }
    let name = members.text("name").map_err(wrong)?.unwrap_or_default();
    names::check_index(name).map_err(wrong)?;
    let indexes = members.texts("indexes").map_err(wrong)?;
    if indexes.len() != 1 {
        return Err(wrong("An alias must have exactly one index.".to_owned()));
    }
    if let Some(member) = members.unknown() {
        return Err(wrong(format!("The property '{member}' of the alias is unknown.")));
    }
    Ok((name.to_owned(), indexes.into_iter().map(str::to_owned).collect()))
}

fn shown(call: &Call, status: StatusCode, alias: &Alias) -> Reply {
    let mut members = call.context("aliases/$entity");
    members.extend(write(alias));
    Reply { etag: Some(alias.etag.clone()), ..Reply::json(status, members) }
}

fn write(alias: &Alias) -> Vec<(String, Json)> {
    vec![
        ("@odata.etag".to_owned(), alias.etag.clone().into()),
        ("name".to_owned(), alias.name.clone().into()),
        ("indexes".to_owned(), list(alias.indexes.iter().map(|index| index.clone().into()))),
    ]
}

fn wrong(message: String) -> Refusal {
    Refusal::definition("InvalidAlias", message)
}
