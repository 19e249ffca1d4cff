//! What is said about pages that gave no text.

use std::collections::BTreeMap;

use super::ExtractError;

/// The error of a file without a single page of text. `blanks` says of each empty page whether it shows images,
/// `notes` what to say of each page without text, `unreadable` why readers could not open the file.
pub(super) fn nothing(
    pages: u32,
    blanks: &BTreeMap<u32, bool>,
    notes: &BTreeMap<u32, String>,
    unreadable: &[String],
) -> ExtractError {
    if !unreadable.is_empty() {
        let mut reasons = collapse(notes);
        reasons.push(readers(unreadable));
        let reasons = reasons.join("; ");
        return ExtractError::Refused { reason: format!("the file is damaged or not supported ({reasons})") };
    }
    let reason = match blanks.values().filter(|images| **images).count() {
        scans if scans > 0 && blanks.len() == notes.len() => format!(
            "none of its {pages} page(s) holds text, {scans} look(s) like a scan; run OCR over the file and bring the result"
        ),
        _ if blanks.len() == notes.len() => format!("its {pages} page(s) are empty"),
        _ => collapse(notes).join("; "),
    };
    ExtractError::Empty { reason }
}

pub(super) fn readers(reasons: &[String]) -> String {
    match reasons {
        [first, second] if first != second => format!("first reader: {first}; second reader: {second}"),
        [first, ..] => first.clone(),
        [] => String::new(),
    }
}

/// One line for each run of neighbours with the same note, and few lines in all.
pub(super) fn collapse(notes: &BTreeMap<u32, String>) -> Vec<String> {
    const MOST_LINES: usize = 20;
    let mut runs: Vec<(u32, u32, &str)> = Vec::new();
    for (number, note) in notes {
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == *number && same == note => *last = *number,
            _ => runs.push((*number, *number, note)),
        }
    }
    let more = runs.get(MOST_LINES..).unwrap_or_default();
    let more: u32 = more.iter().map(|(first, last, _)| last - first + 1).sum();
    let lines = runs.iter().take(MOST_LINES).map(|(first, last, note)| match first == last {
        true => format!("page {first}: {note}"),
        false => format!("pages {first}-{last}: {note}"),
    });
    lines.chain((more > 0).then(|| format!("{more} more page(s) without text"))).collect()
}
