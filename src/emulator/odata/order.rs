//! `$orderby`: a list of keys, each with its direction.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{SyntaxError, resolve::unknown_field};
use crate::emulator::definition::{Definition, Edm, FieldKind};

const MAX_KEYS: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) struct Order {
    pub(in crate::emulator) key: Key,
    pub(in crate::emulator) descending: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) enum Key {
    Score,
    Field(String, Edm),
}

impl Order {
    pub(in crate::emulator) fn parse(definition: &Definition, text: &str) -> Result<Vec<Self>, SyntaxError> {
        let keys: Vec<&str> = text.split(',').map(str::trim).collect();
        if keys.len() > MAX_KEYS {
            return Err(SyntaxError(format!("At most {MAX_KEYS} orderby clauses are allowed.")));
        }
        keys.into_iter().map(|key| Self::one(definition, key)).collect()
    }

    fn one(definition: &Definition, text: &str) -> Result<Self, SyntaxError> {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let descending = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => return Err(SyntaxError::at(text, text.len())),
        };
        if name == "search.score()" {
            return Ok(Self { key: Key::Score, descending });
        }
        if name.starts_with("geo.") {
            return Err(SyntaxError::not_emulated("geo.distance"));
        }
        let Some(field) = definition.field(name) else {
            return Err(if name.is_empty() { SyntaxError::at(text, 0) } else { unknown_field(name) });
        };
        match field.kind {
            FieldKind::One(edm) if field.sortable => {
                Ok(Self { key: Key::Field(field.name.clone(), edm), descending })
            }
            _ => Err(SyntaxError(format!(
                "'{name}' is not a sortable field. Only sortable fields can be used in orderby expressions."
            ))),
        }
    }

    /// Null comes first in ascending order.
    pub(in crate::emulator) fn compare<'d>(
        &self,
        a: (&'d Map<String, Value>, f32),
        b: (&'d Map<String, Value>, f32),
    ) -> Ordering {
        let ordering = match &self.key {
            Key::Score => a.1.total_cmp(&b.1),
            Key::Field(name, edm) => {
                let value = |document: &'d Map<String, Value>| document.get(name).unwrap_or(&Value::Null);
                compare(value(a.0), value(b.0), *edm)
            }
        };
        if self.descending { ordering.reverse() } else { ordering }
    }
}

fn compare(a: &Value, b: &Value, edm: Edm) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => edm.compare(a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::definition;

    fn definition() -> Definition {
        let body = serde_json::json!({"name": "ab", "fields": [
            {"name": "id", "type": "Edm.String", "key": true},
            {"name": "n", "type": "Edm.Double"},
            {"name": "at", "type": "Edm.DateTimeOffset"},
            {"name": "tags", "type": "Collection(Edm.String)"}
        ]});
        definition::read(body.as_object().unwrap()).unwrap()
    }

    #[test]
    fn keys_are_read_with_their_directions() {
        let orders = Order::parse(&definition(), "n desc, search.score() ,id asc").unwrap();
        let shape: Vec<(Key, bool)> = orders.into_iter().map(|order| (order.key, order.descending)).collect();
        assert_eq!(
            shape,
            [
                (Key::Field("n".into(), Edm::Double), true),
                (Key::Score, false),
                (Key::Field("id".into(), Edm::String), false)
            ]
        );
        for wrong in
            ["", "n up", "n desc desc", "tags", "nope", "n,,id", "geo.distance(a, b)", &"n,".repeat(32)]
        {
            assert!(Order::parse(&definition(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn null_is_first_ascending_and_dates_are_instants() {
        let document = |value: Value| value.as_object().unwrap().clone();
        let order = |text: &str| Order::parse(&definition(), text).unwrap().remove(0);
        let (none, one) = (document(serde_json::json!({})), document(serde_json::json!({"n": -1.5})));
        assert_eq!(order("n").compare((&none, 0.0), (&one, 0.0)), Ordering::Less);
        assert_eq!(order("n desc").compare((&none, 0.0), (&one, 0.0)), Ordering::Greater);
        let early = document(serde_json::json!({"at": "2026-01-01T00:00:00Z"}));
        let late = document(serde_json::json!({"at": "2026-01-01T00:00:00.5Z"}));
        assert_eq!(order("at").compare((&early, 0.0), (&late, 0.0)), Ordering::Less);
        assert_eq!(order("search.score() desc").compare((&one, 0.5), (&one, 0.25)), Ordering::Less);
    }
}
