//! Whether a document passes a filter.

use std::{cmp::Ordering, collections::HashSet};

use serde_json::{Map, Value};

use super::{lexer::Literal, parser::Operator};
use crate::emulator::instant;

/// A filter whose fields exist and whose types fit.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) enum Predicate {
    Always(bool),
    Any(Vec<Predicate>),
    All(Vec<Predicate>),
    Not(Box<Predicate>),
    Compare {
        subject: Subject,
        operator: Operator,
        literal: Literal,
    },
    In {
        subject: Subject,
        values: HashSet<String>,
    },
    /// Over the items of a collection; without a body: whether there are any.
    Items {
        field: String,
        every: bool,
        body: Option<Box<Predicate>>,
    },
    /// The result of a text query, by its number.
    Matches(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) enum Subject {
    Field(String),
    /// The range variable of a lambda.
    Item,
}

/// What a predicate is asked about.
pub(in crate::emulator) struct Candidate<'a> {
    pub(in crate::emulator) document: &'a Map<String, Value>,
    pub(in crate::emulator) number: usize,
    /// For each text query of the filter, which documents it matches.
    pub(in crate::emulator) matches: &'a [Vec<bool>],
}

impl Predicate {
    pub(in crate::emulator) fn holds(&self, candidate: &Candidate<'_>) -> bool {
        self.holds_for(candidate, &Value::Null)
    }

    fn holds_for(&self, candidate: &Candidate<'_>, item: &Value) -> bool {
        let value = |subject: &Subject| match subject {
            Subject::Field(name) => candidate.document.get(name).unwrap_or(&Value::Null),
            Subject::Item => item,
        };
        match self {
            Self::Always(answer) => *answer,
            Self::Any(parts) => parts.iter().any(|part| part.holds_for(candidate, item)),
            Self::All(parts) => parts.iter().all(|part| part.holds_for(candidate, item)),
            Self::Not(part) => !part.holds_for(candidate, item),
            Self::Compare { subject, operator, literal } => compare(value(subject), *operator, literal),
            Self::In { subject, values } => value(subject).as_str().is_some_and(|text| values.contains(text)),
            Self::Matches(query) => {
                let matches = candidate.matches.get(*query);
                matches.and_then(|matches| matches.get(candidate.number)).copied().unwrap_or(false)
            }
            Self::Items { field, every, body } => {
                let items =
                    candidate.document.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                match body {
                    None => !items.is_empty(),
                    Some(body) if *every => items.iter().all(|item| body.holds_for(candidate, item)),
                    Some(body) => items.iter().any(|item| body.holds_for(candidate, item)),
                }
            }
        }
    }
}

/// Null equals null alone, and is neither above nor below anything.
fn compare(value: &Value, operator: Operator, literal: &Literal) -> bool {
    if value.is_null() || *literal == Literal::Null {
        let both = value.is_null() && *literal == Literal::Null;
        return match operator {
            Operator::Eq => both,
            Operator::Ne => !both,
            _ => false,
        };
    }
    let ordering = match literal {
        Literal::Null => None,
        Literal::Bool(other) => value.as_bool().map(|value| value.cmp(other)),
        Literal::Text(other) => value.as_str().map(|value| value.cmp(other)),
        Literal::Instant(other) => {
            value.as_str().and_then(instant::parse).map(|value| value.unix_timestamp_nanos().cmp(other))
        }
        Literal::Int(other) => match value.as_i64() {
            Some(value) => Some(value.cmp(other)),
            None => value.as_f64().and_then(|value| value.partial_cmp(&(*other as f64))),
        },
        Literal::Double(other) => value.as_f64().and_then(|value| value.partial_cmp(other)),
    };
    match (operator, ordering) {
        (Operator::Ne, ordering) => ordering != Some(Ordering::Equal),
        (_, None) => false,
        (Operator::Eq, Some(ordering)) => ordering == Ordering::Equal,
        (Operator::Gt, Some(ordering)) => ordering == Ordering::Greater,
        (Operator::Ge, Some(ordering)) => ordering != Ordering::Less,
        (Operator::Lt, Some(ordering)) => ordering == Ordering::Less,
        (Operator::Le, Some(ordering)) => ordering != Ordering::Greater,
    }
}
