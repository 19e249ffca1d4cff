//! Filters of the service's OData dialect, built as trees and never pasted.

use std::fmt;

use crate::domain::{Filter, PageRange};

/// A condition; its `Display` is the text on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    /// `field op literal`.
    Compare(&'static str, Op, Literal),
    /// A string collection holds one of these.
    AnyOf(&'static str, Vec<String>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    Gt,
    Ge,
    Le,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    /// Within the range of `Edm.Int32`.
    Number(i32),
    Text(String),
}

impl Expr {
    pub(super) fn text(field: &'static str, op: Op, value: &str) -> Self {
        Self::Compare(field, op, Literal::Text(value.to_owned()))
    }

    pub(super) fn number(field: &'static str, op: Op, value: u32) -> Self {
        Self::Compare(field, op, Literal::Number(i32::try_from(value).unwrap_or(i32::MAX)))
    }

    pub(super) fn is_set(field: &'static str) -> Self {
        Self::Compare(field, Op::Ne, Literal::Null)
    }

    /// `self`, and behind the key `after` in the order of keys where there is one: any number of
    /// documents can be walked this way, where skipping ends at 100,000.
    pub(super) fn after(self, after: Option<&str>) -> Self {
        match after {
            Some(key) => Self::And(vec![self, Self::text("id", Op::Gt, key)]),
            None => self,
        }
    }

    /// What a caller's filter asks; `None` when it does not restrict.
    pub(super) fn of(filter: &Filter) -> Option<Self> {
        let any = |field: &'static str, values: &[String]| {
            let mut terms: Vec<_> = values.iter().map(|value| Self::text(field, Op::Eq, value)).collect();
            match terms.len() {
                0 | 1 => terms.pop(),
                _ => Some(Self::Or(terms)),
            }
        };
        let PageRange { min, max } = filter.page_number.unwrap_or(PageRange { min: None, max: None });
        let mut parts: Vec<Self> = [
            any("source", &filter.source),
            (!filter.tags.is_empty()).then(|| Self::AnyOf("tags", filter.tags.clone())),
            any("language", &filter.language),
            min.map(|min| Self::number("pageNumber", Op::Ge, min)),
            max.map(|max| Self::number("pageNumber", Op::Le, max)),
        ]
        .into_iter()
        .flatten()
        .collect();
        match parts.len() {
            0 | 1 => parts.pop(),
            _ => Some(Self::And(parts)),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Self::And(_) | Self::Or(_) => write!(f, "({part})")?,
                    _ => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::Compare(field, op, literal) => write!(f, "{field} {op} {literal}"),
            Self::AnyOf(field, values) => {
                write!(f, "{field}/any(t: ")?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}t eq {}", if at > 0 { " or " } else { "" }, Quoted(value))?;
                }
                f.write_str(")")
            }
            Self::And(parts) => joined(f, parts, "and"),
            Self::Or(parts) => joined(f, parts, "or"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Le => "le",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", Quoted(text)),
        }
    }
}

/// In single quotes; one inside is doubled, and nothing else has a meaning there.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_filter_reads_like_this() {
        let filter = Filter {
            source: vec!["a.pdf".into(), "o'brien.md".into()],
            tags: vec!["hr".into(), "it".into()],
            language: vec!["en".into()],
            page_number: Some(PageRange { min: Some(1), max: Some(u32::MAX) }),
        };
        assert_eq!(
            Expr::of(&filter).unwrap().after(Some("k")).to_string(),
            "((source eq 'a.pdf' or source eq 'o''brien.md') and tags/any(t: t eq 'hr' or t eq 'it') \
             and language eq 'en' and pageNumber ge 1 and pageNumber le 2147483647) and id gt 'k'"
        );
        assert_eq!(Expr::of(&Filter::default()), None);
        assert_eq!(Expr::is_set("embeddingModel").to_string(), "embeddingModel ne null");
    }

    /// Reads `field eq 'literal'` joined by `or`, as OData does.
    fn parse(text: &str) -> Vec<String> {
        let (mut values, mut rest) = (Vec::new(), text);
        loop {
            rest = rest.strip_prefix("source eq '").unwrap();
            let mut value = String::new();
            loop {
                let end = rest.find('\'').unwrap();
                value.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('\'') {
                    Some(more) => {
                        value.push('\'');
                        rest = more;
                    }
                    None => break,
                }
            }
            values.push(value);
            match rest.strip_prefix(" or ") {
                Some(more) => rest = more,
                None => break,
            }
        }
        assert_eq!(rest, "");
        values
    }

    proptest! {
        #[test]
        fn any_value_comes_back_and_nothing_else(values in prop::collection::vec("['a or=)( ]{0,12}|\\PC{0,8}", 1..4)) {
            let filter = Filter { source: values.clone(), ..Filter::default() };
            prop_assert_eq!(parse(&Expr::of(&filter).unwrap().to_string()), values);
        }
    }
}
