//! Addresses, link destinations and tags: what a renderer of Markdown or HTML would bring to life.

use std::collections::HashSet;

use super::invisible::visible;
use crate::domain::Hit;

/// Longer addresses, destinations and tags are taken for hostile.
pub const MAX_ADDRESS: usize = 1_000;
const MAX_LABEL: usize = 400;
const MAX_COMMENT: usize = 1_000;

/// What a look at the text from one position on tells.
#[derive(Debug, PartialEq)]
pub enum Look<T> {
    No,
    /// More text is needed to tell.
    Wait,
    Yes(T),
}

/// The addresses that stand in the passages: the only ones an answer may point to.
#[derive(Debug, Default)]
pub struct Addresses(HashSet<String>);

impl Addresses {
    pub fn of(hits: &[Hit]) -> Self {
        let mut found = HashSet::new();
        for text in hits.iter().flat_map(|hit| [&hit.chunk.content, &hit.chunk.source]) {
            let text: Vec<char> = visible(&text.replace("&amp;", "&")).chars().collect();
            for at in 0..text.len() {
                let web = text[at..].starts_with(&[':', '/', '/']) || is_www(&text, at);
                let mail = text[at] == '@';
                if web || mail || text[at..].starts_with(&[':']) && is_scheme(&text[..at], "mailto") {
                    let before: fn(char) -> bool =
                        if mail { in_mailbox } else { |c| c.is_ascii_alphanumeric() };
                    let start = at - text[..at].iter().rev().take(64).take_while(|c| before(**c)).count();
                    let end = at + address(&text[at..]).min(MAX_ADDRESS);
                    found.insert(key(&text[start..end]));
                }
            }
        }
        Self(found)
    }

    /// Verbatim: an address that goes on where one of the passages ends can carry anything out.
    pub fn has(&self, address: &[char]) -> bool {
        let scheme: String =
            address.iter().take_while(|c| **c != ':').collect::<String>().to_ascii_lowercase();
        let safe = ["http", "https", "mailto"].contains(&scheme.as_str())
            || is_www(address, 0)
            || (!address.contains(&':') && address.contains(&'@'));
        safe && self.0.contains(&key(address))
    }
}

fn key(address: &[char]) -> String {
    let text: String = address.iter().collect();
    text.strip_suffix('/').unwrap_or(&text).to_owned()
}

fn is_www(text: &[char], at: usize) -> bool {
    let fresh = at == 0 || !text[at - 1].is_alphanumeric();
    fresh
        && text
            .get(at..at + 4)
            .is_some_and(|head| head.iter().collect::<String>().eq_ignore_ascii_case("www."))
}

fn is_scheme(before: &[char], scheme: &str) -> bool {
    let start = before.len().saturating_sub(scheme.len());
    before[start..].iter().collect::<String>().eq_ignore_ascii_case(scheme)
}

pub fn in_address(c: char) -> bool {
    c.is_ascii_graphic() && !"<>\"`[]|\\^{}".contains(c)
}

pub fn in_mailbox(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._%+-".contains(c)
}

/// Length of the address that `text` begins with, without the punctuation of the sentence around it.
pub fn address(text: &[char]) -> usize {
    let mut end = text.iter().take(MAX_ADDRESS + 1).take_while(|c| in_address(**c)).count();
    let count = |end: usize, mark: char| text[..end].iter().filter(|c| **c == mark).count();
    while end > 0 {
        match text[end - 1] {
            ')' if count(end, ')') <= count(end, '(') => break,
            '?' | '!' | '.' | ',' | ':' | ';' | '*' | '_' | '~' | '\'' | ')' => end -= 1,
            _ => break,
        }
    }
    end
}

/// Length of `[label]`, brackets included.
pub fn label(text: &[char]) -> Look<usize> {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text[at] {
            '\\' => at += 1,
            '[' => depth += 1,
            ']' => depth -= 1,
            '\n' if text.get(at + 1) == Some(&'\n') => return Look::No,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return if at <= text.len() { Look::Yes(at) } else { Look::Wait };
        }
        if at > MAX_LABEL {
            return Look::No;
        }
    }
    Look::Wait
}

/// Length and destination of `(destination "title")`.
pub fn target(text: &[char]) -> Look<(usize, Vec<char>)> {
    let short = if text.len() > MAX_ADDRESS { Look::No } else { Look::Wait };
    let blanks =
        |from: usize| from + text[from.min(text.len())..].iter().take_while(|c| c.is_whitespace()).count();
    let until = |from: usize, stop: char| {
        let mut at = from;
        while at < text.len() && text[at] != stop {
            at += if text[at] == '\\' { 2 } else { 1 };
        }
        at
    };
    let start = blanks(1);
    let (destination, mut at) = if text.get(start) == Some(&'<') {
        let end = until(start + 1, '>').min(text.len());
        (start + 1..end, end + 1)
    } else {
        let (mut depth, mut at) = (0, start);
        while at < text.len() && !text[at].is_whitespace() {
            match text[at] {
                '\\' => at += 1,
                '(' => depth += 1,
                ')' if depth == 0 => break,
                ')' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        let end = at.min(text.len());
        (start..end, end)
    };
    let bare = at;
    at = blanks(at);
    let close = text.get(at).copied().map(|c| if c == '(' { ')' } else { c });
    if let Some(quote @ ('"' | '\'' | ')')) = close
        && text[at] != ')'
        && at > bare
    {
        at = blanks(until(at + 1, quote) + 1);
    }
    match text.get(at) {
        Some(')') if at < MAX_ADDRESS => Look::Yes((at + 1, text[destination].to_vec())),
        Some(_) => Look::No,
        None => short,
    }
}

/// What begins with a `<`.
#[derive(Debug, PartialEq)]
pub enum Angle {
    /// `<https://…>` or `<a@b.c>`, without the brackets.
    Address(Vec<char>),
    /// With its length, lower-case name and whether it has attributes.
    Tag {
        length: usize,
        name: String,
        bare: bool,
    },
    Comment(usize),
    /// Could be read as the start of a tag by some renderer.
    Broken,
}

pub fn angle(text: &[char]) -> Look<Angle> {
    let Some(&next) = text.get(1) else { return Look::Wait };
    match next {
        '!' => comment(text),
        '?' => Look::Yes(Angle::Broken),
        '/' | 'a'..='z' | 'A'..='Z' => tag(text),
        _ => Look::No,
    }
}

fn comment(text: &[char]) -> Look<Angle> {
    let open = ['<', '!', '-', '-'];
    if !open.starts_with(&text[..text.len().min(4)]) {
        return Look::Yes(Angle::Broken);
    }
    match text.windows(3).skip(2).position(|end| end == ['-', '-', '>']) {
        Some(at) => Look::Yes(Angle::Comment(at + 5)),
        None if text.len() > MAX_COMMENT => Look::Yes(Angle::Broken),
        None => Look::Wait,
    }
}

fn tag(text: &[char]) -> Look<Angle> {
    let mut quote = None;
    for (at, &c) in text.iter().enumerate().skip(1).take(MAX_ADDRESS) {
        match (quote, c) {
            (None, '>') => return Look::Yes(closed(&text[1..at])),
            (None, '<') => return Look::Yes(Angle::Broken),
            (None, '"' | '\'') if text[at - 1] == '=' || text[at - 1].is_whitespace() => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (_, '\n') if text[at - 1] == '\n' => return Look::Yes(Angle::Broken),
            _ => {}
        }
    }
    if text.len() > MAX_ADDRESS { Look::Yes(Angle::Broken) } else { Look::Wait }
}

fn closed(inside: &[char]) -> Angle {
    let named: String = inside.iter().skip_while(|c| **c == '/').collect();
    let name: String = named.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let rest = &named[name.len()..];
    let one_word = !inside.iter().any(|c| c.is_whitespace());
    if one_word && (rest.starts_with([':', '+']) && rest.contains(':') || rest.contains('@')) {
        return Angle::Address(inside.to_vec());
    }
    let bare = rest.trim_matches(['/', ' ']).is_empty();
    Angle::Tag { length: inside.len() + 2, name: name.to_ascii_lowercase(), bare }
}

/// The character that `&…;` stands for, where a renderer could read structure out of it, with its length.
pub fn reference(text: &[char]) -> Look<(usize, char)> {
    const NAMED: &[(&str, char)] = &[
        ("colon", ':'),
        ("sol", '/'),
        ("bsol", '\\'),
        ("period", '.'),
        ("lpar", '('),
        ("rpar", ')'),
        ("lbrack", '['),
        ("lsqb", '['),
        ("rbrack", ']'),
        ("rsqb", ']'),
        ("excl", '!'),
        ("commat", '@'),
        ("grave", '`'),
        ("Tab", '\t'),
        ("NewLine", '\n'),
        ("ZeroWidthSpace", '\u{200B}'),
        ("zwj", '\u{200B}'),
        ("zwnj", '\u{200B}'),
        ("shy", '\u{AD}'),
        ("lrm", '\u{200E}'),
        ("rlm", '\u{200F}'),
        ("NoBreak", '\u{2060}'),
    ];
    let inside: String =
        text[1..].iter().take(16).take_while(|c| c.is_ascii_alphanumeric() || **c == '#').collect();
    match text.get(1 + inside.len()) {
        None => return Look::Wait,
        Some(';') => {}
        Some(_) => return Look::No,
    }
    let number = inside.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    });
    let named = NAMED.iter().find(|(name, _)| *name == inside).map(|(_, c)| *c);
    let structural =
        |c: &char| (c.is_ascii() && !"<>&\"'".contains(*c)) || visible(&c.to_string()).is_empty();
    match number.and_then(char::from_u32).filter(structural).or(named) {
        Some(c) => Look::Yes((inside.len() + 2, c)),
        None => Look::No,
    }
}
