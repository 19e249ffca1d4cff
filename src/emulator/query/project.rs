//! The fields of a document that an answer shows.

use serde_json::Value;

use super::super::{
    definition::{Definition, FieldKind},
    json::{Json, list},
    refusal::Refusal,
};
use crate::retrieval::local::table::View;

/// Numbers of fields, in the order of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) struct Selection(Vec<usize>);

impl Selection {
    /// From a comma-separated list; empty and `*` stand for all retrievable fields.
    pub(in crate::emulator) fn read(definition: &Definition, list: &str) -> Result<Self, Refusal> {
        let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let all = names.is_empty() || names.contains(&"*");
        let wrong = |message: String| Err(Refusal::expression("$select", message));
        for name in names.iter().filter(|name| **name != "*") {
            let name: String = name.chars().take(200).collect();
            match definition.field(&name) {
                None => {
                    return wrong(format!(
                        "Could not find a property named '{name}' on type 'search.document'."
                    ));
                }
                Some(field) if !field.retrievable => {
                    return wrong(format!(
                        "'{name}' is not a retrievable field. Only fields marked as retrievable in the index can be \
                         used in $select."
                    ));
                }
                Some(_) => {}
            }
        }
        let fields = definition.fields.iter().enumerate();
        let shown = fields.filter(
            |(_, field)| {
                if all { field.retrievable } else { names.contains(&field.name.as_str()) }
            },
        );
        Ok(Self(shown.map(|(number, _)| number).collect()))
    }
}

/// Null where a document has no value, an empty list where it has no items.
pub(in crate::emulator) fn project(
    definition: &Definition,
    view: &View,
    doc: usize,
    Selection(fields): &Selection,
) -> Vec<(String, Json)> {
    let document = view.document(doc);
    let shown = fields.iter().filter_map(|&number| definition.fields.get(number));
    shown
        .map(|field| {
            let value = match field.kind {
                FieldKind::Vector => {
                    let number = definition.vector_fields().position(|other| other.name == field.name);
                    let vector = number.and_then(|number| view.vector(doc, number));
                    vector.map(|vector| list(vector.iter().map(|&number| Json::Single(number)))).into()
                }
                kind => match (document.get(&field.name), kind) {
                    (Some(value), _) => value.clone().into(),
                    (None, FieldKind::Many(_)) => Value::Array(Vec::new()).into(),
                    (None, _) => Json::Null,
                },
            };
            (field.name.clone(), value)
        })
        .collect()
}
