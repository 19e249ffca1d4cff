//! A parsed filter against the fields of an index: names, rights and types.

use super::{
    SyntaxError,
    eval::{Predicate, Subject},
    lexer::Literal,
    parser::{Expr, Operator, parse},
};
use crate::{
    emulator::{
        definition::{Definition, Edm, Field, FieldKind},
        simple_query::{self, Mode, Scope},
    },
    retrieval::local::table::TextQuery,
};

/// A filter that can be asked about documents.
#[derive(Debug)]
pub(in crate::emulator) struct Filter {
    pub(in crate::emulator) predicate: Predicate,
    /// The queries of `search.ismatch`; [`Predicate::Matches`] counts through them.
    pub(in crate::emulator) queries: Vec<TextQuery>,
}

pub(in crate::emulator) struct Resolver<'a> {
    definition: &'a Definition,
    queries: Vec<TextQuery>,
}

/// The range variable of the lambda around, and the type of its values.
type Range<'a> = Option<(&'a str, Edm, bool)>;

impl<'a> Resolver<'a> {
    pub(in crate::emulator) fn filter(definition: &'a Definition, text: &str) -> Result<Filter, SyntaxError> {
        let mut resolver = Self { definition, queries: Vec::new() };
        let predicate = resolver.predicate(&parse(text)?, None)?;
        Ok(Filter { predicate, queries: resolver.queries })
    }

    fn predicate(&mut self, expr: &Expr, range: Range<'_>) -> Result<Predicate, SyntaxError> {
        match expr {
            Expr::Or(parts) => Ok(Predicate::Any(self.predicates(parts, range)?)),
            Expr::And(parts) => Ok(Predicate::All(self.predicates(parts, range)?)),
            Expr::Not(part) => Ok(Predicate::Not(Box::new(self.predicate(part, range)?))),
            Expr::Literal(Literal::Bool(answer)) => Ok(Predicate::Always(*answer)),
            Expr::Literal(_) => Err(not_boolean()),
            Expr::Path(path) => {
                let (subject, edm) = self.subject(path, range)?;
                if edm != Edm::Boolean {
                    return Err(not_boolean());
                }
                Ok(Predicate::Compare { subject, operator: Operator::Eq, literal: Literal::Bool(true) })
            }
            Expr::Compare { operator, left, right } => self.compare(*operator, left, right, range),
            Expr::Call { name, arguments } => self.call(name, arguments, range),
            Expr::Lambda { path, every, body } => {
                if range.is_some() {
                    return Err(wrong(
                        "Nested lambda expressions need complex fields, which are not emulated.",
                    ));
                }
                let field = self.field(path)?;
                let FieldKind::Many(edm) = field.kind else {
                    return Err(wrong("Any/All may only be used following a collection."));
                };
                let name = field.name.clone();
                let body = body.as_ref().map(|(variable, body)| {
                    if edm == Edm::String {
                        check_string_lambda(body, *every)?;
                    }
                    self.predicate(body, Some((variable, edm, *every))).map(Box::new)
                });
                Ok(Predicate::Items { field: name, every: *every, body: body.transpose()? })
            }
        }
    }

    fn predicates(&mut self, parts: &[Expr], range: Range<'_>) -> Result<Vec<Predicate>, SyntaxError> {
        parts.iter().map(|part| self.predicate(part, range)).collect()
    }

    fn compare(
        &mut self,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        range: Range<'_>,
    ) -> Result<Predicate, SyntaxError> {
        match (left, right) {
            (Expr::Path(path), Expr::Literal(literal)) => self.compare_field(path, operator, literal, range),
            (Expr::Literal(literal), Expr::Path(path)) => {
                self.compare_field(path, operator.flipped(), literal, range)
            }
            // A condition beside true or false, such as `not isOpen eq true`.
            (condition, Expr::Literal(Literal::Bool(wanted)))
            | (Expr::Literal(Literal::Bool(wanted)), condition)
                if matches!(operator, Operator::Eq | Operator::Ne) =>
            {
                let inner = self.predicate(condition, range)?;
                let same = *wanted == (operator == Operator::Eq);
                Ok(if same { inner } else { Predicate::Not(Box::new(inner)) })
            }
            (Expr::Call { name, .. }, _) | (_, Expr::Call { name, .. }) if name.starts_with("geo.") => {
                Err(not_emulated(name))
            }
            _ => Err(wrong(
                "Comparison must be between a field, range variable or function call and a literal value.",
            )),
        }
    }

    fn compare_field(
        &self,
        path: &[String],
        operator: Operator,
        literal: &Literal,
        range: Range<'_>,
    ) -> Result<Predicate, SyntaxError> {
        let (subject, edm) = self.subject(path, range)?;
        let fits = match literal {
            Literal::Null => true,
            Literal::Bool(_) => edm == Edm::Boolean && matches!(operator, Operator::Eq | Operator::Ne),
            Literal::Text(_) => edm == Edm::String,
            Literal::Instant(_) => edm == Edm::DateTimeOffset,
            Literal::Int(_) | Literal::Double(_) => matches!(edm, Edm::Int32 | Edm::Int64 | Edm::Double),
        };
        if !fits {
            return Err(SyntaxError(format!(
                "A binary operator with incompatible types was detected. Found operand types '{}' and '{}' for \
                 operator kind '{}'.",
                edm.name(),
                literal.type_name(),
                operator.type_name()
            )));
        }
        Ok(Predicate::Compare { subject, operator, literal: literal.clone() })
    }

    fn call(&mut self, name: &str, arguments: &[Expr], range: Range<'_>) -> Result<Predicate, SyntaxError> {
        match name {
            "search.in" => self.search_in(arguments, range),
            "search.ismatch" if range.is_none() => self.is_match(arguments),
            "search.ismatchscoring" | "geo.distance" | "geo.intersects" => Err(not_emulated(name)),
            _ => Err(SyntaxError(format!(
                "The function '{}' cannot be used here. A filter knows search.in and, outside of lambda \
                 expressions, search.ismatch.",
                name.chars().take(100).collect::<String>()
            ))),
        }
    }

    fn search_in(&self, arguments: &[Expr], range: Range<'_>) -> Result<Predicate, SyntaxError> {
        let (path, list, delimiters) = match arguments {
            [Expr::Path(path), Expr::Literal(Literal::Text(list))] => (path, list, " ,"),
            [
                Expr::Path(path),
                Expr::Literal(Literal::Text(list)),
                Expr::Literal(Literal::Text(delimiters)),
            ] if !delimiters.is_empty() => (path, list, delimiters.as_str()),
            _ => {
                return Err(wrong(
                    "The function 'search.in' takes a field or range variable, a string of values, and optionally a \
                     string of delimiters.",
                ));
            }
        };
        let (subject, edm) = self.subject(path, range)?;
        if edm != Edm::String {
            return Err(wrong(
                "The function 'search.in' needs a field or range variable of type Edm.String.",
            ));
        }
        let values = list
            .split(|c| delimiters.contains(c))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(Predicate::In { subject, values })
    }

    fn is_match(&mut self, arguments: &[Expr]) -> Result<Predicate, SyntaxError> {
        let mut texts = Vec::new();
        for argument in arguments {
            match argument {
                Expr::Literal(Literal::Text(text)) => texts.push(Some(text.as_str())),
                Expr::Literal(Literal::Null) => texts.push(None),
                _ => return Err(wrong("The function 'search.ismatch' takes strings.")),
            }
        }
        let (search, fields, kind, mode) = match texts.as_slice() {
            [Some(search)] => (*search, None, "simple", Mode::Any),
            [Some(search), fields] => (*search, *fields, "simple", Mode::Any),
            [Some(search), fields, Some(kind), Some(mode @ ("any" | "all"))] => {
                (*search, *fields, *kind, if *mode == "all" { Mode::All } else { Mode::Any })
            }
            _ => return Err(wrong("The function 'search.ismatch' takes one, two or four arguments.")),
        };
        if kind != "simple" {
            return Err(not_emulated("search.ismatch with another query type than 'simple'"));
        }
        let scope = Scope::named(self.definition, fields.unwrap_or_default()).map_err(SyntaxError)?;
        let query = simple_query::parse(search, mode, &scope).map_err(SyntaxError)?;
        self.queries.push(query);
        Ok(Predicate::Matches(self.queries.len() - 1))
    }

    fn subject(&self, path: &[String], range: Range<'_>) -> Result<(Subject, Edm), SyntaxError> {
        if let Some((variable, edm, _)) = range {
            return match path {
                [name] if name == variable => Ok((Subject::Item, edm)),
                _ => Err(wrong(
                    "The body of a lambda expression over a collection of simple values can only refer to its \
                     range variable.",
                )),
            };
        }
        let field = self.field(path)?;
        match field.kind {
            FieldKind::One(edm) => Ok((Subject::Field(field.name.clone()), edm)),
            FieldKind::Many(_) | FieldKind::Vector => Err(SyntaxError(format!(
                "'{}' is a collection. Use any or all to filter by its items.",
                field.name
            ))),
        }
    }

    fn field(&self, path: &[String]) -> Result<&'a Field, SyntaxError> {
        let name = path.join("/");
        let Some(field) = self.definition.field(&name) else { return Err(unknown_field(&name)) };
        if !field.filterable {
            return Err(SyntaxError(format!(
                "'{name}' is not a filterable field. Only filterable fields can be used in filter expressions."
            )));
        }
        Ok(field)
    }
}

pub(super) fn unknown_field(name: &str) -> SyntaxError {
    let name: String = name.chars().take(200).collect();
    SyntaxError(format!("Could not find a property named '{name}' on type 'search.document'."))
}

/// Over strings the service evaluates only what its inverted index answers directly: `any` over
/// equalities joined by `or`, `all` over inequalities joined by `and`.
fn check_string_lambda(body: &Expr, every: bool) -> Result<(), SyntaxError> {
    let in_call = |expr: &Expr| matches!(expr, Expr::Call { name, .. } if name == "search.in");
    let fine = match body {
        Expr::Or(parts) if !every => {
            return parts.iter().try_for_each(|part| check_string_lambda(part, every));
        }
        Expr::And(parts) if every => {
            return parts.iter().try_for_each(|part| check_string_lambda(part, every));
        }
        Expr::Compare { operator: Operator::Eq, .. } => !every,
        Expr::Compare { operator: Operator::Ne, .. } => every,
        Expr::Not(inner) => {
            every && (in_call(inner) || matches!(**inner, Expr::Compare { operator: Operator::Eq, .. }))
                || !every && matches!(**inner, Expr::Compare { operator: Operator::Ne, .. })
        }
        other => !every && in_call(other),
    };
    if fine {
        return Ok(());
    }
    Err(wrong(if every {
        "In 'all' over a collection of strings only 'ne' and 'not search.in', joined by 'and', can be used."
    } else {
        "In 'any' over a collection of strings only 'eq' and 'search.in', joined by 'or', can be used."
    }))
}

fn not_boolean() -> SyntaxError {
    wrong("The expression must evaluate to a single boolean value.")
}

fn not_emulated(what: &str) -> SyntaxError {
    SyntaxError::not_emulated(what)
}

fn wrong(message: &str) -> SyntaxError {
    SyntaxError(message.to_owned())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
