//! What the service and its reader process say to each other: a job on stdin, frames on stdout.

use serde::{Deserialize, Serialize};

use super::Format;

/// Opens every frame's line, so that a library's stray print cannot pass for a frame.
pub(super) const FRAME_MARK: u8 = 0x1e;

/// First line of the reader's stdin; the bytes of the file follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub format: Format,
    pub work: Work,
    pub max_pages: u32,
    pub max_characters: u64,
    pub memory_bytes: u64,
    pub cpu_seconds: u64,
}

/// Which reader does what; pages count from 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Work {
    /// pdf_oxide, or the only reader of a format without pages.
    First { from_page: u32 },
    /// pdf-extract, over these pages; all when empty.
    Second { pages: Vec<u32> },
}

/// One line of the reader's stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Frame {
    /// The file is open. `pages` is 0 for formats without pages.
    Opened {
        pages: u32,
        title: Option<String>,
        tags: Vec<String>,
        language: Option<String>,
    },
    /// Usable text; `number` is 0 for formats without pages.
    Page {
        number: u32,
        text: String,
    },
    /// There is nothing to read on this page; with `images` it looks like a scan.
    Blank {
        number: u32,
        images: bool,
    },
    /// This reader does not vouch for the page. `text` is what it read, where that may still be the best there is.
    Doubt {
        number: u32,
        reason: String,
        text: Option<String>,
    },
    /// This reader cannot read the file at all; another one may.
    Unreadable {
        reason: String,
    },
    /// No reader shall read the file.
    Refused {
        reason: String,
    },
    /// There is nothing in the file.
    Empty {
        reason: String,
    },
    TooManyPages {
        pages: u32,
    },
    TooMuchText,
    Warning {
        text: String,
    },
    /// The last frame of a reader that got to the end.
    Done,
}

/// A library's message as part of one of ours: one line, short, and cut where it starts to quote content.
pub(super) fn short(message: &str) -> String {
    const MAX_CHARS: usize = 120;
    let line = message.lines().next().unwrap_or_default();
    let line = line.split("; it is inside").next().unwrap_or_default();
    let line = line.split(['`', '[', '{', '(']).next().unwrap_or_default();
    let mut text: String = line.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    text.truncate(text.trim_end_matches([' ', ':', ',']).len());
    if text.is_empty() { "no reason given".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_message_is_cut_before_it_quotes_the_file() {
        assert_eq!(short("Parsing Error: Error { input: [91, 49] }"), "Parsing Error: Error");
        assert_eq!(short("byte index 3 is not a boundary; it is inside `secret`\nbacktrace"), {
            "byte index 3 is not a boundary"
        });
        assert_eq!(short(""), "no reason given");
        assert!(short(&"x".repeat(5_000)).len() <= 120);
    }
}
