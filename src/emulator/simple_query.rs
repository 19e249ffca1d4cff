//! The service's simple query syntax: `+ | - "…" prefix* ( )`, with a backslash before what is meant literally.
//!
//! Nothing is a syntax error, as users type here: what closes nothing is skipped. Operators join from
//! left to right.

use super::definition::{Definition, FieldKind};
use crate::retrieval::local::table::{Analyzer, TextQuery, analyze};

const MAX_CHARACTERS: usize = 100_000;
const MAX_CLAUSES: usize = 3_000;
/// The tree is walked by recursion.
const MAX_DEPTH: usize = 64;

/// How parts without an operator between them are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Any,
    All,
}

/// The fields a text is looked for in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// By their numbers among the text fields; none stands for all.
    pub(super) fields: Vec<usize>,
    /// Whether several words may be asked for as one text. To a keyword field that would be another term.
    bags: bool,
}

/// An empty text, or `*` alone, asks for everything.
pub(super) fn parse(text: &str, mode: Mode, scope: &Scope) -> Result<TextQuery, String> {
    if text.trim().is_empty() || text.trim() == "*" {
        return Ok(TextQuery::Everything);
    }
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > MAX_CHARACTERS {
        return Err(format!("The search text is longer than {MAX_CHARACTERS} characters."));
    }
    let mut parser = Parser { characters, next: 0, mode, scope, clauses: 0 };
    let query = parser.group(0)?;
    Ok(query.unwrap_or_else(|| TextQuery::Any(Vec::new())))
}

impl Scope {
    /// The searchable fields named in a comma-separated list; empty stands for all.
    pub(super) fn named(definition: &Definition, list: &str) -> Result<Self, String> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let fields: Vec<usize> = names.map(|name| text_field(definition, name)).collect::<Result<_, _>>()?;
        let bags = definition
            .schema()
            .text
            .iter()
            .enumerate()
            .filter(|(number, _)| fields.is_empty() || fields.contains(number))
            .all(|(_, field)| field.analyzer != Analyzer::Keyword);
        Ok(Self { fields, bags })
    }
}

/// The number of a field among the text fields.
pub(super) fn text_field(definition: &Definition, name: &str) -> Result<usize, String> {
    definition.text_fields().position(|field| field.name == name).ok_or_else(|| {
        let name: String = name.chars().take(200).collect();
        match definition.field(&name) {
            None => format!("Could not find a property named '{name}' on type 'search.document'."),
            Some(field) if field.kind == FieldKind::Vector => {
                format!("'{name}' is a vector field and cannot be searched by text.")
            }
            Some(_) => format!("'{name}' is not a searchable field."),
        }
    })
}

struct Parser<'a> {
    characters: Vec<char>,
    next: usize,
    mode: Mode,
    scope: &'a Scope,
    clauses: usize,
}

/// What has been read of a group.
#[derive(Default)]
struct Joined {
    operator: Option<Mode>,
    parts: Vec<TextQuery>,
}

impl Parser<'_> {
    /// Up to the closing parenthesis or the end of the text.
    fn group(&mut self, depth: usize) -> Result<Option<TextQuery>, String> {
        if depth > MAX_DEPTH {
            return Err(format!(
                "The search text is nested too deeply; at most {MAX_DEPTH} levels are allowed."
            ));
        }
        let mut joined = Joined::default();
        let (mut operator, mut negated, mut fresh) = (self.mode, false, true);
        while let Some(c) = self.peek() {
            let part = match c {
                ')' => {
                    self.next += 1;
                    if depth > 0 {
                        break;
                    }
                    continue;
                }
                '+' | '|' => {
                    operator = if c == '+' { Mode::All } else { Mode::Any };
                    (self.next, fresh) = (self.next + 1, true);
                    continue;
                }
                '-' if fresh => {
                    // One that stands alone is a dash of the text.
                    negated = self.characters.get(self.next + 1).is_some_and(|next| !next.is_whitespace());
                    (self.next, fresh) = (self.next + 1, false);
                    continue;
                }
                _ if c.is_whitespace() => {
                    (self.next, fresh) = (self.next + 1, true);
                    continue;
                }
                '(' => {
                    self.next += 1;
                    self.group(depth + 1)?
                }
                '"' => self.phrase(),
                _ => self.word(),
            };
            self.clauses += 1;
            if self.clauses > MAX_CLAUSES {
                return Err(format!(
                    "The search text has too many clauses; at most {MAX_CLAUSES} are allowed."
                ));
            }
            if let Some(part) = part {
                let part = if negated { TextQuery::Not(Box::new(part)) } else { part };
                joined.push(operator, part, self.scope.bags);
            }
            (operator, negated, fresh) = (self.mode, false, false);
        }
        Ok(joined.finish())
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.next).copied()
    }

    fn fields(&self) -> Vec<usize> {
        self.scope.fields.clone()
    }

    /// A quote that is never closed is skipped.
    fn phrase(&mut self) -> Option<TextQuery> {
        self.next += 1;
        let start = self.next;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.next += 1;
            match c {
                '"' => {
                    return (!text.trim().is_empty())
                        .then(|| TextQuery::Phrase { fields: self.fields(), text });
                }
                '\\' => {
                    text.extend(self.peek());
                    self.next += 1;
                }
                _ => text.push(c),
            }
        }
        self.next = start;
        None
    }

    fn word(&mut self) -> Option<TextQuery> {
        let mut text = String::new();
        let mut star = false;
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, '+' | '|' | '"' | '(' | ')') {
                break;
            }
            self.next += 1;
            star = c == '*';
            if c == '\\' {
                text.extend(self.peek());
                self.next += 1;
            } else {
                text.push(c);
            }
        }
        if star {
            text.pop();
            return (!text.is_empty()).then(|| TextQuery::Prefix { fields: self.fields(), text });
        }
        let words = |text: String| TextQuery::Words { fields: self.fields(), text };
        if self.mode == Mode::Any {
            return Some(words(text));
        }
        // Every word must match, and one piece of text may hold several of them: wi-fi.
        let mut pieces = analyze(Analyzer::Standard, &text);
        match pieces.len() {
            0 => None,
            1 => Some(words(text)),
            _ => Some(TextQuery::All(pieces.drain(..).map(|piece| words(piece.text)).collect())),
        }
    }
}

impl Joined {
    fn push(&mut self, operator: Mode, part: TextQuery, bags: bool) {
        if self.parts.is_empty() {
            self.parts.push(part);
            return;
        }
        if self.operator.is_some_and(|before| before != operator) {
            let before = std::mem::take(self).finish();
            self.parts.extend(before);
        }
        self.operator = Some(operator);
        if bags
            && operator == Mode::Any
            && let TextQuery::Words { fields: more_fields, text: more } = &part
            && let Some(TextQuery::Words { fields, text }) = self.parts.last_mut()
            && fields == more_fields
        {
            // One bag of words is scored as the local index scores a question.
            text.push(' ');
            text.push_str(more);
            return;
        }
        self.parts.push(part);
    }

    fn finish(mut self) -> Option<TextQuery> {
        match (self.parts.len(), self.operator) {
            (0 | 1, _) => self.parts.pop(),
            (_, Some(Mode::All)) => Some(TextQuery::All(self.parts)),
            _ => Some(TextQuery::Any(self.parts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Scope = Scope { fields: Vec::new(), bags: true };

    fn shape(query: &TextQuery) -> String {
        let join = |parts: &[TextQuery], word: &str| {
            format!("({})", parts.iter().map(shape).collect::<Vec<_>>().join(word))
        };
        match query {
            TextQuery::Words { text, .. } => text.clone(),
            TextQuery::Phrase { text, .. } => format!("\"{text}\""),
            TextQuery::Prefix { text, .. } => format!("{text}*"),
            TextQuery::Any(parts) => join(parts, " | "),
            TextQuery::All(parts) => join(parts, " + "),
            TextQuery::Not(part) => format!("!{}", shape(part)),
            TextQuery::Everything => "*".to_owned(),
        }
    }

    fn read(text: &str, mode: Mode) -> String {
        shape(&parse(text, mode, &ALL).unwrap())
    }

    #[test]
    fn any_joins_words_into_one_bag_and_all_demands_each() {
        for (text, any, all) in [
            ("wifi luxury hotel", "wifi luxury hotel", "(wifi + luxury + hotel)"),
            ("wifi -luxury", "(wifi | !luxury)", "(wifi + !luxury)"),
            ("wifi + luxury", "(wifi + luxury)", "(wifi + luxury)"),
            ("wifi+luxury", "(wifi + luxury)", "(wifi + luxury)"),
            ("wifi | luxury", "wifi luxury", "wifi luxury"),
            ("a b + c", "(a b + c)", "(a + b + c)"),
            ("a + b | c", "((a + b) | c)", "((a + b) | c)"),
            ("motel+(wifi|luxury)", "(motel + wifi luxury)", "(motel + wifi luxury)"),
            ("\"ocean view\" pool", "(\"ocean view\" | pool)", "(\"ocean view\" + pool)"),
            ("lingui* x", "(lingui* | x)", "(lingui* + x)"),
            ("wi-fi a- b", "wi-fi a- b", "((wi + fi) + a- + b)"),
            ("-(a b)", "!a b", "!(a + b)"),
            ("*", "*", "*"),
            ("  ", "*", "*"),
        ] {
            assert_eq!(
                (read(text, Mode::Any).as_str(), read(text, Mode::All).as_str()),
                (any, all),
                "{text}"
            );
        }
    }

    #[test]
    fn words_stay_apart_where_a_field_takes_them_whole() {
        let scope = Scope { bags: false, ..ALL };
        assert_eq!(shape(&parse("a b", Mode::Any, &scope).unwrap()), "(a | b)");
    }

    #[test]
    fn a_backslash_makes_operators_text() {
        assert_eq!(read(r"c\+\+ \-x lux\* \(a\) it\'s a\\b \|", Mode::Any), r"c++ -x lux* (a) it's a\b |");
        assert_eq!(read(r#""say \"hi\"""#, Mode::Any), r#""say "hi"""#);
    }

    #[test]
    fn what_closes_nothing_is_skipped() {
        for (text, tree) in [
            ("(a b", "a b"),
            ("a) b", "a b"),
            ("a \"b c", "a b c"),
            ("()", "()"),
            ("\"\"", "()"),
            ("+ | -", "()"),
            ("a - b", "a b"),
            ("a\\", "a"),
        ] {
            assert_eq!(read(text, Mode::Any), tree, "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(parse(&"(".repeat(1_000), Mode::Any, &ALL).unwrap_err().contains("nested"));
        assert!(parse(&"a ".repeat(3_001), Mode::Any, &ALL).unwrap_err().contains("clauses"));
        assert!(parse(&"a".repeat(100_001), Mode::Any, &ALL).unwrap_err().contains("longer"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[ab()|+\\-*\"\\\\ ]{0,80}") {
            for mode in [Mode::Any, Mode::All] {
                let _ = parse(&text, mode, &ALL);
            }
        }
    }
}
