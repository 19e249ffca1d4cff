//! The part of OData that the service's `$filter` and `$orderby` speak.
//!
//! Not emulated: `geo.*`, `search.ismatchscoring`, paths into complex fields.

mod eval;
mod lexer;
mod order;
mod parser;
mod resolve;

pub(super) use eval::Candidate;
pub(super) use order::Order;
pub(super) use resolve::{Filter, Resolver};

use super::refusal::Refusal;

/// What is wrong with an expression, in the service's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError(pub(super) String);

const NOT_EMULATED: &str = " is not emulated.";

impl SyntaxError {
    /// `parameter` is `$filter` or `$orderby`.
    pub(super) fn into_refusal(self, parameter: &str) -> Refusal {
        match self.0.strip_suffix(NOT_EMULATED) {
            Some(what) => Refusal::not_emulated(what),
            None => Refusal::expression(parameter, self.0),
        }
    }

    fn not_emulated(what: &str) -> Self {
        Self(format!("{what}{NOT_EMULATED}"))
    }

    fn at(text: &str, end: usize) -> Self {
        Self(format!("Syntax error at position {} in '{}'.", position(text, end), quoted(text)))
    }
}

/// Positions count UTF-16 units, as the service is a .NET program.
fn position(text: &str, byte: usize) -> usize {
    text.get(..byte).map_or(0, |head| head.encode_utf16().count())
}

/// A filter may have megabytes; an error quotes its beginning.
fn quoted(text: &str) -> &str {
    let end = text.char_indices().nth(1_000).map_or(text.len(), |(end, _)| end);
    &text[..end]
}
