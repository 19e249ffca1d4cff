//! Reads a citation marker in any of the forms that models write.

use unicode_normalization::UnicodeNormalization;

use super::links::Look;

/// Numbers with more digits are years or amounts in brackets.
const MAX_DIGITS: usize = 3;
/// No marker is longer than this, brackets included.
const MAX_MARKER_CHARS: usize = 64;

/// Length and numbers of the marker that `text` begins with: `[1]`, `[1, 2]`, `[1-3]`, `【1】`, `［1］`,
/// `[Source 1]`, `[^1]` and `【1†x】` are markers.
pub fn marker(text: &[char]) -> Look<(usize, Vec<usize>)> {
    let close = match text.first() {
        Some('[') => ']',
        Some('【') => '】',
        Some('［') => '］',
        _ => return Look::No,
    };
    let reach = &text[1..text.len().min(MAX_MARKER_CHARS)];
    let Some(end) = reach.iter().position(|c| *c == close || *c == '\n').map(|at| at + 1) else {
        return if text.len() < MAX_MARKER_CHARS { Look::Wait } else { Look::No };
    };
    let inside: String = text[1..end].iter().collect();
    let inside = inside.split('†').next().unwrap_or(&inside).trim();
    match numbers(without_label(inside)) {
        Some(numbers) if text[end] == close => Look::Yes((end + 1, numbers)),
        _ => Look::No,
    }
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
