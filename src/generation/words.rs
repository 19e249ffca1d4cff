//! What a text is about, as sets that can be compared: content words, bigrams, numbers.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use super::language::is_function_word;

/// The content of a text without its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Stems of content words; pairs of characters in scripts that are written without spaces.
    pub words: BTreeSet<String>,
    /// Digits with separators made alike: `1,000` is `1000`, `3,5` is `3.5`.
    pub numbers: BTreeSet<String>,
    /// Small numbers spelled out in English, as digits: they may confirm a number, not demand one.
    pub spelled: BTreeSet<String>,
}

impl Terms {
    pub fn of(text: &str) -> Self {
        let mut terms = Self::default();
        let mut stopped = BTreeSet::new();
        let text: Vec<char> =
            text.nfkc().map(|c| if c == '’' { '\'' } else { c }).flat_map(char::to_lowercase).collect();
        let mut at = 0;
        while at < text.len() {
            let run = run_length(&text[at..]);
            let (word, kind) = (&text[at..at + run.0], run.1);
            at += run.0.max(1);
            match kind {
                Run::Other => {}
                Run::Unspaced => bigrams(word, &mut terms.words, &mut stopped),
                Run::Word => {
                    if let Some(number) = number(word) {
                        terms.numbers.insert(number);
                        continue;
                    }
                    let word: String = word.iter().collect();
                    if let Some(value) = SPELLED.iter().position(|spelled| *spelled == word) {
                        terms.spelled.insert(value.to_string());
                    }
                    let home = if is_function_word(&word) { &mut stopped } else { &mut terms.words };
                    home.insert(stem(word));
                }
            }
        }
        // "Who are you?" has no content word; its function words are better than nothing.
        if terms.words.is_empty() {
            terms.words = stopped;
        }
        terms
    }

    /// Words and numbers together.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.words.iter().chain(&self.numbers)
    }

    pub fn contains(&self, term: &str) -> bool {
        self.words.contains(term) || self.numbers.contains(term)
    }

    pub fn has_number(&self, number: &str) -> bool {
        self.numbers.contains(number) || self.spelled.contains(number)
    }

    pub fn len(&self) -> usize {
        self.words.len() + self.numbers.len()
    }

    /// The share of these terms that `other` has too, 0 to 1; `None` without terms.
    pub fn covered_by(&self, other: &Self) -> Option<f32> {
        self.covered_by_either(other, other)
    }

    /// The same, over two texts at once.
    pub fn covered_by_either(&self, one: &Self, other: &Self) -> Option<f32> {
        let word = |word: &&String| one.words.contains(*word) || other.words.contains(*word);
        let number = |number: &&String| one.has_number(number) || other.has_number(number);
        let shared = self.words.iter().filter(word).count() + self.numbers.iter().filter(number).count();
        (self.len() > 0).then(|| shared as f32 / self.len() as f32)
    }

    /// Shared terms over the terms of the shorter text: 1 for a part of the other.
    pub fn resemblance(&self, other: &Self) -> f32 {
        let (short, long) = if self.len() <= other.len() { (self, other) } else { (other, self) };
        short.covered_by(long).unwrap_or(1.0)
    }
}

/// Han, kana, Hangul, Thai and their neighbours: words are not to be had without a dictionary, or
/// carry particles, so pairs of characters stand in for them.
pub fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
        && c != '\u{30FB}'
}

pub fn is_kana(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}')
}

#[derive(Clone, Copy)]
enum Run {
    Word,
    Unspaced,
    Other,
}

fn run_length(text: &[char]) -> (usize, Run) {
    let Some(&first) = text.first() else { return (0, Run::Other) };
    let word = |c: char| c.is_alphanumeric() && !is_unspaced(c);
    if is_unspaced(first) {
        return (text.iter().take_while(|c| is_unspaced(**c)).count(), Run::Unspaced);
    }
    if !word(first) {
        return (1, Run::Other);
    }
    // Joined inside a number, and inside a word by an apostrophe; digits and letters part, as in "25天" or "5GB".
    let digits = first.is_numeric();
    let joiners: &[char] = if digits { &['.', ','] } else { &['\''] };
    let mut end = 1;
    while let Some(&c) = text.get(end) {
        let goes_on = word(c) && c.is_numeric() == digits;
        let joins = joiners.contains(&c)
            && text.get(end + 1).is_some_and(|next| word(*next) && next.is_numeric() == digits);
        if !(goes_on || joins) {
            break;
        }
        end += 1;
    }
    (end, Run::Word)
}

fn bigrams(run: &[char], words: &mut BTreeSet<String>, stopped: &mut BTreeSet<String>) {
    // Particles and endings are written in hiragana, and these Han characters are particles.
    let empty = |c: &char| matches!(c, '\u{3041}'..='\u{309F}' | '的' | '了' | '吗' | '呢');
    if run.len() == 1 {
        let home = if empty(&run[0]) { stopped } else { words };
        home.insert(run.iter().collect());
        return;
    }
    for pair in run.windows(2) {
        let home = if pair.iter().all(empty) || "的了吗呢".contains(pair[0]) || "的了吗呢".contains(pair[1])
        {
            &mut *stopped
        } else {
            &mut *words
        };
        home.insert(pair.iter().collect());
    }
}

fn number(word: &[char]) -> Option<String> {
    if !word.first()?.is_numeric() {
        return None;
    }
    let text: String = word.iter().collect();
    let grouped = text.split(',').skip(1).all(|group| group.split('.').next().map_or(0, str::len) == 3);
    let text = if grouped { text.replace(',', "") } else { text.replace(',', ".") };
    // 25.0 and 25, 007 and 7.
    let text = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => text,
    };
    let trimmed = text.trim_start_matches('0');
    Some(if trimmed.is_empty() || trimmed.starts_with('.') {
        format!("0{trimmed}")
    } else {
        trimmed.to_owned()
    })
}

/// Takes off the commonest English endings: enough to match "employees" with "employee" and
/// "accrued" with "accrues", and harmless to names.
fn stem(word: String) -> String {
    if !word.is_ascii() {
        return word;
    }
    let mut word = word.strip_suffix("'s").map(str::to_owned).unwrap_or(word);
    if let Some(base) = word.strip_suffix("ies").filter(|base| base.len() >= 2) {
        word = format!("{base}y");
    } else if word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "is"].iter().any(|end| word.ends_with(end))
    {
        word.pop();
    }
    for ending in ["ing", "ed"] {
        if let Some(base) = word.strip_suffix(ending).filter(|base| base.len() >= 3) {
            let doubled = base.as_bytes()[base.len() - 1] == base.as_bytes()[base.len() - 2];
            word = if doubled && !base.ends_with(['l', 's']) {
                base[..base.len() - 1].to_owned()
            } else {
                base.to_owned()
            };
            break;
        }
    }
    if word.len() > 3 && word.ends_with('e') {
        word.pop();
    }
    word
}

const SPELLED: &[&str] = &[
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];

/// "HR" in a text of human resources.
pub fn are_initials(name: &str, text: &str) -> bool {
    let letters: Vec<char> = name.to_lowercase().chars().collect();
    let plural = name.ends_with('s') && name.len() > 2;
    let letters = if plural { &letters[..letters.len() - 1] } else { &letters[..] };
    if !(2..=6).contains(&letters.len()) || name.chars().skip(1).all(char::is_lowercase) {
        return false;
    }
    let initials: Vec<char> =
        text.split(|c: char| !c.is_alphanumeric()).filter_map(|word| word.chars().next()).collect();
    initials.windows(letters.len()).any(|run| run == letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Terms::of(text).words.into_iter().collect()
    }

    #[test]
    fn endings_and_function_words_do_not_hide_a_match() {
        assert_eq!(words("The employee's policies were planned"), words("employees policy planning"));
        assert_eq!(words("it accrues"), words("accrued accruing"));
        assert_eq!(words("Who are you?").len(), 3);
    }

    #[test]
    fn numbers_are_alike_whatever_their_separators_and_width() {
        let numbers = |text| Terms::of(text).numbers.into_iter().collect::<Vec<_>>();
        assert_eq!(numbers("1,000 and 3,5 and 2.50 and 25.0"), ["1000", "2.50", "25", "3.5"]);
        assert_eq!(numbers("年間２５日、007"), ["25", "7"]);
        assert_eq!(numbers("5GB in 2024."), ["2024", "5"]);
        assert!(Terms::of("three days").has_number("3"));
    }

    #[test]
    fn unspaced_scripts_become_pairs_without_particles() {
        assert_eq!(words("我的年假"), ["年假"]);
        assert_eq!(words("休暇です"), ["休暇", "暇で"]);
        assert_eq!(Terms::of("带薪年假为25天").numbers.len(), 1);
    }

    #[test]
    fn coverage_is_a_share_and_absent_without_terms() {
        let (a, b) = (Terms::of("annual leave 25"), Terms::of("leave of 25 days"));
        assert_eq!(a.covered_by(&b), Some(2.0 / 3.0));
        assert_eq!(Terms::of("…").covered_by(&a), None);
    }
}
