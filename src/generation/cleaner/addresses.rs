//! Addresses that renderers make links of by themselves.

use super::{
    super::links::{MAX_ADDRESS, address, in_address, in_mailbox},
    Cleaner, REMOVED, State,
};

impl Cleaner {
    /// A word that may become an address is held back before it is shown in part.
    pub(super) fn word(&mut self, last: bool) -> bool {
        let word: String = self.pending.iter().take(6).take_while(|c| c.is_alphanumeric()).collect();
        let open = word.len() == self.pending.len() && !last;
        let lower = word.to_ascii_lowercase();
        let rest = &self.pending[word.chars().count()..];
        match lower.as_str() {
            _ if open && ["https", "www"].iter().any(|known| known.starts_with(&lower)) => false,
            "http" | "https" if rest.len() < 3 && !last && [':', '/', '/'].starts_with(rest) => false,
            "http" | "https" if rest.starts_with(&[':', '/', '/']) => self.address(word.len(), last),
            "www" if rest == ['.'] && !last => false,
            "www" if rest.first() == Some(&'.') && rest.get(1).is_some_and(|c| c.is_alphanumeric()) => {
                self.address(3, last)
            }
            _ => self.show(1),
        }
    }

    pub(super) fn colon(&mut self, last: bool) -> bool {
        const SCHEMES: &[&str] = &[
            "javascript",
            "vbscript",
            "livescript",
            "data",
            "mailto",
            "xmpp",
            "file",
            "blob",
            "view-source",
            "about",
            "sms",
        ];
        let short = |length: usize| self.pending.len() < length && !last;
        if short(2) || self.pending.get(1) == Some(&'/') && short(3) {
            return false;
        }
        if self.pending.starts_with(&[':', '/', '/']) {
            return self.address(0, last);
        }
        let scheme = self.shown.tail().to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) || !self.pending.get(1).is_some_and(|c| in_address(*c)) {
            return self.show(1);
        }
        let run = self.pending.iter().take(MAX_ADDRESS).take_while(|c| in_address(**c)).count();
        if run == self.pending.len() && !last {
            return false;
        }
        // "data:25" is a label, not an address.
        let told = scheme != "data" && scheme != "about"
            || self.pending[..address(&self.pending)].iter().any(|c| ",/;".contains(*c));
        if told { self.address(0, last) } else { self.show(1) }
    }

    /// An address, of whose scheme the first letters may be shown already; at least `least` characters long.
    pub(super) fn address(&mut self, least: usize, last: bool) -> bool {
        let run = self.pending.iter().take_while(|c| in_address(**c)).count();
        if run == self.pending.len() && !last && run <= MAX_ADDRESS {
            return false;
        }
        let scheme = if least == 0 { self.shown.tail() } else { "" };
        let length = address(&self.pending).max(least).max(1);
        let whole: Vec<char> =
            scheme.chars().chain(self.pending[..length.min(self.pending.len())].iter().copied()).collect();
        if run <= MAX_ADDRESS && self.addresses.has(&whole) {
            self.shown.push_all(&self.pending[..length]);
            self.shown.seal();
            return self.replace(length, &[]);
        }
        if !scheme.is_empty() {
            self.shown.push(' ');
        }
        self.shown.push_all(&REMOVED.chars().collect::<Vec<_>>());
        if run > MAX_ADDRESS {
            self.state = State::Address;
        }
        self.neutralised += 1;
        self.replace(length, &[])
    }

    pub(super) fn mailbox(&mut self, last: bool) -> bool {
        let domain = self.pending[1..].iter().take(MAX_ADDRESS).take_while(|c| in_mailbox(**c)).count();
        if domain + 1 == self.pending.len() && !last {
            return false;
        }
        let length = address(&self.pending[..=domain]);
        let whole: Vec<char> = self
            .shown
            .tail()
            .chars()
            .filter(|c| in_mailbox(*c))
            .chain(self.pending[..length].iter().copied())
            .collect();
        if length < 4 || !self.pending[1..length].contains(&'.') || self.addresses.has(&whole) {
            return self.show(length.max(1));
        }
        self.neutralise(1, &[' ', '(', 'a', 't', ')', ' '])
    }
}
