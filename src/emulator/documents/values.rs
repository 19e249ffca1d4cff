//! Values of documents, checked against the types of their fields.

use serde_json::Value;

use super::super::{
    definition::{Edm, Field, FieldKind},
    instant,
};

/// A value that fits its field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Checked {
    /// Null and empty collections are kept as an absence.
    Absent,
    Value(Value),
    Vector(Vec<f32>),
}

/// Strings that are filtered, sorted or counted are terms, and Lucene bounds those.
const MAX_TERM_BYTES: usize = 32_766;

/// `Err` holds a code and a sentence; it fails the whole batch.
pub(super) fn check(field: &Field, value: &Value) -> Result<Checked, (&'static str, String)> {
    match (field.kind, value) {
        (_, Value::Null) => Ok(Checked::Absent),
        (FieldKind::Vector, Value::Array(numbers)) => vector(field, numbers),
        (FieldKind::Many(_), Value::Array(items)) if items.is_empty() => Ok(Checked::Absent),
        (FieldKind::Many(edm), Value::Array(items)) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|item| simple(field, edm, item)).collect();
            Ok(Checked::Value(Value::Array(items?)))
        }
        (FieldKind::One(edm), value) => simple(field, edm, value).map(Checked::Value),
        (kind, value) => Err(mismatch(field, &kind.name(), value)),
    }
}

/// Why one document is refused though its types fit.
pub(super) fn too_long(field: &Field, value: &Value) -> Option<String> {
    let long = match value {
        Value::String(text) => text.len() > MAX_TERM_BYTES,
        Value::Array(items) => {
            items.iter().any(|item| item.as_str().is_some_and(|text| text.len() > MAX_TERM_BYTES))
        }
        _ => false,
    };
    (long && (field.filterable || field.sortable || field.facetable)).then(|| {
        format!(
            "Field '{}' contains a term that is too large to process. The max length for UTF-8 encoded terms is \
             {MAX_TERM_BYTES} bytes. Make the field neither filterable, nor sortable, nor facetable to use longer values.",
            field.name
        )
    })
}

fn simple(field: &Field, edm: Edm, value: &Value) -> Result<Value, (&'static str, String)> {
    let fitting = match (edm, value) {
        (Edm::String, Value::String(_)) | (Edm::Boolean, Value::Bool(_)) => Some(value.clone()),
        (Edm::Int32, Value::Number(number)) => {
            number.as_i64().filter(|&number| i32::try_from(number).is_ok()).map(Value::from)
        }
        (Edm::Int64, Value::Number(number)) => number.as_i64().map(Value::from),
        (Edm::Double, Value::Number(number)) => number.as_f64().map(Value::from),
        (Edm::DateTimeOffset, Value::String(text)) => instant::normalized(text).map(Value::from),
        _ => None,
    };
    fitting.ok_or_else(|| mismatch(field, edm.name(), value))
}

fn vector(field: &Field, numbers: &[Value]) -> Result<Checked, (&'static str, String)> {
    let name = &field.name;
    let expected = field.dimensions.unwrap_or_default();
    if numbers.len() != expected {
        return Err((
            "InvalidVectorDimensions",
            format!(
                "There's a mismatch in vector dimensions. The vector field '{name}', with dimension of '{expected}', \
                 expects a length of '{expected}'. However, the provided vector has a length of '{}'. Please ensure \
                 that the vector length matches the expected length of the vector field. Read the following \
                 documentation for more details: \
                 https://learn.microsoft.com/en-us/azure/search/vector-search-how-to-configure-compression-storage.",
                numbers.len()
            ),
        ));
    }
    let numbers: Option<Vec<f32>> = numbers.iter().map(single).collect();
    numbers.map(Checked::Vector).ok_or_else(|| {
        ("InvalidVectorValue", format!("The vector field '{name}' takes finite numbers of 32 bits alone."))
    })
}

/// A number that is finite in 32 bits too.
pub(in crate::emulator) fn single(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32).filter(|number| number.is_finite())
}

fn mismatch(field: &Field, wanted: &str, value: &Value) -> (&'static str, String) {
    let literal: String = match value {
        Value::String(text) => text.chars().take(100).collect(),
        Value::Array(_) => "[…]".to_owned(),
        Value::Object(_) => "{…}".to_owned(),
        other => other.to_string(),
    };
    let name = &field.name;
    (
        "InvalidFieldValue",
        format!(
            "Cannot convert the literal '{literal}' to the expected type '{wanted}' of the field '{name}'."
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::emulator::definition;

    fn field(kind: &str) -> Field {
        let body = json!({
            "name": "ab",
            "fields": [
                {"name": "id", "type": "Edm.String", "key": true},
                if kind == "Collection(Edm.Single)" {
                    json!({"name": "f", "type": kind, "dimensions": 2, "vectorSearchProfile": "p"})
                } else {
                    json!({"name": "f", "type": kind})
                }
            ],
            "vectorSearch": {"profiles": [{"name": "p", "algorithm": "a"}], "algorithms": [{"name": "a", "kind": "hnsw"}]}
        });
        definition::read(body.as_object().unwrap()).unwrap().field("f").unwrap().clone()
    }

    #[test]
    fn values_that_fit_are_kept_and_dates_become_utc() {
        for (kind, given, kept) in [
            ("Edm.String", json!("x"), json!("x")),
            ("Edm.Int32", json!(-2_147_483_648), json!(-2_147_483_648)),
            ("Edm.Int64", json!(i64::MAX), json!(i64::MAX)),
            ("Edm.Double", json!(1), json!(1.0)),
            ("Edm.Boolean", json!(true), json!(true)),
            ("Edm.DateTimeOffset", json!("2026-11-20T10:00:00+01:00"), json!("2026-11-20T09:00:00Z")),
            ("Collection(Edm.Int32)", json!([1, 2]), json!([1, 2])),
        ] {
            assert_eq!(check(&field(kind), &given).unwrap(), Checked::Value(kept), "{kind}");
            assert_eq!(check(&field(kind), &Value::Null).unwrap(), Checked::Absent);
        }
        assert_eq!(check(&field("Collection(Edm.String)"), &json!([])).unwrap(), Checked::Absent);
        assert_eq!(
            check(&field("Collection(Edm.Single)"), &json!([1, 0.5])).unwrap(),
            Checked::Vector(vec![1.0, 0.5])
        );
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        for (kind, given) in [
            ("Edm.String", json!(5)),
            ("Edm.String", json!(["x"])),
            ("Edm.Int32", json!(2_147_483_648_i64)),
            ("Edm.Int32", json!(1.5)),
            ("Edm.Int32", json!("1")),
            ("Edm.Int64", json!(9_223_372_036_854_775_808_u64)),
            ("Edm.Boolean", json!("true")),
            ("Edm.DateTimeOffset", json!("2026-11-20")),
            ("Collection(Edm.String)", json!("x")),
            ("Collection(Edm.String)", json!([null])),
            ("Collection(Edm.Single)", json!([1.0])),
            ("Collection(Edm.Single)", json!([1.0, "2"])),
            ("Collection(Edm.Single)", json!([1.0, 1e39])),
            ("Collection(Edm.Single)", json!("x")),
        ] {
            assert!(check(&field(kind), &given).is_err(), "{kind}: {given}");
        }
    }
}
