//! Reads members of a JSON object by name and type, and finds those that nobody asked for.

use std::cell::RefCell;

use serde_json::{Map, Value};

/// A member of null counts as absent, as clients send their unset values so.
pub(super) struct Members<'a> {
    map: &'a Map<String, Value>,
    asked: RefCell<Vec<&'a str>>,
}

impl<'a> Members<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, asked: RefCell::default() }
    }

    pub(super) fn value(&self, name: &'a str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &'a str) -> Result<Option<&'a str>, String> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn flag(&self, name: &'a str) -> Result<Option<bool>, String> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(super) fn integer(&self, name: &'a str) -> Result<Option<i64>, String> {
        self.typed(name, "an integer", Value::as_i64)
    }

    pub(super) fn number(&self, name: &'a str) -> Result<Option<f64>, String> {
        self.typed(name, "a number", Value::as_f64)
    }

    pub(super) fn list(&self, name: &'a str) -> Result<&'a [Value], String> {
        Ok(self.typed(name, "an array", Value::as_array)?.map_or(&[], Vec::as_slice))
    }

    pub(super) fn object(&self, name: &'a str) -> Result<Option<&'a Map<String, Value>>, String> {
        self.typed(name, "an object", Value::as_object)
    }

    pub(super) fn objects(&self, name: &'a str) -> Result<Vec<&'a Map<String, Value>>, String> {
        self.list(name)?
            .iter()
            .map(|value| value.as_object().ok_or_else(|| format!("The items of '{name}' must be objects.")))
            .collect()
    }

    pub(super) fn texts(&self, name: &'a str) -> Result<Vec<&'a str>, String> {
        self.list(name)?
            .iter()
            .map(|value| value.as_str().ok_or_else(|| format!("The items of '{name}' must be strings.")))
            .collect()
    }

    fn typed<T>(
        &self,
        name: &'a str,
        wanted: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        self.value(name)
            .map(|value| convert(value).ok_or_else(|| format!("The value of '{name}' must be {wanted}.")))
            .transpose()
    }

    /// The first member with a value that was never asked for. Empty values of members that are
    /// unknown here ask for nothing.
    pub(super) fn unknown(&self) -> Option<&'a str> {
        let asked = self.asked.borrow();
        self.map
            .iter()
            .find(|(name, value)| !asked.contains(&name.as_str()) && !is_empty(value))
            .map(|(name, _)| name.as_str())
    }
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_strangers_found() {
        let value = serde_json::json!({"top": "5", "count": null, "extra": 1, "purview": null, "flags": []});
        let members = Members::new(value.as_object().unwrap());
        assert_eq!(members.integer("top").unwrap_err(), "The value of 'top' must be an integer.");
        assert_eq!(members.flag("count"), Ok(None));
        assert_eq!(members.list("absent"), Ok(&[][..]));
        assert_eq!(members.unknown(), Some("extra"));
    }
}
