//! Makes an answer fit to be shown, a piece at a time: markers in one form, nothing hidden, nothing active.
//!
//! Each character goes through the same steps whatever piece it came in, so a streamed answer and a whole one
//! end up equal. What is decided is decided on the text that will be shown: what a removal joins is looked at
//! again, and what a renderer could pair differently (a fence in a quote, a backtick of another line) is
//! written in a form that has one reading.
//!
//! - Markers that point to a passage become `[n]`, others go.
//! - A link keeps its text. Its destination stays only if it stands verbatim in a passage; an address extended
//!   by a path or a query does not. A bare address that is in no passage becomes `(link removed)`.
//! - Images never load: what stays is their alternative text, and the address as a link if a passage has it.
//! - Tags go, with their attributes; what merely looks like one gets a blank behind its `<`.
//! - Code passes, as renderers do not act on it. A fence left open is closed at the end.

mod addresses;
mod brackets;
mod code;
mod tags;

use std::sync::Arc;

use code::closes;

use super::{
    invisible::Visible,
    links::{Addresses, Look, in_address, reference},
    shown::Shown,
};
use crate::domain::Hit;

const REMOVED: &str = "(link removed)";
const MAX_LINE: usize = 400;

/// Takes an answer in pieces and gives back what can be shown.
#[derive(Debug)]
pub struct Cleaner {
    addresses: Arc<Addresses>,
    passages: usize,
    filter: Visible,
    pending: Vec<char>,
    shown: Shown,
    state: State,
    /// A backtick that nothing closes on its line: until the next blank line no renderer's pairing is known.
    unpaired: bool,
    dangling: usize,
    neutralised: usize,
}

#[derive(Debug)]
enum State {
    Text,
    /// In the rest of an address that is not shown.
    Address,
    /// In a fenced block: its mark, how often it stands, and the line so far.
    Code {
        mark: char,
        length: usize,
        line: String,
    },
}

/// A cleaned answer as the checks need it.
#[derive(Debug)]
pub struct Cleaned {
    pub text: String,
    /// Without markers, for cutting into sentences.
    pub plain: String,
    /// Position in `plain`, in Unicode scalar values, and passage number of each marker, in order.
    pub markers: Vec<(usize, usize)>,
    pub dangling: usize,
    pub neutralised: usize,
}

/// A whole answer at once.
pub fn clean(answer: &str, hits: &[Hit]) -> Cleaned {
    let mut cleaner = Cleaner::new(hits);
    let mut text = cleaner.push(answer);
    text.push_str(&cleaner.finish());
    let (dangling, neutralised) = (cleaner.dangling, cleaner.neutralised);
    let (plain, markers) = cleaner.shown.into_plain();
    Cleaned { text, plain, markers, dangling, neutralised }
}

/// Words of the passages themselves, as an answer may quote them: with no marker of their own.
pub fn quoted(texts: &[String], hits: &[Hit]) -> Vec<String> {
    let addresses = Arc::new(Addresses::of(hits));
    let harmless = |text: &String| {
        let mut cleaner = Cleaner::with(addresses.clone(), 0);
        let mut shown = cleaner.push(text);
        shown.push_str(&cleaner.finish());
        shown
    };
    texts.iter().map(harmless).collect()
}

impl Cleaner {
    /// For an answer to these passages, numbered from 1.
    pub fn new(hits: &[Hit]) -> Self {
        Self::with(Arc::new(Addresses::of(hits)), hits.len())
    }

    fn with(addresses: Arc<Addresses>, passages: usize) -> Self {
        Self {
            addresses,
            passages,
            filter: Visible::default(),
            pending: Vec::new(),
            shown: Shown::default(),
            state: State::Text,
            unpaired: false,
            dangling: 0,
            neutralised: 0,
        }
    }

    /// What can be shown now. Only blanks and what may become a marker, link, image, tag, address or code
    /// span are held back, each up to a bound.
    pub fn push(&mut self, text: &str) -> String {
        for c in text.chars() {
            for c in self.filter.push(c).into_iter().flatten() {
                self.pending.push(c);
                while self.step(false) {}
            }
        }
        self.shown.take()
    }

    /// The rest.
    pub fn finish(&mut self) -> String {
        while self.step(true) {}
        if let State::Code { mark, length, line } = &self.state
            && !closes(line, *mark, *length)
        {
            self.shown.begin_line();
            self.shown.push_all(&vec![*mark; *length]);
        }
        self.state = State::Text;
        self.shown.take()
    }

    /// Markers that were removed because they pointed nowhere.
    pub fn dangling(&self) -> usize {
        self.dangling
    }

    /// Links, images, addresses and tags that were taken out or broken.
    pub fn neutralised(&self) -> usize {
        self.neutralised
    }

    /// Decides about the first pending character; `false` when it cannot yet. `last`: nothing follows.
    fn step(&mut self, last: bool) -> bool {
        let Some(&c) = self.pending.first() else { return false };
        match &mut self.state {
            State::Code { mark, length, line } => {
                if c == '\n' {
                    let closed = closes(line, *mark, *length);
                    line.clear();
                    if closed {
                        (self.state, self.unpaired) = (State::Text, false);
                    }
                } else if line.len() <= MAX_LINE {
                    line.push(c);
                }
                self.show(1)
            }
            State::Address if in_address(c) => self.replace(1, &[]),
            State::Address => {
                self.state = State::Text;
                true
            }
            State::Text => self.text(c, last),
        }
    }

    fn text(&mut self, c: char, last: bool) -> bool {
        let fresh_word = !self.shown.tail().ends_with(char::is_alphanumeric);
        match c {
            '\n' => {
                self.unpaired &= !self.shown.line_is_blank();
                self.show(1)
            }
            '[' | '【' | '［' => self.bracket(last),
            ']' => match self.pending.get(1) {
                None if !last => false,
                // Longer than what was looked at, or of several lines: no renderer may read a link here.
                Some('(' | ':') => self.broken(1),
                _ => self.show(1),
            },
            '!' => self.image(last),
            '<' => self.angle(last),
            '`' | '~' => self.ticks(c, last),
            '\\' => match self.pending.get(1) {
                None if !last => false,
                Some('`' | '\\') => self.show(2),
                _ => self.show(1),
            },
            '&' => match reference(&self.pending) {
                Look::Wait if !last => false,
                Look::Yes((length, c)) => self.instead(length, Visible::default().push(c)[1].as_slice()),
                _ => self.show(1),
            },
            'h' | 'H' | 'w' | 'W' if fresh_word => self.word(last),
            ':' => self.colon(last),
            '.' if self.shown.tail().eq_ignore_ascii_case("www") => self.address(0, last),
            '@' if !fresh_word => self.mailbox(last),
            _ => self.show(1),
        }
    }

    fn show(&mut self, length: usize) -> bool {
        self.shown.push_all(&self.pending[..length]);
        self.replace(length, &[])
    }

    /// Shows and parts it from what follows.
    fn broken(&mut self, length: usize) -> bool {
        self.shown.push_all(&self.pending[..length]);
        self.replace(length, &[' '])
    }

    /// Takes the first characters away and has `with` looked at next.
    fn replace(&mut self, length: usize, with: &[char]) -> bool {
        self.pending.splice(..length, with.iter().copied());
        true
    }

    /// As `replace`; what was shown before anyone knew of `with` gets no new meaning by it.
    fn instead(&mut self, length: usize, with: &[char]) -> bool {
        match with.first() {
            Some(next) => self.shown.keep_apart(*next),
            None => self.shown.cut(),
        }
        self.replace(length, with)
    }

    fn neutralise(&mut self, length: usize, with: &[char]) -> bool {
        self.neutralised += 1;
        self.instead(length, with)
    }
}

#[cfg(test)]
mod tests;
