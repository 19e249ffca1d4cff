//! The body of an indexing request: all actions are checked before any is done.

use serde_json::{Map, Value};

use super::{
    super::{definition::Definition, names, refusal::Refusal},
    values::{Checked, check, too_long},
};

const MAX_ACTIONS: usize = 1_000;
const ACTION: &str = "@search.action";

/// One action whose types fit the index.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) struct Action {
    pub(in crate::emulator) kind: Kind,
    pub(in crate::emulator) key: String,
    /// `None` clears.
    pub(super) values: Vec<(String, Option<Value>)>,
    /// By the number of the vector field; `None` clears.
    pub(super) vectors: Vec<(usize, Option<Vec<f32>>)>,
    /// Why this one document is refused, the others being taken.
    pub(super) problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Kind {
    Upload,
    Merge,
    MergeOrUpload,
    Delete,
}

/// A part of a batch that makes the whole batch invalid, or nothing.
type Checks<T> = Result<T, (&'static str, String)>;

pub(in crate::emulator) fn read(
    definition: &Definition,
    body: &[u8],
    any_key: bool,
) -> Result<Vec<Action>, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::parameters(format!("The body is not JSON: {error}.")))?;
    let Some(actions) = body.get("value").and_then(Value::as_array) else {
        return Err(Refusal::parameters("The body must be an object with an array 'value'."));
    };
    if !(1..=MAX_ACTIONS).contains(&actions.len()) {
        return Err(Refusal::actions(&[(
            "InvalidBatchSize",
            format!("The items collection must have from 1 to {MAX_ACTIONS} valid items to be indexed."),
        )]));
    }
    let mut good = Vec::with_capacity(actions.len());
    let mut bad = Vec::new();
    for (position, action) in actions.iter().enumerate() {
        match read_one(definition, action, any_key) {
            Ok(action) => good.push(action),
            Err((code, message)) => bad.push((code, format!("{position}: {message}"))),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(Refusal::actions(&bad)) }
}

fn read_one(definition: &Definition, action: &Value, any_key: bool) -> Checks<Action> {
    let Value::Object(members) = action else {
        return Err(("InvalidDocument", "The action must be a JSON object.".to_owned()));
    };
    let kind = match members.get(ACTION) {
        None | Some(Value::Null) => Kind::Upload,
        Some(Value::String(name)) => match name.as_str() {
            "upload" => Kind::Upload,
            "merge" => Kind::Merge,
            "mergeOrUpload" => Kind::MergeOrUpload,
            "delete" => Kind::Delete,
            _ => return Err(unknown_action()),
        },
        Some(_) => return Err(unknown_action()),
    };
    let key = key(definition.key(), members, any_key)?;
    let mut action = Action { kind, key, values: Vec::new(), vectors: Vec::new(), problem: None };
    if kind != Kind::Delete {
        for (name, value) in members {
            action.member(definition, name, value)?;
        }
    }
    Ok(action)
}

impl Action {
    fn member(&mut self, definition: &Definition, name: &str, value: &Value) -> Checks<()> {
        // Annotations are not part of the document; hits that are sent back carry some.
        if name.starts_with('@') {
            return Ok(());
        }
        let Some(field) = definition.field(name) else {
            let name: String = name.chars().take(200).collect();
            return Err((
                "UnknownField",
                format!(
                    "The property '{name}' does not exist on type 'search.documentFields'. Make sure to only use \
                     property names that are defined by the type."
                ),
            ));
        };
        match check(field, value)? {
            Checked::Vector(vector) => {
                self.vectors.extend(vector_number(definition, name).map(|n| (n, Some(vector))))
            }
            Checked::Absent => match vector_number(definition, name) {
                Some(number) => self.vectors.push((number, None)),
                None => self.values.push((name.to_owned(), None)),
            },
            Checked::Value(value) => {
                self.problem = self.problem.take().or_else(|| too_long(field, &value));
                self.values.push((name.to_owned(), Some(value)));
            }
        }
        Ok(())
    }
}

fn vector_number(definition: &Definition, name: &str) -> Option<usize> {
    definition.vector_fields().position(|field| field.name == name)
}

fn key(field: &str, members: &Map<String, Value>, any_key: bool) -> Checks<String> {
    let key = match members.get(field) {
        Some(Value::String(key)) if !key.is_empty() => key,
        None | Some(Value::Null | Value::String(_)) => {
            return Err(("MissingKeyField", "Document key cannot be missing or empty.".to_owned()));
        }
        Some(_) => return Err(("InvalidDocumentKey", "A document key must be a string.".to_owned())),
    };
    names::check_key(key, any_key).map_err(|message| ("InvalidDocumentKey", message))?;
    Ok(key.clone())
}

fn unknown_action() -> (&'static str, String) {
    let message = "The member '@search.action' must be upload, merge, mergeOrUpload or delete.";
    ("InvalidAction", message.to_owned())
}
