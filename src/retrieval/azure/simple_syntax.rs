//! A question as text of the service's simple query syntax, with every operator taken literally.

use unicode_segmentation::UnicodeSegmentation;

/// Words of one question; what a longer one asks behind them does not count. The service takes 1,024
/// clauses, and each word is one in each of the two fields that are searched.
const MAX_WORDS: usize = 512;

/// The escaped text; `None` when it holds no word, because an empty search text matches everything.
pub(super) fn escaped(text: &str) -> Option<String> {
    text.unicode_words().next()?;
    let end = text.unicode_word_indices().nth(MAX_WORDS).map_or(text.len(), |(at, _)| at);
    let mut out = String::with_capacity(end + 16);
    for word in
        text[..end].split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        escape_word(word, &mut out);
    }
    Some(out)
}

/// `-` has a meaning only in front of a word, `*` only at its end; the others anywhere.
fn escape_word(word: &str, out: &mut String) {
    let hyphens = word.len() - word.trim_start_matches('-').len();
    let stars = word.trim_end_matches('*').len();
    for (at, c) in word.char_indices() {
        let operator = match c {
            '+' | '|' | '"' | '(' | ')' | '\'' | '\\' => true,
            '-' => at < hyphens,
            '*' => at >= stars,
            _ => false,
        };
        if operator {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn operators_become_letters() {
        for (text, expected) in [
            ("wifi -luxury", "wifi \\-luxury"),
            ("well-known a*b c**", "well-known a*b c\\*\\*"),
            ("\"exact (or) not\" + more|less", "\\\"exact \\(or\\) not\\\" \\+ more\\|less"),
            ("o'brien C:\\dir", "o\\'brien C:\\\\dir"),
            ("質問\u{3000}-は", "質問 \\-は"),
            ("a\tb\nc", "a b c"),
        ] {
            assert_eq!(escaped(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn text_without_words_is_no_query() {
        for text in ["", " ", "*", "- + |", "?!", "\u{3000}"] {
            assert_eq!(escaped(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_long_question_is_cut_at_a_word() {
        let text = escaped(&"word ".repeat(2_000)).unwrap();
        assert_eq!(text.split(' ').count(), MAX_WORDS);
        assert!(escaped(&"漢".repeat(4_000)).unwrap().chars().count() <= MAX_WORDS);
    }

    /// The simple syntax as far as it matters: the literal words, or `None` when an operator acts.
    fn parse(text: &str) -> Option<Vec<String>> {
        let mut words = Vec::new();
        for token in text.split([' ', '\t', '\n', '\r']).filter(|token| !token.is_empty()) {
            let (mut word, mut chars) = (String::new(), token.chars().peekable());
            while let Some(c) = chars.next() {
                match c {
                    '\\' => word.push(chars.next()?),
                    '+' | '|' | '"' | '(' | ')' | '\'' => return None,
                    '-' if word.is_empty() => return None,
                    '*' if chars.peek().is_none() => return None,
                    c => word.push(c),
                }
            }
            words.push(word);
        }
        Some(words)
    }

    proptest! {
        #[test]
        fn no_operator_acts_and_no_word_changes(text in "([-+|\"()'*\\\\a \t]|\\PC){0,40}") {
            if let Some(escaped) = escaped(&text) {
                let words: Vec<String> = text
                    .split(|c: char| c.is_whitespace() || c.is_control())
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect();
                prop_assert_eq!(parse(&escaped), Some(words));
            }
        }
    }
}
