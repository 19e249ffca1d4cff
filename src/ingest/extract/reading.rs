//! What the frames of one file add up to.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, RangeInclusive},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    ExtractError, Extracted, Format, Limits, Page, WorkerCommand, notes, pdf,
    process::{self, Bounds, End},
    protocol::{Frame, Job, Work},
};

/// Reads a format without pages: one reader, one run.
pub(super) async fn read_unpaged(
    format: Format,
    bytes: &[u8],
    limits: &Limits,
    worker: &WorkerCommand,
) -> Result<Extracted, ExtractError> {
    let mut reading = Reading::new(format, limits.clone());
    match reading.run(Work::First { from_page: 1 }, bytes, worker).await? {
        None => reading.finish(),
        Some(Failure::OutOfMemory) => Err(ExtractError::OutOfMemory { limit: limits.memory_bytes }),
        Some(Failure::Slow) => Err(ExtractError::Timeout { after: limits.time }),
        Some(Failure::Died(reason)) => Err(ExtractError::Crashed { reason }),
    }
}

/// A run that did not get to its end, where another reader may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    OutOfMemory,
    Slow,
    Died(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("needs too much memory"),
            Self::Slow => f.write_str("takes too long"),
            Self::Died(reason) => write!(f, "fails: {reason}"),
        }
    }
}

/// A page that no reader vouches for yet.
#[derive(Debug, Default)]
struct Doubt {
    reasons: Vec<String>,
    /// What the first reader read; counts when the second has nothing better.
    text: Option<String>,
}

/// The file so far.
pub(super) struct Reading {
    format: Format,
    limits: Limits,
    deadline: Instant,
    title: Option<String>,
    tags: Vec<String>,
    language: Option<String>,
    /// `None` until a reader has opened the file.
    pub page_count: Option<u32>,
    /// The last page that a frame of the present run spoke of.
    pub last_page: u32,
    pages: BTreeMap<u32, String>,
    blanks: BTreeMap<u32, bool>,
    doubts: BTreeMap<u32, Doubt>,
    /// Why readers cannot read the file at all, in their order.
    pub unreadable: Vec<String>,
    warnings: Vec<String>,
    characters: u64,
    verdict: Option<ExtractError>,
}

impl Reading {
    pub fn new(format: Format, limits: Limits) -> Self {
        Self {
            format,
            deadline: Instant::now() + limits.time,
            limits,
            title: None,
            tags: Vec::new(),
            language: None,
            page_count: None,
            last_page: 0,
            pages: BTreeMap::new(),
            blanks: BTreeMap::new(),
            doubts: BTreeMap::new(),
            unreadable: Vec::new(),
            warnings: Vec::new(),
            characters: 0,
            verdict: None,
        }
    }

    /// Runs one reader and takes its frames. `Ok(None)`: it got to its end.
    pub async fn run(
        &mut self,
        work: Work,
        bytes: &[u8],
        worker: &WorkerCommand,
    ) -> Result<Option<Failure>, ExtractError> {
        let Limits { pages, characters, time, memory_bytes, .. } = self.limits;
        let job = Job {
            format: self.format,
            work,
            max_pages: pages,
            max_characters: characters,
            memory_bytes,
            // Ends a reader whose service has gone; while it is there the clock on the wall comes first.
            cpu_seconds: time.as_secs() + 2,
        };
        // A reader that says nothing for two thirds of the time leaves the last third to the other one.
        let bounds = Bounds {
            deadline: self.deadline,
            patience: time.mul_f64(2.0 / 3.0).max(Duration::from_millis(1)),
        };
        self.last_page = 0;
        let end = process::run(worker, &job, bytes, bounds, |frame| self.take(frame)).await;
        if let Some(verdict) = self.verdict.take() {
            return Err(verdict);
        }
        match end {
            End::Finished | End::Stopped => Ok(None),
            End::TimedOut => Err(ExtractError::Timeout { after: time }),
            End::TooMuchOutput => Err(ExtractError::TooMuchText { limit: characters }),
            End::NotStarted(reason) => Err(ExtractError::Worker { reason }),
            End::Stalled => Ok(Some(Failure::Slow)),
            End::OutOfMemory => Ok(Some(Failure::OutOfMemory)),
            End::Died(reason) => Ok(Some(Failure::Died(reason))),
        }
    }

    /// Frames come from a process that held hostile bytes: every number is checked again.
    fn take(&mut self, frame: Frame) -> ControlFlow<()> {
        let limits = &self.limits;
        let verdict = match frame {
            Frame::Opened { pages, .. } if pages > limits.pages => {
                ExtractError::TooManyPages { pages, limit: limits.pages }
            }
            Frame::Opened { pages, title, tags, language } => {
                if self.page_count.is_none() {
                    self.page_count = Some(pages);
                    (self.title, self.tags, self.language) = (title, tags, language);
                }
                return ControlFlow::Continue(());
            }
            Frame::Page { number, text } => return self.take_page(number, text),
            Frame::Blank { number, images } => {
                self.see(number);
                if let Some(doubt) = self.doubts.get_mut(&number) {
                    doubt.reasons.push("it finds no text".into());
                } else if self.numbers().contains(&number) {
                    self.blanks.insert(number, images);
                }
                return ControlFlow::Continue(());
            }
            Frame::Doubt { number, reason, text } => {
                self.see(number);
                self.doubt(number, reason, text);
                return ControlFlow::Continue(());
            }
            Frame::Unreadable { reason } => {
                self.unreadable.push(reason);
                return ControlFlow::Continue(());
            }
            Frame::Warning { text } => {
                // The decoder and the front matter have five between them.
                if self.warnings.len() < 10 {
                    self.warnings.push(text);
                }
                return ControlFlow::Continue(());
            }
            Frame::Done => return ControlFlow::Continue(()),
            Frame::Refused { reason } => ExtractError::Refused { reason },
            Frame::Empty { reason } => ExtractError::Empty { reason },
            Frame::TooManyPages { pages } => ExtractError::TooManyPages { pages, limit: limits.pages },
            Frame::TooMuchText => ExtractError::TooMuchText { limit: limits.characters },
        };
        self.verdict = Some(verdict);
        ControlFlow::Break(())
    }

    fn take_page(&mut self, number: u32, text: String) -> ControlFlow<()> {
        self.see(number);
        if !self.numbers().contains(&number) || self.pages.contains_key(&number) || text.trim().is_empty() {
            return ControlFlow::Continue(());
        }
        let text = match self.doubts.remove(&number).and_then(|doubt| doubt.text) {
            Some(first) => pdf::better(first, text),
            None => text,
        };
        self.keep(number, text)
    }

    fn keep(&mut self, number: u32, text: String) -> ControlFlow<()> {
        self.characters += text.chars().count() as u64;
        if self.characters > self.limits.characters {
            self.verdict = Some(ExtractError::TooMuchText { limit: self.limits.characters });
            return ControlFlow::Break(());
        }
        self.pages.insert(number, text);
        ControlFlow::Continue(())
    }

    /// The page numbers that the file can have.
    fn numbers(&self) -> RangeInclusive<u32> {
        if self.format == Format::Pdf { 1..=self.page_count.unwrap_or(0) } else { 0..=0 }
    }

    fn see(&mut self, number: u32) {
        self.last_page = self.last_page.max(number);
    }

    pub fn doubt(&mut self, number: u32, reason: String, text: Option<String>) {
        if self.numbers().contains(&number) && !self.pages.contains_key(&number) {
            let doubt = self.doubts.entry(number).or_default();
            doubt.reasons.push(reason);
            doubt.text = doubt.text.take().or(text);
        }
    }

    /// The pages that another reader shall read.
    pub fn doubted(&self) -> Vec<u32> {
        self.doubts.keys().copied().collect()
    }

    /// The document, or why it gives no text.
    pub fn finish(mut self) -> Result<Extracted, ExtractError> {
        let mut notes: BTreeMap<u32, String> = BTreeMap::new();
        for (number, images) in &self.blanks {
            let note = if *images { "no text; it looks like a scan and needs OCR" } else { "empty" };
            notes.insert(*number, note.into());
        }
        for (number, doubt) in std::mem::take(&mut self.doubts) {
            match doubt.text {
                // Beyond the limit of characters this sets the verdict.
                Some(text) => _ = self.keep(number, text),
                None => _ = notes.insert(number, format!("not indexed: {}", notes::readers(&doubt.reasons))),
            }
        }
        if let Some(verdict) = self.verdict {
            return Err(verdict);
        }
        let page_count = self.page_count.unwrap_or(0);
        if self.pages.is_empty() {
            return Err(notes::nothing(page_count, &self.blanks, &notes, &self.unreadable));
        }
        self.warnings.extend(notes::collapse(&notes));
        let paged = self.format == Format::Pdf;
        let pages =
            self.pages.into_iter().map(|(n, text)| Page { number: paged.then_some(n), text }).collect();
        Ok(Extracted {
            format: self.format,
            title: self.title,
            tags: self.tags,
            language: self.language,
            pages,
            page_count,
            characters: self.characters,
            warnings: self.warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { file_bytes: 1, pages: 100, characters: 50, time: Duration::from_secs(9), memory_bytes: 1 }
    }

    fn reading(pages: u32, frames: impl IntoIterator<Item = Frame>) -> Reading {
        let mut reading = Reading::new(Format::Pdf, limits());
        let _ = reading.take(Frame::Opened { pages, title: None, tags: vec![], language: None });
        for frame in frames {
            let _ = reading.take(frame);
        }
        reading
    }

    fn page(number: u32, text: &str) -> Frame {
        Frame::Page { number, text: text.into() }
    }

    fn doubt(number: u32, reason: &str) -> Frame {
        Frame::Doubt { number, reason: reason.into(), text: None }
    }

    #[test]
    fn long_runs_of_the_same_warning_become_one_line() {
        let blanks = (3..=57).map(|number| Frame::Blank { number, images: true });
        let frames = [page(1, "text"), doubt(2, "no map")].into_iter().chain(blanks);
        let warnings = reading(60, frames).finish().unwrap().warnings;
        assert_eq!(
            warnings,
            ["page 2: not indexed: no map", "pages 3-57: no text; it looks like a scan and needs OCR"]
        );
    }

    #[test]
    fn warnings_are_few_even_when_no_two_neighbours_agree() {
        let frames = (1..=99)
            .map(|n| if n % 2 == 0 { doubt(n, "bad") } else { Frame::Blank { number: n, images: n > 90 } });
        let warnings = reading(100, frames.chain([page(100, "x")])).finish().unwrap().warnings;
        assert_eq!(warnings.len(), 21);
        assert_eq!(warnings[20], "79 more page(s) without text");
    }

    #[test]
    fn the_second_reader_settles_a_doubt_or_both_reasons_are_told() {
        let mut reading = reading(2, [doubt(1, "no map"), doubt(2, "no map")]);
        assert_eq!(reading.doubted(), [1, 2]);
        let _ = reading.take(page(1, "text"));
        let _ = reading.take(doubt(2, "panics"));
        let extracted = reading.finish().unwrap();
        assert_eq!(extracted.pages, [Page { number: Some(1), text: "text".into() }]);
        assert_eq!(extracted.warnings, ["page 2: not indexed: first reader: no map; second reader: panics"]);
    }

    #[test]
    fn a_file_without_text_says_why() {
        let scan = reading(1, [Frame::Blank { number: 1, images: true }]).finish().unwrap_err();
        assert!(scan.to_string().contains("OCR"), "{scan}");
        let blank =
            reading(2, [1, 2].map(|number| Frame::Blank { number, images: false })).finish().unwrap_err();
        assert!(blank.to_string().contains("2 page(s) are empty"), "{blank}");
        let broken = reading(1, [doubt(1, "no map")]).finish().unwrap_err();
        assert!(broken.to_string().contains("page 1: not indexed: no map"), "{broken}");
    }

    #[test]
    fn frames_that_lie_do_no_harm() {
        let frames = [
            page(1, "one"),
            page(1, "again"),
            page(7, "beyond"),
            page(0, "zero"),
            doubt(9, "x"),
            page(2, " "),
        ];
        let extracted = reading(2, frames).finish().unwrap();
        assert_eq!(extracted.pages.iter().map(|p| p.number).collect::<Vec<_>>(), [Some(1)]);
        let too_much = reading(2, [page(1, &"x".repeat(51))]).finish().unwrap_err();
        assert!(matches!(too_much, ExtractError::TooMuchText { limit: 50 }));
        let mut many = Reading::new(Format::Pdf, limits());
        assert!(
            many.take(Frame::Opened { pages: 101, title: None, tags: vec![], language: None }).is_break()
        );
    }
}
