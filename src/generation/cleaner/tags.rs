//! What stands in angle brackets.

use super::{
    super::links::{Angle, Look, angle},
    Cleaner, REMOVED,
};

impl Cleaner {
    pub(super) fn angle(&mut self, last: bool) -> bool {
        match angle(&self.pending) {
            Look::Wait if !last => false,
            Look::No => self.stray(last),
            Look::Wait if self.pending.len() == 1 => self.show(1),
            Look::Wait | Look::Yes(Angle::Broken) => {
                self.neutralised += 1;
                self.broken(1)
            }
            Look::Yes(Angle::Address(inside)) => {
                let length = inside.len() + 2;
                if self.addresses.has(&inside) || inside.contains(&'@') && !inside.contains(&':') {
                    return self.instead(length, &inside);
                }
                self.neutralise(length, &REMOVED.chars().collect::<Vec<_>>())
            }
            Look::Yes(Angle::Comment(length)) => {
                self.neutralised += 1;
                self.instead(length, &[])
            }
            Look::Yes(Angle::Tag { length, name, bare }) => self.tag(length, &name, bare),
        }
    }

    /// A bracket that opens neither tag nor address, unless signs before an `@` make a mailbox of what follows
    /// (CommonMark 6.5): renderers link that before they see any code in it.
    fn stray(&mut self, last: bool) -> bool {
        const MAX_LOCAL_PART: usize = 256;
        let local = |c: &&char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(**c);
        let length = self.pending[1..].iter().take(MAX_LOCAL_PART).take_while(local).count();
        match self.pending.get(length + 1) {
            None if !last && length < MAX_LOCAL_PART => false,
            Some('@') if length > 0 => self.broken(1),
            _ => self.show(1),
        }
    }

    fn tag(&mut self, length: usize, name: &str, bare: bool) -> bool {
        const ELEMENTS: &str = " a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink \
            blockquote body br button canvas caption center cite code col colgroup command content data datalist dd del details \
            dfn dialog dir div dl dt element em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 \
            h6 head header hgroup hr html i iframe image img input ins isindex kbd keygen label legend li link listing main map \
            mark marquee math menu menuitem meta meter multicol nav nextid nobr noembed noframes noscript object ol optgroup \
            option output p param picture plaintext portal pre progress q rb rp rt rtc ruby s samp script search section select \
            shadow slot small source spacer span strike strong style sub summary sup svg table tbody td template textarea tfoot \
            th thead time title tr track tt u ul var video wbr xmp ";
        const WITHIN_WORDS: &str =
            " a abbr b big code del em font i ins kbd mark s small span strike strong sub sup tt u var wbr ";
        let among = |list: &str| !name.is_empty() && list.contains(&format!(" {name} "));
        let inside = &self.pending[1..length - 1];
        let one_word = inside.iter().all(|c| c.is_ascii_alphanumeric());
        if !among(ELEMENTS) && one_word && !self.shown.line_begins() {
            return self.show(length);
        }
        if !among(ELEMENTS) && !inside.iter().any(|c| "=:-/".contains(*c)) {
            return self.broken(1);
        }
        let harmless = bare && (among(WITHIN_WORDS) || name == "br");
        self.neutralised += usize::from(!harmless);
        match name {
            // 10³ must not become 103.
            "sup" if bare && self.pending[1] != '/' => self.instead(length, &['^']),
            _ if among(WITHIN_WORDS) => self.instead(length, &[]),
            _ => {
                self.shown.part();
                self.replace(length, &[])
            }
        }
    }
}
