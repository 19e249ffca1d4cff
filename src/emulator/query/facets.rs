//! Counts of the values of a field over everything found.

use std::collections::HashMap;

use serde_json::Value;

use super::super::{
    definition::{Definition, Edm, FieldKind},
    instant,
    json::{Json, list, object},
    refusal::Refusal,
};
use crate::retrieval::local::table::View;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facet {
    pub(super) field: String,
    edm: Edm,
    /// 0 stands for all.
    count: usize,
    sort: Sort,
    /// Borders of ranges; none: each value counts for itself.
    borders: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Count { ascending: bool },
    Value { descending: bool },
}

const DEFAULT_COUNT: usize = 10;

impl Facet {
    pub(super) fn read_all(definition: &Definition, texts: &[&str]) -> Result<Vec<Self>, Refusal> {
        texts.iter().map(|text| Self::read(definition, text)).collect()
    }

    fn read(definition: &Definition, text: &str) -> Result<Self, Refusal> {
        let wrong = |message: String| Refusal::expression("facet", message);
        let mut parts = text.split(',').map(str::trim);
        let name: String = parts.next().unwrap_or_default().chars().take(200).collect();
        let Some(field) = definition.field(&name) else {
            return Err(wrong(format!(
                "Could not find a property named '{name}' on type 'search.document'."
            )));
        };
        let (FieldKind::One(edm) | FieldKind::Many(edm)) = field.kind else {
            return Err(wrong(format!("'{name}' is a vector field and cannot be used as a facet.")));
        };
        if !field.facetable {
            return Err(wrong(format!(
                "'{name}' is not a facetable field. Only facetable fields can be used in facets."
            )));
        }
        let sort = Sort::Count { ascending: false };
        let mut facet = Self { field: name, edm, count: DEFAULT_COUNT, sort, borders: Vec::new() };
        for part in parts {
            match part.split_once(':') {
                Some(("count", number)) => {
                    facet.count = number.trim().parse().map_err(|_| {
                        wrong("The facet parameter 'count' must be a non-negative integer.".to_owned())
                    })?;
                }
                Some(("sort", order)) => {
                    facet.sort = match order.trim() {
                        "count" => Sort::Count { ascending: false },
                        "-count" => Sort::Count { ascending: true },
                        "value" => Sort::Value { descending: false },
                        "-value" => Sort::Value { descending: true },
                        _ => return Err(wrong("The facet parameter 'sort' must be count, -count, value or -value.".to_owned())),
                    };
                }
                Some(("values", values)) => facet.borders = borders(edm, values).ok_or_else(|| {
                    wrong("The facet parameter 'values' must list ascending numbers or dates, separated by '|'.".to_owned())
                })?,
                Some((other @ ("interval" | "timeoffset" | "metric"), _)) => {
                    return Err(Refusal::not_emulated(format!("The facet parameter '{other}'")));
                }
                _ => return Err(wrong("A facet is a field with count:, sort: or values:.".to_owned())),
            }
        }
        Ok(facet)
    }

    pub(super) fn count(&self, view: &View, docs: impl Iterator<Item = usize>) -> Json {
        let values = docs.filter_map(|doc| view.document(doc).get(&self.field));
        if self.borders.is_empty() { self.by_value(values) } else { self.by_range(values) }
    }

    fn by_value<'a>(&self, values: impl Iterator<Item = &'a Value>) -> Json {
        let mut counts: HashMap<String, (Value, i64)> = HashMap::new();
        let mut add = |value: &Value| {
            counts.entry(value.to_string()).or_insert_with(|| (value.clone(), 0)).1 += 1;
        };
        for value in values {
            match value {
                Value::Array(items) => {
                    // A document counts once for a value, however often it holds it.
                    for (at, item) in items.iter().enumerate() {
                        if !items[..at].contains(item) {
                            add(item);
                        }
                    }
                }
                one => add(one),
            }
        }
        let mut counts: Vec<(Value, i64)> = counts.into_values().collect();
        counts.sort_by(|a, b| {
            let by_value = self.edm.compare(&a.0, &b.0);
            match self.sort {
                Sort::Count { ascending: true } => a.1.cmp(&b.1).then(by_value),
                Sort::Count { ascending: false } => b.1.cmp(&a.1).then(by_value),
                Sort::Value { descending: false } => by_value,
                Sort::Value { descending: true } => by_value.reverse(),
            }
        });
        if self.count > 0 {
            counts.truncate(self.count);
        }
        list(
            counts
                .into_iter()
                .map(|(value, count)| object([("count", count.into()), ("value", value.into())])),
        )
    }

    fn by_range<'a>(&self, values: impl Iterator<Item = &'a Value>) -> Json {
        let mut counts = vec![0_i64; self.borders.len() + 1];
        let place =
            |value: &Value| self.borders.partition_point(|border| self.edm.compare(border, value).is_le());
        for value in values {
            match value {
                Value::Array(items) => {
                    let mut places: Vec<usize> = items.iter().map(place).collect();
                    places.sort_unstable();
                    places.dedup();
                    places.into_iter().for_each(|place| counts[place] += 1);
                }
                one => counts[place(one)] += 1,
            }
        }
        list(counts.into_iter().enumerate().map(|(at, count)| {
            let mut bucket = vec![("count".to_owned(), Json::from(count))];
            if let Some(from) = at.checked_sub(1).and_then(|before| self.borders.get(before)) {
                bucket.push(("from".to_owned(), from.clone().into()));
            }
            if let Some(to) = self.borders.get(at) {
                bucket.push(("to".to_owned(), to.clone().into()));
            }
            Json::Object(bucket)
        }))
    }
}

fn borders(edm: Edm, text: &str) -> Option<Vec<Value>> {
    let border = |text: &str| match edm {
        Edm::Int32 | Edm::Int64 => text.parse::<i64>().ok().map(Value::from),
        Edm::Double => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Edm::DateTimeOffset => instant::normalized(text).map(Value::from),
        Edm::String | Edm::Boolean => None,
    };
    let borders: Vec<Value> = text.split('|').map(|text| border(text.trim())).collect::<Option<_>>()?;
    borders.windows(2).all(|pair| edm.compare(&pair[0], &pair[1]).is_lt()).then_some(borders)
}
