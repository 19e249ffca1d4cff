//! Finds the citation markers in an answer and rewrites them to one form, `[1]`.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

/// Numbers with more digits are years or amounts in brackets.
const MAX_DIGITS: usize = 3;
/// No marker is longer than this, brackets included.
const MAX_MARKER_CHARS: usize = 64;
const MAX_LINK_CHARS: usize = 500;

/// An answer whose markers were read.
#[derive(Debug, Default, PartialEq)]
pub struct Marked {
    /// The answer with every marker that points to a passage as `[number]`, and no other.
    pub text: String,
    /// The answer without any marker, for cutting into sentences.
    pub plain: String,
    /// Position in `plain`, in Unicode scalar values, and passage number of each marker, in order.
    pub markers: Vec<(usize, usize)>,
    /// Numbers that point nowhere.
    pub dangling: usize,
}

impl Marked {
    /// Reads an answer to `passages` passages. `[1]`, `[1, 2]`, `[1-3]`, `【1】`, `［1］`, `[Source 1]`,
    /// `[^1]`, `【1†x】` and `[1](link)` are markers; code is left alone.
    pub fn read(answer: &str, passages: usize) -> Self {
        let mut marked = Self::default();
        let mut code = code_ranges(answer).into_iter().peekable();
        let (mut at, mut chars) = (0, 0);
        let both = |marked: &mut Self, text: &str, chars: &mut usize| {
            marked.text.push_str(text);
            marked.plain.push_str(text);
            *chars += text.chars().count();
        };
        while let Some(offset) = answer[at..].find(['[', '【', '［']) {
            let open = at + offset;
            both(&mut marked, &answer[at..open], &mut chars);
            while code.next_if(|range| range.end <= open).is_some() {}
            let in_code = code.peek().is_some_and(|range| range.contains(&open));
            if let Some((length, numbers)) = (!in_code).then(|| marker(&answer[open..])).flatten() {
                at = open + length;
                marked.take(numbers, passages, chars, &answer[at..]);
            } else {
                let bracket = answer[open..].chars().next().map_or(1, char::len_utf8);
                at = open + bracket;
                both(&mut marked, &answer[open..at], &mut chars);
            }
        }
        both(&mut marked, &answer[at..], &mut chars);
        marked
    }

    fn take(&mut self, numbers: Vec<usize>, passages: usize, position: usize, rest: &str) {
        let resolved = self.markers.len();
        for number in numbers {
            if !(1..=passages).contains(&number) {
                self.dangling += 1;
            } else if !self.markers[resolved..].contains(&(position, number)) {
                self.markers.push((position, number));
                self.text.push_str(&format!("[{number}]"));
            }
        }
        let gap = rest.chars().next().is_none_or(|c| c.is_whitespace() || ".,;:!?)".contains(c));
        if self.markers.len() == resolved && gap && self.text.ends_with(' ') {
            self.text.pop();
        }
    }
}

/// Length in bytes and numbers of the marker that `text` begins with.
fn marker(text: &str) -> Option<(usize, Vec<usize>)> {
    let open = text.chars().next()?;
    let close = match open {
        '[' => ']',
        '【' => '】',
        _ => '］',
    };
    let end = text.char_indices().take(MAX_MARKER_CHARS).find(|(_, c)| *c == close)?.0;
    let inside = &text[open.len_utf8()..end];
    let inside = inside.split('†').next().unwrap_or(inside).trim();
    let numbers = numbers(without_label(inside))?;
    let mut length = end + close.len_utf8();
    // A link made of a marker: its target is the model's invention.
    if let Some(rest) = text[length..].strip_prefix('(')
        && let Some((target, ')')) =
            rest.char_indices().take(MAX_LINK_CHARS).find(|(_, c)| *c == ')' || c.is_whitespace())
    {
        length += target + 2;
    }
    Some((length, numbers))
}

fn without_label(text: &str) -> &str {
    const LABELS: &[&str] = &[
        "sources",
        "source",
        "passages",
        "passage",
        "documents",
        "document",
        "doc",
        "refs",
        "ref",
        "citation",
        "^",
        "#",
        "来源",
        "資料",
        "出典",
        "文献",
        "段落",
        "引用",
    ];
    for label in LABELS {
        if let Some(head) = text.get(..label.len())
            && head.to_lowercase() == *label
        {
            return text[label.len()..].trim_start_matches([' ', ':', '：', '#', '.']);
        }
    }
    text
}

fn numbers(text: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in text.split([',', ';', '&', '、', '，', '；']) {
        let part = part.trim().trim_start_matches(['^', '#']);
        match part.split_once(['-', '–', '—', '~']) {
            Some((from, to)) => {
                let (from, to) = (plain_number(from)?, plain_number(to)?);
                // A range that is no range is kept as its ends.
                if from < to && to - from < 50 {
                    numbers.extend(from..=to)
                } else {
                    numbers.extend([from, to])
                }
            }
            None => numbers.push(plain_number(without_label(part))?),
        }
    }
    Some(numbers)
}

fn plain_number(text: &str) -> Option<usize> {
    let digits: String = text.trim().nfkc().collect();
    let plain = digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Fenced blocks and code spans: brackets in them are the language's own.
fn code_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find('`') {
        let open = at + offset;
        let ticks = text[open..].len() - text[open..].trim_start_matches('`').len();
        let fence = &text[open..open + ticks];
        let body = open + ticks;
        // A span ends within its paragraph, a fence anywhere.
        let reach = if ticks >= 3 {
            text.len()
        } else {
            text[body..].find("\n\n").map_or(text.len(), |end| body + end)
        };
        match text[body..reach].find(fence) {
            Some(end) => {
                at = body + end + ticks;
                ranges.push(open..at);
            }
            None => at = body,
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> (String, Vec<usize>, usize) {
        let marked = Marked::read(answer, 3);
        (marked.text, marked.markers.into_iter().map(|(_, number)| number).collect(), marked.dangling)
    }

    #[test]
    fn every_form_becomes_one() {
        for (answer, text, numbers) in [
            ("A [1]. B [2][3].", "A [1]. B [2][3].", vec![1, 2, 3]),
            ("A [1, 2].", "A [1][2].", vec![1, 2]),
            ("A [1-3]", "A [1][2][3]", vec![1, 2, 3]),
            ("答案【1】。", "答案[1]。", vec![1]),
            ("答え［２］。", "答え[2]。", vec![2]),
            ("A [Source 1; Source 2]", "A [1][2]", vec![1, 2]),
            ("A [^3] B [来源：1]", "A [3] B [1]", vec![3, 1]),
            ("A 【2†handbook】", "A [2]", vec![2]),
            ("A [1](http://evil.example/x).", "A [1].", vec![1]),
            ("A [1] (see below)", "A [1] (see below)", vec![1]),
            ("A [1, 1]", "A [1]", vec![1]),
        ] {
            assert_eq!(read(answer), (text.to_owned(), numbers, 0), "{answer}");
        }
    }

    #[test]
    fn markers_that_point_nowhere_go_and_are_counted() {
        assert_eq!(read("A [9]. B [0] C [2, 7]."), ("A. B C [2].".to_owned(), vec![2], 3));
        assert_eq!(read("[4]"), (String::new(), vec![], 1));
    }

    #[test]
    fn other_brackets_and_code_stay() {
        for text in [
            "In [2023] it was [sic] so [a](b).",
            "Use `list[1]` or\n```\nx[1]\n```\n[",
            "[1",
            "[]",
            "[-1]",
            "[1,]",
        ] {
            assert_eq!(read(text), (text.to_owned(), vec![], 0), "{text}");
        }
        assert_eq!(read("It's `a` [1]").1, [1]);
    }

    #[test]
    fn positions_are_in_characters_of_the_plain_text() {
        let marked = Marked::read("年假[1]。Ok [2]", 2);
        assert_eq!((marked.plain.as_str(), marked.markers), ("年假。Ok ", vec![(2, 1), (6, 2)]));
    }
}
