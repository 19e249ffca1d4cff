//! What a sentence states that can be looked up: numbers with units, times of day, dates, names, quoted words.

use unicode_normalization::UnicodeNormalization;

use super::{
    language::{Language, is_function_word},
    units::{self, Unit},
    words::{Terms, are_initials, is_unspaced},
};

/// The facts of one text.
#[derive(Debug, Default)]
pub struct Facts {
    pub numbers: Vec<Number>,
    /// Minutes of the day; below 12 hours without "am" or "pm" it may be either.
    pub times: Vec<(u32, bool)>,
    pub dates: Vec<Date>,
    pub names: Vec<String>,
    pub quotes: Vec<String>,
    /// "In total" and the like: a number may be a sum.
    total: bool,
}

#[derive(Debug, Clone)]
pub struct Number {
    /// More than one where the spelling leaves it open: `1.000` is 1000 or 1.
    values: Vec<f64>,
    unit: Option<Unit>,
    /// "About": rounding is fine.
    about: bool,
    /// Spelled out where it may be no number at all, such as "one": confirms, but demands nothing.
    vague: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    year: Option<u32>,
    month: u32,
    day: Option<u32>,
}

/// What of a claim's facts its passages lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    pub figures: bool,
    pub names: bool,
    pub quotes: bool,
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    lower: String,
    kind: Kind,
    /// A blank stands in front of it.
    apart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Word,
    Unspaced,
    Mark,
}

impl Facts {
    pub fn of(text: &str) -> Self {
        let text: String = text.nfkc().map(|c| if c == '’' { '\'' } else { c }).collect();
        let tokens = tokens(&text);
        let mut facts = Self { quotes: quotes(&text), names: names(&tokens, &text), ..Self::default() };
        let mut at = 0;
        while at < tokens.len() {
            at += facts.take(&tokens, at).max(1);
        }
        let lower = text.to_lowercase();
        facts.total = units::TOTAL.iter().any(|word| lower.contains(word));
        facts
    }

    /// What of these facts none of the others has; `terms` are all words of the others.
    pub fn missing_in(&self, others: &[&Facts], terms: &[&Terms], texts: &[&str]) -> Missing {
        let numbers: Vec<&Number> = others.iter().flat_map(|other| &other.numbers).collect();
        let known = |number: &Number| {
            number.vague
                || numbers.iter().any(|other| other.tells(number) && number.is(other))
                || (self.total && number.is_sum(&numbers))
        };
        let time =
            |time: &(u32, bool)| {
                others.iter().flat_map(|other| &other.times).any(|other| {
                    time.0 == other.0 || ((!time.1 || !other.1) && time.0 % 720 == other.0 % 720)
                }) || numbers.iter().any(|n| {
                    n.unit.is_none()
                        && n.values.contains(&f64::from(time.0 / 60))
                        && time.0.is_multiple_of(60)
                })
            };
        let date = |date: &Date| others.iter().flat_map(|other| &other.dates).any(|other| date.fits(other));
        let name = |name: &String| {
            let own = Terms::of(name);
            let said = own.words.iter().all(|word| terms.iter().any(|terms| terms.words.contains(word)));
            said || texts.iter().any(|text| text.contains(&name.to_lowercase()) || are_initials(name, text))
        };
        Missing {
            figures: !(self.numbers.iter().all(known)
                && self.times.iter().all(time)
                && self.dates.iter().all(date)),
            names: !self.names.iter().all(name),
            quotes: !self.quotes.iter().all(|quote| texts.iter().any(|text| text.contains(quote))),
        }
    }

    /// Reads what begins at a token, and how many tokens that are.
    fn take(&mut self, tokens: &[Token], at: usize) -> usize {
        if let Some((date, length)) = date(&tokens[at..]) {
            self.dates.push(date);
            return length;
        }
        if let Some((time, length)) = time(tokens, at) {
            self.times.push(time);
            return length;
        }
        let Some((mut number, mut length)) = number(&tokens[at..]) else { return 1 };
        let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].lower.as_str());
        number.about = (1..=3).any(|back| units::ABOUT.contains(&before(back)));
        number.unit = units::currency(before(1));
        if let Some((unit, more)) = unit_of(&tokens[at + length..]) {
            number.unit = number.unit.or(Some(unit));
            length += more;
        }
        if before(1) == "-" && (at < 2 || tokens[at - 1].apart && !tokens[at].apart) {
            number.values.iter_mut().for_each(|value| *value = -*value);
        }
        self.numbers.push(number);
        length
    }
}

impl Number {
    /// The 五 of 周五 is no amount.
    fn tells(&self, other: &Self) -> bool {
        !self.vague || self.unit.is_some() || other.unit.is_none()
    }

    fn is(&self, other: &Self) -> bool {
        let slack = if self.about || other.about { 0.06 } else { 1e-6 };
        let (mine, theirs) = match (self.unit, other.unit) {
            (Some(mine), Some(theirs)) if mine.kind != theirs.kind => return false,
            (Some(mine), Some(theirs)) => (mine.factor, theirs.factor),
            _ => (1.0, 1.0),
        };
        let near = |a: f64, b: f64| (a - b).abs() <= slack * a.abs().max(b.abs());
        self.values.iter().any(|a| other.values.iter().any(|b| near(a * mine, b * theirs)))
    }

    fn is_sum(&self, parts: &[&Self]) -> bool {
        let few = &parts[..parts.len().min(40)];
        few.iter().enumerate().any(|(i, a)| {
            few[i + 1..].iter().any(|b| {
                let values = a.values.iter().flat_map(|x| b.values.iter().map(move |y| x + y)).collect();
                self.is(&Self { values, unit: a.unit.or(b.unit), about: false, vague: false })
            })
        })
    }
}

impl Date {
    /// The other one says all that this one says; a year may be left to the text around.
    fn fits(&self, other: &Self) -> bool {
        self.month == other.month
            && (self.day.is_none() || self.day == other.day)
            && (self.year.is_none() || other.year.is_none() || self.year == other.year)
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at, mut apart) = (Vec::new(), 0, true);
    while at < chars.len() {
        let c = chars[at];
        let mut end = at + 1;
        let kind = if c.is_ascii_digit() {
            while end < chars.len()
                && (chars[end].is_ascii_digit()
                    || ".,".contains(chars[end]) && chars.get(end + 1).is_some_and(char::is_ascii_digit))
            {
                end += 1;
            }
            Kind::Number
        } else if is_unspaced(c) {
            Kind::Unspaced
        } else if c.is_alphabetic() {
            let letter = |c: char| c.is_alphabetic() && !is_unspaced(c);
            while end < chars.len()
                && (letter(chars[end])
                    || chars[end] == '\'' && chars.get(end + 1).is_some_and(|c| letter(*c)))
            {
                end += 1;
            }
            Kind::Word
        } else {
            Kind::Mark
        };
        if !c.is_whitespace() {
            let text: String = chars[at..end].iter().collect();
            tokens.push(Token { lower: text.to_lowercase(), text, kind, apart });
        }
        apart = c.is_whitespace();
        at = end;
    }
    tokens
}

fn lower(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.lower.as_str())
}

fn integer(tokens: &[Token], at: usize, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let token = tokens.get(at).filter(|token| token.kind == Kind::Number)?;
    token.text.parse().ok().filter(|value| range.contains(value))
}

fn date(tokens: &[Token]) -> Option<(Date, usize)> {
    let (year, months, days) = (1000..=2999, 1..=12, 1..=31);
    let first = tokens.first()?;
    let split: Vec<u32> = first.text.split('.').map_while(|part| part.parse().ok()).collect();
    if let [day @ 1..=31, month @ 1..=12, year @ 1000..=2999] = split[..] {
        return Some((Date { year: Some(year), month, day: Some(day) }, 1));
    }
    let mark = lower(tokens, 1);
    if (mark == "-" || mark == "/") && lower(tokens, 3) == mark {
        let month = integer(tokens, 2, months.clone());
        if let (Some(y), Some(month)) = (integer(tokens, 0, year.clone()), month) {
            return Some((Date { year: Some(y), month, day: Some(integer(tokens, 4, days)?) }, 5));
        }
        let (a, b) = (integer(tokens, 0, days.clone())?, integer(tokens, 2, days)?);
        let year = Some(integer(tokens, 4, year)?);
        // Day first unless that cannot be.
        let (day, month) = if b <= 12 { (a, b) } else { (b, a) };
        return Some((Date { year, month, day: Some(day) }, 5));
    }
    if mark == "年" {
        let y = integer(tokens, 0, year)?;
        let month = integer(tokens, 2, months).filter(|_| lower(tokens, 3) == "月")?;
        let day = integer(tokens, 4, days).filter(|_| ["日", "号"].contains(&lower(tokens, 5)));
        return Some((Date { year: Some(y), month, day }, if day.is_some() { 6 } else { 4 }));
    }
    if mark == "月" {
        let month = integer(tokens, 0, months)?;
        let day = integer(tokens, 2, days).filter(|_| ["日", "号"].contains(&lower(tokens, 3)))?;
        return Some((Date { year: None, month, day: Some(day) }, 4));
    }
    let named = |at: usize| {
        tokens.get(at).filter(|token| token.kind == Kind::Word).and_then(|t| units::month(&t.lower, &t.text))
    };
    let skip = |at: usize, words: &[&str]| at + usize::from(words.contains(&lower(tokens, at)));
    let ordinal = |at: usize| skip(at, &["st", "nd", "rd", "th", ".", "er"]);
    let year_at = |at: usize| {
        integer(tokens, skip(skip(at, &[","]), &["de", "del"]), year.clone())
            .map(|y| (y, skip(skip(at, &[","]), &["de", "del"]) + 1))
    };
    if let Some(day) = integer(tokens, 0, days.clone()) {
        let at = skip(ordinal(1), &["of", "de"]);
        let month = named(at)?;
        let (y, length) = year_at(at + 1).map_or((None, at + 1), |(y, length)| (Some(y), length));
        return Some((Date { year: y, month, day: Some(day) }, length));
    }
    let month = named(0)?;
    let at = skip(1, &["."]);
    let (day, at) = integer(tokens, at, days).map_or((None, at), |day| (Some(day), ordinal(at + 1)));
    let (y, length) = year_at(at).map_or((None, at), |(y, length)| (Some(y), length));
    (day.is_some() || y.is_some() || first.text.chars().next().is_some_and(char::is_uppercase))
        .then_some((Date { year: y, month, day }, length))
}

fn time(tokens: &[Token], at: usize) -> Option<((u32, bool), usize)> {
    let here = &tokens[at..];
    match here[0].lower.as_str() {
        "noon" | "midday" | "mittag" => return Some(((720, true), 1)),
        "midnight" => return Some(((0, true), 1)),
        _ => {}
    }
    let back = |n: usize| at.checked_sub(n).map_or("", |at| tokens[at].lower.as_str());
    let before = format!("{}{}", back(2), back(1));
    let half = match before.as_str() {
        "午前" | "上午" | "早上" => Some(0),
        "午後" | "下午" | "晚上" => Some(12),
        _ => None,
    };
    let parts: Vec<u32> = here[0].text.split('.').map_while(|part| part.parse().ok()).collect();
    let (hour, mut minute) = (
        *parts.first().filter(|h| **h <= 24 && here[0].kind == Kind::Number)?,
        parts.get(1).copied().unwrap_or(0),
    );
    let mut length = 1;
    let colon = [":", "h"].contains(&lower(here, 1)) && integer(here, 2, 0..=59).is_some() && !here[2].apart;
    if colon {
        minute = integer(here, 2, 0..=59)?;
        length = 3;
    }
    let word = lower(here, length).replace('.', "");
    let dotted = lower(here, length + 1) == "." && lower(here, length + 2) == "m";
    let half = match word.as_str() {
        "am" => Some(0),
        "pm" => Some(12),
        "a" | "p" if dotted => Some(if word == "a" { 0 } else { 12 }),
        _ => half,
    };
    let named = ["uhr", "時", "点", "時半"].contains(&word.as_str()) || (lower(here, 1) == "h" && !colon);
    if !(colon
        || half.is_some() && (named || word.starts_with(['a', 'p']))
        || named && here[0].kind == Kind::Number)
        || minute > 59
    {
        return None;
    }
    if named && lower(here, length + 1) == "間" {
        return None;
    }
    length +=
        usize::from(half.is_some() && word.starts_with(['a', 'p']) || named) + if dotted { 2 } else { 0 };
    if named && lower(here, length) == "半" {
        minute = 30;
    } else if let Some(value) =
        integer(here, length, 0..=59).filter(|_| named && lower(here, length + 1) == "分")
    {
        minute = value;
        length += 2;
    }
    let hour = match half {
        Some(12) if hour < 12 => hour + 12,
        Some(0) if hour == 12 => 0,
        _ => hour,
    };
    Some(((hour * 60 + minute, half.is_some() || hour > 12), length))
}

fn number(tokens: &[Token]) -> Option<(Number, usize)> {
    let first = tokens.first()?;
    let mut length = 1;
    let (mut values, mut vague) = match first.kind {
        Kind::Number => (units::readings(&first.text), false),
        Kind::Word => {
            let (value, words, vague) =
                units::spelled(|at| tokens.get(at).map(|token| token.lower.as_str()))?;
            length = words;
            (value, vague)
        }
        Kind::Unspaced => {
            let run: String = tokens
                .iter()
                .take(8)
                .take_while(|t| units::is_han_digit(&t.lower))
                .map(|t| t.lower.as_str())
                .collect();
            length = run.chars().count();
            (vec![units::han(&run)?], true)
        }
        Kind::Mark => return None,
    };
    // French and Swiss groups of three: 10 000.
    while first.kind == Kind::Number
        && tokens.get(length).is_some_and(|t| t.kind == Kind::Number && t.apart && t.text.len() == 3)
        && values.len() == 1
        && values[0] < 1000.0
    {
        values = vec![values[0] * 1000.0 + tokens[length].text.parse::<f64>().ok()?];
        length += 1;
    }
    if let Some(factor) = tokens.get(length).and_then(|t| units::multiplier(&t.lower)) {
        values.iter_mut().for_each(|value| *value *= factor);
        length += 1;
        vague &= first.kind == Kind::Unspaced;
    }
    // 三天 is a number of days, 三明治 is no number.
    if first.kind == Kind::Unspaced && unit_of(&tokens[length..]).is_some() {
        vague = false;
    }
    Some((Number { values, unit: None, about: false, vague }, length))
}

fn unit_of(tokens: &[Token]) -> Option<(Unit, usize)> {
    let skip = usize::from(lower(tokens, 0) == "-" && tokens.get(1).is_some_and(|t| !t.apart));
    let skip = skip
        + usize::from(["working", "business", "calendar", "full", "more"].contains(&lower(tokens, skip)));
    let one = lower(tokens, skip);
    let joined = |n: usize| (0..n).map(|at| lower(tokens, skip + at)).collect::<String>();
    for n in [3, 2] {
        if tokens.get(skip).is_some_and(|t| t.kind != Kind::Word)
            && let Some(unit) = units::unit(&joined(n))
        {
            return Some((unit, skip + n));
        }
    }
    units::unit(one).or_else(|| units::currency(one)).map(|unit| (unit, skip + 1))
}

/// Words in quotation marks, as they are compared.
fn quotes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (open, close) in [('“', "”"), ('"', "\""), ('«', "»"), ('„', "“”"), ('「', "」"), ('『', "』")]
    {
        let mut rest = text;
        while let Some(start) = rest.find(open) {
            let inside = &rest[start + open.len_utf8()..];
            let Some(end) = inside.find(|c| close.contains(c)) else { break };
            let quote = folded(inside[..end].trim().trim_end_matches(['.', ',', '!', '?', '。', '…']));
            if quote.chars().filter(|c| c.is_alphanumeric()).count() >= 2 {
                found.push(quote);
            }
            rest = &inside[end + inside[end..].chars().next().map_or(0, char::len_utf8)..];
        }
    }
    found
}

/// A text as quotes and names are looked up in it.
pub fn folded(text: &str) -> String {
    let text: String = text.nfkc().map(|c| if c == '’' { '\'' } else { c }).collect();
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Capitalised words inside a sentence, acronyms anywhere, and long runs of katakana. German writes every
/// noun with a capital, so there only acronyms are names.
fn names(tokens: &[Token], text: &str) -> Vec<String> {
    let german = Language::of(text) == Language::German;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let bare = token.text.strip_suffix("'s").unwrap_or(&token.text);
        let capitals = bare.chars().filter(|c| c.is_uppercase()).count();
        let acronym = capitals >= 2 && capitals * 2 > bare.chars().count();
        let begins = at == 0 || tokens[at - 1].kind == Kind::Mark && !"-/,;&'".contains(&tokens[at - 1].text);
        let capital = !german && !begins && capitals >= 1 && bare.chars().count() >= 2;
        if token.kind == Kind::Word && (acronym || capital) && !is_function_word(&token.lower) {
            found.push(bare.to_owned());
        }
    }
    let katakana = |c: char| matches!(c, '\u{30A1}'..='\u{30FA}' | '\u{30FC}');
    found.extend(text.split(|c| !katakana(c)).filter(|run| run.chars().count() >= 4).map(str::to_owned));
    found
}
