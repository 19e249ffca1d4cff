//! Fenced blocks and code spans, written so that every renderer pairs them alike.

use super::{Cleaner, State};

/// Longer spans than this are read as text.
const MAX_CODE_SPAN: usize = 400;
const MAX_INFO: usize = 100;

impl Cleaner {
    /// A run of backticks or tildes: a fence, a code span, or neither.
    pub(super) fn ticks(&mut self, mark: char, last: bool) -> bool {
        let run = self.pending.iter().take_while(|c| **c == mark).count();
        if run == self.pending.len() && !last && run <= MAX_INFO {
            return false;
        }
        if run >= 3 && self.shown.line_begins() {
            let info = &self.pending[run..];
            let end = info.iter().position(|c| *c == '\n' || *c == mark && mark == '`');
            match end.map(|end| (end, info[end])) {
                None if info.len() <= MAX_INFO && run <= MAX_INFO && !last => return false,
                // Words behind the mark are no program text; they are shown in the block itself.
                None => return self.fence(mark, run, 0),
                Some((end, '\n')) => return self.fence(mark, run, end),
                _ => {}
            }
        }
        if mark == '~' {
            return self.show(run);
        }
        let body = &self.pending[run..];
        let mut at = 0;
        let mut closed = None;
        while at < body.len().min(MAX_CODE_SPAN) && body[at] != '\n' && !self.unpaired && run <= MAX_INFO {
            let ticks = body[at..].iter().take_while(|c| **c == '`').count();
            if ticks == run && (at + ticks < body.len() || last) {
                closed = Some(at);
                break;
            }
            at += ticks.max(1);
        }
        if let Some(end) = closed {
            // The cells of a table part before its code does.
            let active = body[..end].contains(&'|') && body[..end].iter().any(|c| "[<:.@".contains(*c));
            if !active {
                return self.show(run + end + run);
            }
        } else if !self.unpaired && run <= MAX_INFO && at >= body.len() && at < MAX_CODE_SPAN && !last {
            return false;
        }
        self.unpaired = true;
        if run >= 3 && self.shown.line_begins() {
            let parted: Vec<char> = std::iter::repeat_n(['`', ' '], run.min(MAX_INFO)).flatten().collect();
            self.shown.push_all(&parted);
            return self.replace(run, &[]);
        }
        self.show(run)
    }

    /// A fence stands at the start of a line, where every renderer sees it as one and nothing else ends it.
    fn fence(&mut self, mark: char, run: usize, info: usize) -> bool {
        let length = run.min(MAX_INFO);
        self.shown.begin_line();
        self.shown.push_all(&vec![mark; length]);
        let info: Vec<char> = self.pending[run..run + info]
            .iter()
            .copied()
            .take_while(|c| c.is_alphanumeric() || "+-#._".contains(*c))
            .collect();
        self.shown.push_all(&info);
        self.state = State::Code { mark, length, line: String::new() };
        let behind = self.pending.get(run) == Some(&'\n') || !info.is_empty();
        let consumed = self.pending[run..]
            .iter()
            .position(|c| *c == '\n')
            .filter(|_| behind)
            .map_or(run, |end| run + end);
        self.pending.drain(..consumed);
        if self.pending.first() == Some(&'\n') {
            return self.show(1);
        }
        self.shown.push('\n');
        true
    }
}

/// Whether a line ends a block that was opened with `length` marks.
pub(super) fn closes(line: &str, mark: char, length: usize) -> bool {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let text = line.trim_end_matches([' ', '\t']).trim_start_matches(' ');
    indent <= 3 && text.chars().count() >= length && text.chars().all(|c| c == mark)
}
