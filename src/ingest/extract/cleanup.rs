//! Text as a reader would quote it: pure functions from raw text to clean text.

use std::{borrow::Cow, collections::HashSet};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Text or Markdown: line ends become `\n`, invisible characters go, all else stays.
pub(super) fn plain(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                text.push('\n');
            }
            '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => text.push('\n'),
            '\n' | '\t' => text.push(c),
            c if is_invisible(c) => {}
            c => text.push(c),
        }
    }
    text
}

/// A page as a PDF reader gave it: ligatures become letters, words cut at a line end are joined, blanks
/// collapse; lines and paragraph breaks stay.
pub(super) fn pdf_page(raw: &str) -> String {
    let folded = fold(raw);
    let composed: Cow<'_, str> = match is_nfc_quick(folded.chars()) {
        IsNormalized::Yes => Cow::Borrowed(&folded),
        _ => Cow::Owned(folded.nfc().collect()),
    };
    let lines: Vec<String> = composed
        .split('\n')
        .map(|line| {
            // Only at a line end does a soft hyphen say something.
            let head = line.trim_end().strip_suffix(SOFT_HYPHEN);
            let cut = head.is_some_and(|head| !head.is_empty() && !head.ends_with(' '));
            let mut line = words(&line.replace(SOFT_HYPHEN, ""));
            line.extend(cut.then_some(SOFT_HYPHEN));
            line
        })
        .collect();
    let joined = join_cut_words(lines);

    let mut text = String::with_capacity(composed.len());
    for line in joined {
        let line = line.trim_end_matches(SOFT_HYPHEN);
        // One empty line is a paragraph break; more of them say nothing more.
        if !line.is_empty() || !(text.is_empty() || text.ends_with("\n\n")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// With one blank between words, and none around them.
fn words(line: &str) -> String {
    line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Characters that draw nothing: controls (line breaks and tabs are handled before), marks of direction,
/// byte order marks. U+0000 among them is refused by some indexes; the marks of direction can make a quote
/// read differently from what it says.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

const SOFT_HYPHEN: char = '\u{ad}';

fn fold(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for c in raw.replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\r' | '\u{b}' | '\u{85}' | '\u{2028}' => text.push('\n'),
            '\u{c}' | '\u{2029}' => text.push_str("\n\n"),
            // A place where a line may break: in a PDF file it stands inside addresses and long words.
            '\u{200b}' => {}
            c if is_invisible(c) && c != '\t' => {}
            c if c.is_whitespace() => text.push(' '),
            // Bullets of the Symbol and Wingdings fonts; other private characters mean nothing outside their font.
            '\u{f0b7}' | '\u{f0a7}' | '\u{f0d8}' | '\u{f0fc}' => text.push('•'),
            '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => {}
            c if is_presentation_form(c) => text.extend(std::iter::once(c).nfkc()),
            c => text.push(c),
        }
    }
    text
}

/// Characters that stand for how letters are drawn, not for other letters: the ligatures, the presentation
/// forms of Hebrew and Arabic, and the radicals that some fonts give in place of the ideograph.
fn is_presentation_form(c: char) -> bool {
    matches!(c, '\u{fb00}'..='\u{fb4f}' | '\u{fb50}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}' | '\u{2e80}'..='\u{2fdf}')
}

/// Moves the rest of a word that was cut at a line end up to its beginning.
fn join_cut_words(mut lines: Vec<String>) -> Vec<String> {
    let with_hyphen: HashSet<String> = lines
        .iter()
        .flat_map(|line| line.split(' '))
        .map(|token| token.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|token| token.contains('-'))
        .collect();
    for i in 1..lines.len() {
        let (head, tail) = lines.split_at_mut(i);
        let (Some(line), Some(next)) = (head.last_mut(), tail.first_mut()) else { continue };
        let Some(joint) = joint(line, next, &with_hyphen) else { continue };
        let end = next.find(' ').unwrap_or(next.len());
        if joint == Joint::Plain {
            line.pop();
        }
        line.push_str(&next[..end]);
        *next = next[end..].trim_start().to_owned();
    }
    lines
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// The hyphen was there for the line end only.
    Plain,
    /// The word has a hyphen of its own.
    Hyphen,
}

fn joint(line: &str, next: &str, with_hyphen: &HashSet<String>) -> Option<Joint> {
    // "pre- and post-war": the hyphen stands for a word left out.
    const JOINERS: [&str; 10] = ["and", "or", "to", "und", "oder", "bis", "et", "ou", "y", "e"];

    if next.is_empty() {
        return None;
    }
    if line.ends_with(SOFT_HYPHEN) {
        return Some(Joint::Plain);
    }
    let before = line.strip_suffix(['-', '\u{2010}'])?;
    let token = before.rsplit(' ').next().unwrap_or_default();
    let stem = &token[token.rfind(|c: char| !c.is_alphabetic()).map_or(0, |at| at + width(token, at))..];
    let rest: String = next.chars().take_while(|c| c.is_alphabetic()).collect();
    let fits = stem.chars().count() >= 2
        && stem.chars().next_back().is_some_and(char::is_lowercase)
        && rest.chars().next().is_some_and(char::is_lowercase)
        && !JOINERS.contains(&rest.as_str());
    if !fits {
        return None;
    }
    let own_hyphen = token.contains('-') || with_hyphen.contains(&format!("{stem}-{rest}").to_lowercase());
    Some(if own_hyphen { Joint::Hyphen } else { Joint::Plain })
}

fn width(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ligatures_and_presentation_forms_become_letters_and_nothing_else_is_folded() {
        assert_eq!(pdf_page("The ﬁrst oﬃce, x² ½ ™ Ⅳ ＡＢ"), "The first office, x² ½ ™ Ⅳ ＡＢ");
        assert_eq!(pdf_page("ﺒﻴﺒﻲ ⽇本"), "بيبي 日本");
        assert_eq!(pdf_page("Jardi\u{301}n"), "Jardín");
    }

    #[test]
    fn words_cut_at_a_line_end_are_joined() {
        assert_eq!(pdf_page("nonummy eget, con-\nsectetuer id"), "nonummy eget, consectetuer\nid");
        assert_eq!(pdf_page("exam\u{ad}\nple, co\u{ad}operate"), "example,\ncooperate");
        assert_eq!(pdf_page("exam \u{ad}\nple"), "exam\nple");
        assert_eq!(pdf_page("a con-\n\nnew paragraph"), "a con-\n\nnew paragraph");
    }

    #[test]
    fn hyphens_that_belong_to_the_word_stay() {
        assert_eq!(
            pdf_page("a well-known one, the well-\nknown one"),
            "a well-known one, the well-known\none"
        );
        assert_eq!(pdf_page("state-of-\nthe art"), "state-of-the\nart");
        assert_eq!(pdf_page("pre-\nand post-war"), "pre-\nand post-war");
        assert_eq!(pdf_page("2023-\n24 and Anglo-\nSaxon"), "2023-\n24 and Anglo-\nSaxon");
    }

    #[test]
    fn blanks_collapse_and_paragraphs_stay() {
        assert_eq!(pdf_page("\n\n a\u{a0} \t b \r\nc\n \n\n\nd\u{c}e \n"), "a b\nc\n\nd\n\ne");
        assert_eq!(pdf_page("a \u{ad} b\n\n\u{ad}\n\nc\u{ad}"), "a b\n\nc");
    }

    #[test]
    fn invisible_characters_go_but_joiners_of_words_stay() {
        assert_eq!(pdf_page("a\u{0}b\u{202e}c\u{200b}d\u{feff}\u{e123}\u{f0b7}"), "abcd•");
        assert_eq!(pdf_page("می\u{200c}خواهم"), "می\u{200c}خواهم");
        assert_eq!(plain("a\rb\r\nc\u{0}\u{2066}d\t\u{1b}[0m"), "a\nb\ncd\t[0m");
        assert_eq!(plain("👩\u{200d}👩\u{200d}👧"), "👩\u{200d}👩\u{200d}👧");
    }

    proptest::proptest! {
        #[test]
        fn cleaning_loses_no_letter_of_plain_words(words in proptest::collection::vec("[a-z]{1,9}", 0..60), width in 1_usize..8) {
            let text: String = words.chunks(width).map(|line| line.join("  ")).collect::<Vec<_>>().join("\n");
            let clean = pdf_page(&text);
            proptest::prop_assert_eq!(
                clean.split_whitespace().collect::<Vec<_>>(),
                words.iter().map(String::as_str).collect::<Vec<_>>()
            );
        }

        #[test]
        fn no_input_breaks_it(text in "\\PC{0,80}|[\\x00-\\xff\u{ad}\u{fb01}\u{600}-\u{6ff} \n-]{0,80}") {
            let clean = pdf_page(&text);
            proptest::prop_assert!(!clean.contains("\n\n\n") && !clean.contains("  "));
            plain(&text);
        }
    }
}
