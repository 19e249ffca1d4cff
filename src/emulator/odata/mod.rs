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

/// What is wrong with an expression, in the service's words; `Refusal::expression` frames it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError(pub(super) String);

impl SyntaxError {
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
