//! Markers, links and images.

use super::{
    super::{
        links::{Look, address, label, target},
        markers::marker,
    },
    Cleaner,
};

impl Cleaner {
    pub(super) fn bracket(&mut self, last: bool) -> bool {
        match marker(&self.pending) {
            Look::Wait if !last => false,
            Look::Yes((length, numbers)) => self.marker(length, &numbers, last),
            _ if self.pending[0] != '[' => self.show(1),
            _ => self.link(0, last),
        }
    }

    fn marker(&mut self, length: usize, numbers: &[usize], last: bool) -> bool {
        let mut end = length;
        match self.pending.get(length).copied() {
            None if !last => return false,
            // A link made of a marker: its target is the model's invention.
            Some('(') => match target(&self.pending[length..]) {
                Look::Wait if !last => return false,
                Look::Yes((more, _)) => end += more,
                _ => {}
            },
            _ => {}
        }
        let next = self.pending.get(end).copied();
        if next.is_none() && !last {
            return false;
        }
        self.neutralised += usize::from(end > length);
        let mut valid: Vec<usize> = Vec::new();
        for &number in numbers {
            if !(1..=self.passages).contains(&number) {
                self.dangling += 1;
            } else if !valid.contains(&number) {
                valid.push(number);
            }
        }
        // At the start of a line `[1]:` defines where every [1] links to.
        let defines = next == Some(':') && self.shown.line_begins();
        for number in &valid {
            self.shown.push_marker(*number);
        }
        if valid.is_empty() {
            if next.is_none_or(|c| c.is_whitespace() || ".,;:!?)".contains(c)) {
                self.shown.unspace();
            }
            self.shown.cut();
        }
        let part = !valid.is_empty() && (defines || next == Some('('));
        self.replace(end, if part { &[' '] } else { &[] })
    }

    /// `[text](target)` behind `skip` characters, which are an image's `!`.
    fn link(&mut self, skip: usize, last: bool) -> bool {
        let length = match label(&self.pending[skip..]) {
            Look::Wait if !last => return false,
            Look::Yes(length) => skip + length,
            _ => return self.show(1),
        };
        let text: Vec<char> = self.pending[skip + 1..length - 1].to_vec();
        match self.pending.get(length) {
            None if !last => false,
            Some('(') => match target(&self.pending[length..]) {
                Look::Wait if !last => false,
                Look::Yes((more, destination)) => self.pointed(skip > 0, length + more, text, &destination),
                _ => self.show(1),
            },
            Some('[') if skip > 0 => match label(&self.pending[length..]) {
                Look::Wait if !last => false,
                Look::Yes(more) => self.neutralise(length + more, &text),
                _ => self.show(1),
            },
            _ if skip > 0 => self.neutralise(length, &text),
            _ => self.show(1),
        }
    }

    fn pointed(&mut self, image: bool, length: usize, mut text: Vec<char>, destination: &[char]) -> bool {
        let whole = !destination.is_empty() && address(destination) == destination.len();
        if !(whole && self.addresses.has(destination)) {
            return self.neutralise(length, &text);
        }
        let plain = !text.is_empty() && text.iter().all(|c| c.is_alphanumeric() || " ,;'’()-–".contains(*c));
        if plain && !image {
            self.shown.push('[');
            self.shown.push_all(&text);
            self.shown.push_all(&[']', '(']);
            self.shown.push_all(destination);
            self.shown.push(')');
            return self.replace(length, &[]);
        }
        text.push(' ');
        text.extend_from_slice(destination);
        text.push(' ');
        if image { self.neutralise(length, &text) } else { self.instead(length, &text) }
    }

    pub(super) fn image(&mut self, last: bool) -> bool {
        match self.pending.get(1) {
            None if !last => false,
            Some('[') => match marker(&self.pending[1..]) {
                Look::Wait if !last => false,
                Look::Yes((length, _)) if self.pending.get(1 + length) != Some(&'(') => {
                    if self.pending.len() > 1 + length || last { self.broken(1) } else { false }
                }
                _ => self.link(1, last),
            },
            _ => self.show(1),
        }
    }
}
