//! What a reader has been shown of an answer, and what is known about the place where it stands.

/// Blank lines in a row and the indent of a line are bounded: blanks are held back until something follows.
const MAX_NEWLINES: usize = 20;
const MAX_INDENT: usize = 100;
/// Longest scheme or mailbox that is looked at backwards.
const MAX_TAIL: usize = 64;

/// Grows at its end. Blanks at both ends are never shown.
#[derive(Debug, Default)]
pub struct Shown {
    ready: String,
    /// The same text without markers, and where in it, in Unicode scalar values, each marker stood.
    plain: String,
    length: usize,
    markers: Vec<(usize, usize)>,
    newlines: usize,
    indent: String,
    /// ASCII letters, digits and `._%+-` right before the end.
    tail: String,
    last: Option<char>,
    line_has_letters: bool,
    /// Something was taken out right here.
    seam: bool,
    /// The blanks on both sides of something that was taken out are shown once.
    one_blank: bool,
    /// An address ends here or in front of the punctuation behind it.
    sealed: bool,
}

impl Shown {
    pub fn push(&mut self, c: char) {
        if c == '\n' {
            self.one_blank = false;
            self.newlines = (self.newlines + 1).min(MAX_NEWLINES);
            self.indent.clear();
        } else if c.is_whitespace() {
            if !self.one_blank && self.indent.len() < MAX_INDENT {
                self.indent.push(c);
            }
        } else {
            self.mend(c);
            self.put_blanks();
            self.put(c);
        }
    }

    pub fn push_all(&mut self, text: &[char]) {
        for c in text {
            self.push(*c);
        }
    }

    pub fn push_marker(&mut self, number: usize) {
        self.mend('[');
        self.put_blanks();
        self.markers.push((self.length, number));
        self.ready.push_str(&format!("[{number}]"));
        self.last = Some(']');
        self.tail.clear();
    }

    /// What is on both sides of something that was taken out must not join to something new.
    pub fn cut(&mut self) {
        self.seam = !self.blank();
        self.one_blank = self.blank();
    }

    /// Puts a blank in front of a `next` that would make a link, an image, a tag, code or a marker of the end.
    pub fn keep_apart(&mut self, next: char) {
        if !self.blank() && !next.is_whitespace() && ("]@".contains(next) || self.open()) {
            self.push(' ');
        }
    }

    /// Leaves one blank in the place of what was taken out.
    pub fn part(&mut self) {
        if !self.blank() {
            self.push(' ');
        }
        self.one_blank = true;
    }

    /// The address that was just shown must not be longer for any renderer.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// Takes back the blank in front of something that was taken out.
    pub fn unspace(&mut self) {
        self.indent.pop();
    }

    /// For what must stand at the very start of a line.
    pub fn begin_line(&mut self) {
        if self.last.is_some() && self.newlines == 0 {
            self.push('\n');
        }
        self.indent.clear();
    }

    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.ready)
    }

    pub fn into_plain(self) -> (String, Vec<(usize, usize)>) {
        (self.plain, self.markers)
    }

    pub fn tail(&self) -> &str {
        if self.blank() { "" } else { &self.tail }
    }

    /// Only what can stand in front of a block, such as indents, quote marks and bullets, is on this line so far.
    pub fn line_begins(&self) -> bool {
        self.newlines > 0 || !self.line_has_letters
    }

    pub fn line_is_blank(&self) -> bool {
        self.newlines > 0 || self.last.is_none()
    }

    fn blank(&self) -> bool {
        self.newlines > 0 || !self.indent.is_empty() || self.last.is_none()
    }

    /// What ends with one of these may get another meaning by what follows.
    fn open(&self) -> bool {
        self.last.is_some_and(|last| "<!&\\`[]:/@.~".contains(last))
    }

    fn mend(&mut self, next: char) {
        if self.sealed && (self.blank() || !".,:;!?*_~')".contains(next)) {
            self.sealed = false;
            if !self.blank() {
                self.indent.push(' ');
            }
        }
        let seam = std::mem::take(&mut self.seam) && !self.blank();
        if seam && (self.open() || !(next.is_alphanumeric() || ".,;:!?)。、，；：！？）".contains(next)))
        {
            self.indent.push(' ');
        }
    }

    fn put_blanks(&mut self) {
        self.one_blank = false;
        let newlines = std::mem::take(&mut self.newlines);
        let indent = std::mem::take(&mut self.indent);
        if self.last.is_none() {
            return;
        }
        for c in std::iter::repeat_n('\n', newlines).chain(indent.chars()) {
            self.put(c);
        }
    }

    fn put(&mut self, c: char) {
        self.ready.push(c);
        self.plain.push(c);
        self.length += 1;
        self.last = Some(c);
        if c == '\n' {
            self.line_has_letters = false;
        }
        self.line_has_letters |= c.is_alphabetic();
        if c.is_ascii_alphanumeric() || "._%+-".contains(c) {
            if self.tail.len() >= 4 * MAX_TAIL {
                self.tail.clear();
            }
            self.tail.push(c);
        } else {
            self.tail.clear();
        }
    }
}
