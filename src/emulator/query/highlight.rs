//! Passages of a hit with the words of the query marked.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{
    definition::Definition,
    json::{Json, list},
    members::Members,
    refusal::Refusal,
    simple_query,
};
use crate::retrieval::local::table::{Analyzer, TextQuery, Token, View, analyze};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Highlight {
    fields: Vec<Field>,
    before: String,
    after: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: String,
    /// Among the text fields.
    number: usize,
    analyzer: Analyzer,
    most: usize,
}

const DEFAULT_PASSAGES: usize = 5;
/// A passage goes about this many bytes beyond its first and last mark.
const AROUND: usize = 80;

impl Highlight {
    pub(super) fn read<'a>(definition: &Definition, members: &Members<'a>) -> Result<Option<Self>, Refusal> {
        let text = |name| members.text(name).map_err(Refusal::parameters);
        let (before, after) = match (text("highlightPreTag")?, text("highlightPostTag")?) {
            (None, None) => ("<em>", "</em>"),
            (Some(before), Some(after)) => (before, after),
            _ => {
                return Err(Refusal::parameters(
                    "'highlightPreTag' and 'highlightPostTag' must be sent together or not at all.",
                ));
            }
        };
        let (before, after) = (before.to_owned(), after.to_owned());
        let names = text("highlight")?.unwrap_or_default().split(',').map(str::trim);
        let fields = names.filter(|name| !name.is_empty()).map(|name| Field::read(definition, name));
        let fields: Vec<Field> = fields.collect::<Result<_, _>>()?;
        Ok((!fields.is_empty()).then_some(Self { fields, before, after }))
    }

    /// `None` when nothing in the fields asked for matches.
    pub(super) fn of(&self, view: &View, doc: usize, query: &TextQuery) -> Option<Json> {
        let mut found = Vec::new();
        for field in &self.fields {
            let mut wanted = Wanted::default();
            wanted.collect(query, field);
            let texts: Vec<&str> = match view.document(doc).get(&field.name) {
                Some(Value::String(text)) => vec![text],
                Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            let mut passages = Vec::new();
            for text in texts {
                passages.extend(self.passages(text, &wanted.marks(&analyze(field.analyzer, text))));
            }
            passages.truncate(field.most);
            if !passages.is_empty() {
                found.push((field.name.clone(), list(passages.into_iter().map(Json::Text))));
            }
        }
        (!found.is_empty()).then_some(Json::Object(found))
    }

    fn passages(&self, text: &str, marks: &[(usize, usize)]) -> Vec<String> {
        let mut passages = Vec::new();
        let mut rest = marks;
        while let Some(&(first, _)) = rest.first() {
            // Marks that are near each other share a passage.
            let near = rest.windows(2).take_while(|pair| pair[1].0 - pair[0].1 <= AROUND).count() + 1;
            let (group, others) = rest.split_at(near);
            rest = others;
            let last = group.last().map_or(first, |mark| mark.1);
            let from = word_border(text, first.saturating_sub(AROUND));
            let to = word_border(text, (last + AROUND).min(text.len())).max(last);
            let mut passage = String::new();
            let mut at = from.min(first);
            for &(start, end) in group {
                passage.push_str(text.get(at..start).unwrap_or_default());
                passage.push_str(&self.before);
                passage.push_str(text.get(start..end).unwrap_or_default());
                passage.push_str(&self.after);
                at = end;
            }
            passage.push_str(text.get(at..to).unwrap_or_default());
            passages.push(passage.trim().to_owned());
        }
        passages
    }
}

impl Field {
    /// `name` or `name-5`.
    fn read(definition: &Definition, text: &str) -> Result<Self, Refusal> {
        let wrong = |message: String| Refusal::expression("highlight", message);
        let (name, most) = match text.rsplit_once('-') {
            None => (text, DEFAULT_PASSAGES),
            Some((name, number)) => match number.parse() {
                Ok(most) if most > 0 => (name, most),
                _ => return Err(wrong("Highlights are asked for as 'field' or 'field-5'.".to_owned())),
            },
        };
        let number = simple_query::text_field(definition, name).map_err(wrong)?;
        let analyzer =
            definition.schema().text.get(number).map_or(Analyzer::Standard, |field| field.analyzer);
        Ok(Self { name: name.to_owned(), number, analyzer, most })
    }
}

/// The terms of a query that may match in one field; those behind a minus may not.
#[derive(Default)]
struct Wanted {
    phrases: Vec<Vec<String>>,
    prefixes: Vec<String>,
}

impl Wanted {
    fn collect(&mut self, query: &TextQuery, field: &Field) {
        let here = |fields: &[usize]| fields.is_empty() || fields.contains(&field.number);
        let terms = |text: &str| analyze(field.analyzer, text).into_iter().map(|token| token.text);
        match query {
            TextQuery::Words { fields, text } if here(fields) => {
                self.phrases.extend(terms(text).map(|term| vec![term]));
            }
            TextQuery::Phrase { fields, text } if here(fields) => self.phrases.push(terms(text).collect()),
            TextQuery::Prefix { fields, text } if here(fields) => self.prefixes.push(text.to_lowercase()),
            TextQuery::Any(parts) | TextQuery::All(parts) => {
                parts.iter().for_each(|part| self.collect(part, field));
            }
            _ => {}
        }
    }

    /// Stretches of the text that match, in order and apart.
    fn marks(&self, tokens: &[Token]) -> Vec<(usize, usize)> {
        // Several terms may stand for one stretch, such as the pairs of CJK text.
        let mut marks: BTreeMap<usize, usize> = BTreeMap::new();
        let mut mark = |token: &Token| {
            let end = marks.entry(token.start).or_insert(token.end);
            *end = token.end.max(*end);
        };
        for phrase in self.phrases.iter().filter(|phrase| !phrase.is_empty()) {
            for window in tokens.windows(phrase.len()) {
                if window.iter().zip(phrase).all(|(token, term)| token.text == *term) {
                    window.iter().for_each(&mut mark);
                }
            }
        }
        for token in tokens {
            if self.prefixes.iter().any(|prefix| token.text.to_lowercase().starts_with(prefix)) {
                mark(token);
            }
        }
        let mut apart: Vec<(usize, usize)> = Vec::new();
        for (start, end) in marks {
            match apart.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => apart.push((start, end)),
            }
        }
        apart
    }
}

/// The end of the white space at or before `at`, or the start of the text; `at` itself at its end.
fn word_border(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let space = text[..at].char_indices().rev().take(AROUND).find(|(_, c)| c.is_whitespace());
    space.map_or(if at < AROUND { 0 } else { at }, |(start, c)| start + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::simple_query::{Mode, Scope, parse};

    fn marked(query: &str, text: &str) -> Vec<String> {
        let field = Field { name: "t".into(), number: 0, analyzer: Analyzer::Standard, most: 5 };
        let body = serde_json::json!({"name": "ab", "fields": [
            {"name": "id", "type": "Edm.String", "key": true, "searchable": false}, {"name": "t", "type": "Edm.String"}
        ]});
        let definition = crate::emulator::definition::read(body.as_object().unwrap()).unwrap();
        let query = parse(query, Mode::Any, &Scope::named(&definition, "").unwrap()).unwrap();
        let mut wanted = Wanted::default();
        wanted.collect(&query, &field);
        let highlight = Highlight { fields: Vec::new(), before: "<".into(), after: ">".into() };
        highlight.passages(text, &wanted.marks(&analyze(Analyzer::Standard, text)))
    }

    #[test]
    fn words_phrases_and_prefixes_are_marked() {
        assert_eq!(marked("vector", "About Vector search."), ["About <Vector> search."]);
        assert_eq!(marked("\"vector search\"", "vector, vector search"), ["vector, <vector> <search>"]);
        assert_eq!(marked("sear* -about", "About search and sears"), ["About <search> and <sears>"]);
        assert_eq!(marked("nothing", "About search"), Vec::<String>::new());
    }

    #[test]
    fn far_marks_have_passages_of_their_own_and_no_letter_is_cut() {
        let text = format!("start {} needle {} ほげ needle end", "日本 ".repeat(60), "word ".repeat(60));
        let passages = marked("needle", &text);
        assert_eq!(passages.len(), 2, "{passages:?}");
        assert!(passages.iter().all(|passage| passage.contains("<needle>") && passage.len() < 250));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(query in "\\PC{0,10}", text in "\\PC{0,300}") {
            marked(&query, &text);
        }
    }
}
