//! Questions about the words of a table, and how its analyzers cut text.

use tantivy::{
    Term,
    query::{AllQuery, BooleanQuery, ConstScoreQuery, FuzzyTermQuery, Occur, PhraseQuery, Query, TermQuery},
    schema::IndexRecordOption,
    tokenizer::{RawTokenizer, TextAnalyzer},
};
use unicode_segmentation::UnicodeSegmentation;

use super::{Analyzer, TableLayout};
use crate::retrieval::local::{
    analyzer,
    terms::{Terms, TextFields},
};

/// `fields` are places in the schema; none stands for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextQuery {
    /// Each term of the text is optional; scores add up, and a term that stands twice counts twice.
    Words {
        fields: Vec<usize>,
        text: String,
    },
    /// The terms of the text one behind the other.
    Phrase {
        fields: Vec<usize>,
        text: String,
    },
    /// Terms that begin with this, in lower case unless the analyzer keeps case; not analyzed otherwise.
    Prefix {
        fields: Vec<usize>,
        text: String,
    },
    Any(Vec<TextQuery>),
    All(Vec<TextQuery>),
    /// Every document that does not match, with score 0.
    Not(Box<TextQuery>),
    /// Every document, with score 1.
    Everything,
}

type Boxed = Box<dyn Query>;

impl TextQuery {
    /// The terms of a question that is words alone, and looks for them in all fields as one text.
    pub(super) fn as_terms(&self, layout: &TableLayout) -> Option<Terms> {
        match self {
            Self::Words { fields, text } => combined(layout, fields, text),
            _ => None,
        }
    }

    /// `None` when it can match nothing.
    pub(super) fn compile(&self, layout: &TableLayout) -> Option<Boxed> {
        match self {
            Self::Everything => Some(Box::new(AllQuery)),
            Self::Words { fields, text } => words(layout, fields, text),
            Self::Phrase { fields, text } => {
                any(each(layout, fields).map(|(fields, analyzer)| phrase(fields, terms(analyzer, text))))
            }
            Self::Prefix { fields, text } => any(each(layout, fields).map(|(fields, analyzer)| {
                let keeps_case = matches!(analyzer, Analyzer::Keyword | Analyzer::Whitespace);
                let text = if keeps_case { text.clone() } else { text.to_lowercase() };
                let term = Term::from_field_text(fields.text, &text);
                Some(Box::new(FuzzyTermQuery::new_prefix(term, 0, true)) as Boxed)
            })),
            Self::Any(parts) => any(parts.iter().map(|part| part.compile(layout))),
            Self::All(parts) => {
                let parts: Option<Vec<Boxed>> = parts.iter().map(|part| part.compile(layout)).collect();
                let clauses = parts?.into_iter().map(|part| (Occur::Must, part)).collect();
                Some(Box::new(BooleanQuery::new(clauses)))
            }
            Self::Not(part) => {
                let everything = Box::new(ConstScoreQuery::new(Box::new(AllQuery), 0.0)) as Boxed;
                Some(match part.compile(layout) {
                    None => everything,
                    Some(part) => {
                        Box::new(BooleanQuery::new(vec![(Occur::Must, everything), (Occur::MustNot, part)]))
                    }
                })
            }
        }
    }
}

fn words(layout: &TableLayout, fields: &[usize], text: &str) -> Option<Boxed> {
    match combined(layout, fields, text) {
        Some(terms) => terms.query(),
        None => {
            any(each(layout, fields)
                .map(|(fields, analyzer)| Terms::new(fields, terms(analyzer, text)).query()))
        }
    }
}

/// The terms of a text that is looked for in all fields, where they are scored as one.
fn combined(layout: &TableLayout, fields: &[usize], text: &str) -> Option<Terms> {
    let all = fields.is_empty() || (0..layout.text.len()).all(|field| fields.contains(&field));
    let (combined, first) = layout.combined.zip(layout.schema.text.first()).filter(|_| all)?;
    Some(Terms::new(combined, terms(first.analyzer, text)))
}

fn each<'a>(
    layout: &'a TableLayout,
    fields: &'a [usize],
) -> impl Iterator<Item = (TextFields, Analyzer)> + 'a {
    let wanted = move |place: &usize| fields.is_empty() || fields.contains(place);
    (0..layout.text.len())
        .filter(wanted)
        .map(|place| (layout.text[place], layout.schema.text[place].analyzer))
}

fn any(parts: impl Iterator<Item = Option<Boxed>>) -> Option<Boxed> {
    let mut parts: Vec<Boxed> = parts.flatten().collect();
    if parts.len() < 2 {
        return parts.pop();
    }
    Some(Box::new(BooleanQuery::new(parts.into_iter().map(|part| (Occur::Should, part)).collect())))
}

fn phrase(fields: TextFields, mut terms: Vec<String>) -> Option<Boxed> {
    if terms.len() > 1 {
        let terms = terms.iter().map(|term| Term::from_field_text(fields.text, term)).collect();
        return Some(Box::new(PhraseQuery::new(terms)));
    }
    let term = terms.pop()?;
    let field = match fields.cjk_characters {
        Some(field) if analyzer::is_single_cjk(&term) => field,
        _ => fields.text,
    };
    Some(Box::new(TermQuery::new(Term::from_field_text(field, &term), IndexRecordOption::WithFreqs)))
}

fn terms(analyzer: Analyzer, text: &str) -> Vec<String> {
    analyzer::terms(&mut text_analyzer(analyzer), text)
}

pub(super) fn text_analyzer(analyzer: Analyzer) -> TextAnalyzer {
    match analyzer {
        Analyzer::Standard => analyzer::standard(),
        Analyzer::Language => analyzer::words(),
        Analyzer::Keyword => TextAnalyzer::builder(RawTokenizer::default()).build(),
        Analyzer::Simple => analyzer::letters(),
        Analyzer::Whitespace => analyzer::blanks(),
    }
}

/// A term and where it stands in the text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub start: usize,
    pub end: usize,
    /// From 0, in terms.
    pub position: usize,
}

/// The terms of a text with their places. Terms of one stretch without a break, such as pairs of CJK
/// characters, share the place of the stretch.
pub fn analyze(analyzer: Analyzer, text: &str) -> Vec<Token> {
    let mut cutter = text_analyzer(analyzer);
    let mut tokens = Vec::new();
    for (start, stretch) in stretches(analyzer, text) {
        for term in analyzer::terms(&mut cutter, stretch) {
            let position = tokens.len();
            tokens.push(Token { text: term, start, end: start + stretch.len(), position });
        }
    }
    tokens
}

fn stretches(analyzer: Analyzer, text: &str) -> Vec<(usize, &str)> {
    let place = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    match analyzer {
        Analyzer::Keyword => vec![(0, text)],
        Analyzer::Whitespace => text.split_whitespace().map(|part| (place(part), part)).collect(),
        Analyzer::Standard => text.unicode_word_indices().collect(),
        Analyzer::Simple => text
            .split(|c: char| !c.is_alphabetic())
            .filter(|part| !part.is_empty())
            .map(|part| (place(part), part))
            .collect(),
        // Pairs reach over the words of UAX #29, so neighbours without a gap stay together.
        Analyzer::Language => {
            let mut stretches: Vec<(usize, &str)> = Vec::new();
            for (start, word) in text.unicode_word_indices() {
                match stretches.last_mut() {
                    Some((from, last)) if *from + last.len() == start => {
                        *last = &text[*from..start + word.len()]
                    }
                    _ => stretches.push((start, word)),
                }
            }
            stretches
        }
    }
}
