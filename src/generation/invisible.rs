//! Takes out what nobody sees: characters that can carry orders into a prompt or data out of an answer.

/// Everything that can be seen, in order. Lines end with `\n` alone.
pub fn visible(text: &str) -> String {
    let mut filter = Visible::default();
    text.chars().flat_map(|c| filter.push(c)).flatten().collect()
}

/// The same, a character at a time.
#[derive(Debug, Default)]
pub struct Visible {
    previous: Option<char>,
    /// A joiner is judged by both its neighbours.
    joiner: Option<char>,
    after_return: bool,
}

impl Visible {
    /// What can be passed on now: a joiner that was held back, and the character itself.
    pub fn push(&mut self, c: char) -> [Option<char>; 2] {
        let line_feed_of_a_pair = c == '\n' && self.after_return;
        self.after_return = c == '\r';
        let c = match c {
            '\r' | '\u{2028}' | '\u{2029}' => '\n',
            _ => c,
        };
        if line_feed_of_a_pair || is_hidden(c) || (is_selector(c) && !self.can_be_varied(c)) {
            return [None, None];
        }
        if matches!(c, '\u{200C}' | '\u{200D}') {
            self.joiner = self.joiner.or(Some(c));
            return [None, None];
        }
        let joiner = self.joiner.take().filter(|joiner| {
            let fits: fn(char) -> bool = if *joiner == '\u{200D}' { joins } else { joins_letters };
            self.previous.is_some_and(fits) && fits(c)
        });
        self.previous = Some(c);
        [joiner, Some(c)]
    }

    /// One selector behind one character; a run of them is a hidden message.
    fn can_be_varied(&self, selector: char) -> bool {
        self.joiner.is_none()
            && self.previous.is_some_and(|previous| match selector {
                '\u{FE0E}' | '\u{FE0F}' => {
                    is_pictograph(previous) || matches!(previous, '0'..='9' | '#' | '*' | '©' | '®')
                }
                '\u{E0100}'..='\u{E01EF}' => {
                    matches!(previous, '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{323AF}')
                }
                _ => joins_letters(previous),
            })
    }
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{FE00}'..='\u{FE0F}' | '\u{180B}'..='\u{180D}' | '\u{180F}' | '\u{E0100}'..='\u{E01EF}')
}

fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}'
            | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFC}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}')
}

fn joins(c: char) -> bool {
    is_pictograph(c) || c == '\u{FE0F}' || joins_letters(c)
}

/// Scripts whose spelling needs joiners: Arabic to Sinhala, Burmese, Khmer, Mongolian.
fn joins_letters(c: char) -> bool {
    matches!(c, '\u{0600}'..='\u{0DFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{18AF}')
}

fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{203C}' | '\u{2049}' | '\u{2139}' | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{27BF}'
        | '\u{2900}'..='\u{2BFF}' | '\u{3030}' | '\u{303D}' | '\u{1F000}'..='\u{1FAFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_go() {
        for hidden in
            ["\u{200B}", "\u{202E}", "\u{E0041}\u{E007F}", "\u{FEFF}", "\u{2063}", "\0", "\u{AD}", "\u{200D}"]
        {
            assert_eq!(visible(&format!("ha{hidden}rm")), "harm", "{hidden:?}");
        }
        assert_eq!(visible("a\r\nb\rc\u{2028}d\n\ne"), "a\nb\nc\nd\n\ne");
        let smuggled: String = "😀".chars().chain("\u{FE01}\u{E0120}\u{E0130}".chars()).collect();
        assert_eq!(visible(&smuggled), "😀");
    }

    #[test]
    fn what_scripts_and_emoji_need_stays() {
        for text in
            ["👩\u{200D}🔬 ❤\u{FE0F} 1\u{FE0F}\u{20E3}", "می\u{200C}خواهم", "क्\u{200D}ष", "葛\u{E0100}城"]
        {
            assert_eq!(visible(text), text);
        }
        assert_eq!(visible("a\u{200D}\u{200D}b 👩\u{200D}"), "ab 👩");
    }
}
