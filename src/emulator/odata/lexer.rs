//! Text of a filter or order to tokens.

use super::SyntaxError;
use crate::emulator::instant;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A field, an operator in words, or a function with its dots.
    Word(String),
    Literal(Literal),
    Open,
    Close,
    Comma,
    Slash,
    Colon,
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::emulator) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// Nanoseconds since 1970.
    Instant(i128),
}

impl Literal {
    /// As the service's messages name types.
    pub(in crate::emulator) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "Edm.Null",
            Self::Bool(_) => "Edm.Boolean",
            Self::Int(value) if i32::try_from(*value).is_ok() => "Edm.Int32",
            Self::Int(_) => "Edm.Int64",
            Self::Double(_) => "Edm.Double",
            Self::Text(_) => "Edm.String",
            Self::Instant(_) => "Edm.DateTimeOffset",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Behind its last character, in bytes. The service names this place in its errors.
    pub(super) end: usize,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let (kind, end) = match c {
            '(' => (Kind::Open, at + 1),
            ')' => (Kind::Close, at + 1),
            ',' => (Kind::Comma, at + 1),
            '/' => (Kind::Slash, at + 1),
            ':' => (Kind::Colon, at + 1),
            '\'' => string(text, at)?,
            _ if c.is_ascii_digit() || c == '-' => number(text, at)?,
            _ if c.is_alphabetic() || c == '_' || c == '$' => word(text, at),
            _ => return Err(SyntaxError::at(text, at + c.len_utf8())),
        };
        tokens.push(Token { kind, end });
        at = end;
    }
    tokens.push(Token { kind: Kind::End, end: text.len() });
    Ok(tokens)
}

/// A quote inside is doubled.
fn string(text: &str, start: usize) -> Result<(Kind, usize), SyntaxError> {
    let mut value = String::new();
    let mut rest = text[start + 1..].char_indices().peekable();
    while let Some((offset, c)) = rest.next() {
        if c != '\'' {
            value.push(c);
        } else if rest.next_if(|&(_, next)| next == '\'').is_some() {
            value.push('\'');
        } else {
            return Ok((Kind::Literal(Literal::Text(value)), start + 1 + offset + 1));
        }
    }
    Err(SyntaxError(format!(
        "There is an unterminated string literal at position {} in '{}'.",
        super::position(text, text.len()),
        super::quoted(text)
    )))
}

/// Numbers and dates both begin with a digit or a minus.
fn number(text: &str, start: usize) -> Result<(Kind, usize), SyntaxError> {
    let length = text[start..]
        .char_indices()
        .find(|&(offset, c)| {
            !(c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == ':' || (c == '+' && offset > 0))
        })
        .map_or(text.len() - start, |(offset, _)| offset);
    let end = start + length;
    let piece = &text[start..end];
    let digits = piece.strip_suffix(['L', 'l']).unwrap_or(piece);
    let literal = if piece == "-INF" {
        Literal::Double(f64::NEG_INFINITY)
    } else if let Ok(value) = digits.parse::<i64>() {
        Literal::Int(value)
    } else if let Some(value) = decimal(piece) {
        Literal::Double(value)
    } else if let Some(value) = instant::parse(piece) {
        Literal::Instant(value.unix_timestamp_nanos())
    } else {
        return Err(SyntaxError::at(text, end));
    };
    Ok((Kind::Literal(literal), end))
}

fn decimal(piece: &str) -> Option<f64> {
    let plain = piece.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    piece.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

fn word(text: &str, start: usize) -> (Kind, usize) {
    let length = text[start..]
        .char_indices()
        .find(|&(offset, c)| !(c.is_alphanumeric() || c == '_' || c == '.' || (c == '$' && offset == 0)))
        .map_or(text.len() - start, |(offset, _)| offset);
    let end = start + length;
    let kind = match &text[start..end] {
        "null" => Kind::Literal(Literal::Null),
        "true" => Kind::Literal(Literal::Bool(true)),
        "false" => Kind::Literal(Literal::Bool(false)),
        "INF" => Kind::Literal(Literal::Double(f64::INFINITY)),
        "NaN" => Kind::Literal(Literal::Double(f64::NAN)),
        word => Kind::Word(word.to_owned()),
    };
    (kind, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn every_kind_of_literal_is_read() {
        let literal = |text: &str| match kinds(text).as_slice() {
            [Kind::Literal(literal), Kind::End] => literal.clone(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(literal("'o''brien'"), Literal::Text("o'brien".to_owned()));
        assert_eq!(literal("''"), Literal::Text(String::new()));
        assert_eq!(literal("'日本'"), Literal::Text("日本".to_owned()));
        assert_eq!(literal("-7"), Literal::Int(-7));
        assert_eq!(literal("9223372036854775807"), Literal::Int(i64::MAX));
        assert_eq!(literal("1.5e3"), Literal::Double(1500.0));
        assert_eq!(literal("-INF"), Literal::Double(f64::NEG_INFINITY));
        assert_eq!(literal("null"), Literal::Null);
        assert_eq!(literal("1970-01-01T00:00:01Z"), Literal::Instant(1_000_000_000));
        assert_eq!(literal("1970-01-01T01:00:00+01:00"), Literal::Instant(0));
    }

    #[test]
    fn functions_keep_their_dots_and_paths_their_slashes() {
        assert_eq!(
            kinds("tags/any(t: search.in(t,'a'))"),
            [
                Kind::Word("tags".into()),
                Kind::Slash,
                Kind::Word("any".into()),
                Kind::Open,
                Kind::Word("t".into()),
                Kind::Colon,
                Kind::Word("search.in".into()),
                Kind::Open,
                Kind::Word("t".into()),
                Kind::Comma,
                Kind::Literal(Literal::Text("a".into())),
                Kind::Close,
                Kind::Close,
                Kind::End
            ]
        );
    }

    #[test]
    fn rubbish_is_refused_with_its_place() {
        for (text, position) in [("a eq #", 6), ("a eq 1x", 7), ("日本 eq ;", 7), ("a eq 2026-99-99T", 16)]
        {
            let SyntaxError(message) = tokens(text).unwrap_err();
            assert!(message.contains(&format!("at position {position} in")), "{message}");
        }
        assert!(tokens("a eq 'x").unwrap_err().0.contains("unterminated string literal at position 7"));
    }
}
