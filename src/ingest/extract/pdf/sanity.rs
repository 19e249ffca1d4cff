//! Whether what a PDF reader returned is text at all: pure functions over one page.

use unicode_normalization::UnicodeNormalization;

/// Why a page gives nothing although text is drawn on it.
pub(super) const NO_MAP: &str = "its fonts do not say which letters they draw";

/// Refuses a page of glyph codes, replacement characters, or letters that form no words.
///
/// # Errors
///
/// The reason, for a person.
pub(super) fn check(raw: &str) -> Result<(), String> {
    if glyph_codes(raw) {
        return Err(NO_MAP.into());
    }
    let (mut all, mut bad, mut word) = (0_usize, 0_usize, 0_usize);
    let mut previous = '\0';
    for c in raw.chars().filter(|c| !c.is_whitespace()) {
        // Leader dots and rules are one mark each, however long they are.
        if c == previous && !c.is_alphanumeric() {
            continue;
        }
        previous = c;
        all += 1;
        bad += usize::from(is_rubbish(c));
        word += usize::from(c.is_alphanumeric() || is_mark(c));
    }
    // A page of diagrams may hold a few bullets of unknown fonts, a page without a map holds little else.
    if bad * 5 > all {
        return Err(NO_MAP.into());
    }
    if all >= 40 && word * 10 < all * 3 {
        return Err("what its fonts give is hardly letters".into());
    }
    if !looks_like_words(raw) {
        return Err("its letters form no words, as with fonts whose letters are mapped wrongly".into());
    }
    Ok(())
}

/// Whether a line holds right-to-left letters beside a word of Latin ones.
pub(super) fn mixes_directions(text: &str) -> bool {
    text.lines().any(|line| line.chars().any(is_right_to_left) && latin_words(line).next().is_some())
}

/// Of two readings of a page with mixed directions, the second if it has the first one's Latin words mirrored.
pub(in crate::ingest::extract) fn better(first: String, second: String) -> String {
    let in_first: Vec<&str> = latin_words(&first).collect();
    let in_second: std::collections::HashSet<&str> = latin_words(&second).collect();
    let mirrored = in_first
        .iter()
        .filter(|word| {
            !in_second.contains(**word) && in_second.contains(word.chars().rev().collect::<String>().as_str())
        })
        .count();
    if mirrored > 0 && mirrored * 2 >= in_first.iter().filter(|word| !in_second.contains(**word)).count() {
        second
    } else {
        first
    }
}

fn latin_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() >= 3)
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

/// "/g12 /g33", "(cid:12)", "/uni0041": names of glyphs in place of letters.
fn glyph_codes(raw: &str) -> bool {
    let (mut tokens, mut codes) = (0_usize, 0_usize);
    for token in raw.split_whitespace() {
        let in_token = token.matches("(cid:").count()
            + token
                .split('/')
                .skip(1)
                .filter(|name| {
                    let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
                    name.len() - digits.len() <= 5
                        && digits.len() <= 5
                        && !digits.is_empty()
                        && digits.bytes().all(|b| b.is_ascii_hexdigit())
                        && digits.len() < name.len()
                })
                .count();
        tokens += in_token.max(1);
        codes += in_token;
    }
    codes >= 5 && codes * 3 >= tokens
}

fn is_rubbish(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Vowel signs and accents, which many scripts write as characters of their own.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

/// Judges long Latin text only: fonts with shifted codes turn words into "WKH TXLFN", and a few words prove
/// nothing. Words with digits are left out: part numbers and checksums follow no language.
fn looks_like_words(raw: &str) -> bool {
    const ENOUGH_LETTERS: usize = 200;
    let (mut letters, mut latin, mut vowels, mut common) = (0_usize, 0_usize, 0_usize, 0_usize);
    for token in raw.split_whitespace().filter(|token| !token.contains(|c: char| c.is_ascii_digit())) {
        for c in token.chars().filter(|c| c.is_alphabetic()) {
            letters += 1;
            let Some(base) = latin_base(c) else { continue };
            latin += 1;
            vowels += usize::from("aeiouy".contains(base));
            common += usize::from("etaoinsrldu".contains(base));
        }
    }
    if latin < ENOUGH_LETTERS || latin * 10 < letters * 8 {
        return true;
    }
    // The common letters make up 75 % of English, 77 % of German, 80 % of Spanish, 65 % of Polish and Czech;
    // 42 % of letters drawn by lot, 35 to 49 % of shifted English. Vowels tell apart what is left.
    common * 100 >= latin * 52 && (18..=70).contains(&(vowels * 100 / latin))
}

/// Whether a page's content holds a single drawing operator (ISO 32000-2, Annex A), or nothing at all.
pub(super) fn is_content(content: &[u8]) -> bool {
    const OPERATORS: [&[u8]; 34] = [
        b"q", b"Q", b"cm", b"Do", b"re", b"m", b"l", b"c", b"v", b"y", b"h", b"f", b"F", b"f*", b"S", b"s",
        b"B", b"b", b"n", b"W", b"W*", b"g", b"G", b"rg", b"RG", b"k", b"K", b"cs", b"CS", b"sc", b"scn",
        b"gs", b"BMC", b"BDC",
    ];
    let mut tokens = content.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty()).peekable();
    tokens.peek().is_none() || tokens.any(|token| OPERATORS.contains(&token))
}

/// The lower-case ASCII letter under the accents; `None` for other scripts.
fn latin_base(c: char) -> Option<char> {
    if c.is_ascii_alphabetic() {
        return Some(c.to_ascii_lowercase());
    }
    match c {
        'æ' | 'Æ' | 'ə' => Some('a'),
        'œ' | 'Œ' | 'ø' | 'Ø' => Some('o'),
        'ı' => Some('i'),
        'ł' | 'Ł' => Some('l'),
        'đ' | 'Đ' | 'ð' | 'Ð' => Some('d'),
        'ß' => Some('s'),
        '\u{fb00}'..='\u{fb04}' => Some('f'),
        _ => c.nfd().next().filter(char::is_ascii_alphabetic).map(|base| base.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "The quick brown fox jumps over the lazy dog while the health plan covers preventive care, \
        emergency services, mental health and prescription drugs. Employees may choose between two plans once a year, \
        and the deductible does not apply to preventive visits within the network of the insurer.";

    fn shifted(text: &str, by: u8) -> String {
        let turn = |c: char, a: u8| char::from((c as u8 - a + by) % 26 + a);
        text.chars()
            .map(|c| match c {
                'a'..='z' => turn(c, b'a'),
                'A'..='Z' => turn(c, b'A'),
                c => c,
            })
            .collect()
    }

    #[test]
    fn text_of_many_languages_passes() {
        for text in [
            ENGLISH,
            "Größe der Rechtsschutzversicherungsgesellschaften: Angstschweiß, Schlittschuh und Strumpfhosen. ",
            "Příliš žluťoučký kůň úpěl ďábelské ódy. Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti. ",
            "Ganir pawb yn rhydd ac yn gydradd â'i gilydd mewn urddas a hawliau. Fe'u cynysgaeddir â rheswm. ",
            "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi. Mọi con người. ",
            "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler. ",
            "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i praw. Chrząszcz brzmi w trzcinie. ",
            "梅雨は、北海道と小笠原諸島を除く日本で見られる。",
            "حَبيبي هذا نص قصير يُقرأ من اليمين إلى اليسار.",
            "हिन्दी में लिखा हुआ एक छोटा सा वाक्य जिसमें मात्राएँ हैं।",
            "Оборона пропустила всего триста восемь очков.",
            "3.1 Scope ................................................ 12\n3.2 Terms ------------------------------- 14",
            "Q1 1,234.50 (12.3%) $99 | Q2 -5.00 11:05 13:30",
            "Hello",
            "日本語",
        ] {
            assert_eq!(check(&text.repeat(5)), Ok(()), "{text}");
        }
    }

    #[test]
    fn glyph_codes_are_no_text() {
        assert!(check("/g12 /g33 /g7 /g12 /g33 /g7 /g12 /g33").is_err());
        assert!(check("(cid:12)(cid:7)(cid:99) (cid:12)(cid:1)").is_err());
        assert!(check("/uni0041/uni0042/uni0043/uni0044/uni0045").is_err());
        assert!(check("See /v1/chat, /etc/hosts, and/or 24/7 on 1/2/2024 or a/b/c.").is_ok());
    }

    #[test]
    fn replacement_private_and_control_characters_are_no_text() {
        assert!(check("\u{fffd}\u{fffd}\u{fffd}").is_err());
        assert!(check("\u{e001}\u{e002}\u{f0a0}ab").is_err());
        assert!(check("\u{1}\u{2}\u{3}\u{4}").is_err());
        assert!(check("\u{f0b7} A bullet of the Symbol font before an item").is_ok());
        assert!(check("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~!#$%&'()*+,-./:;<=>?").is_err());
    }

    #[test]
    fn shifted_letters_form_no_words() {
        for by in [1, 3, 5, 7, 11, 13, 20] {
            assert!(check(&shifted(ENGLISH, by)).is_err(), "{by}: {}", shifted(ENGLISH, by));
        }
        assert_eq!(check(&shifted("too short to tell", 3)), Ok(()));
    }

    #[test]
    fn part_numbers_and_checksums_prove_nothing() {
        assert_eq!(check(&"XK7-BWQ 9fbd0ca3bf HX440-KJG QZ11B\n".repeat(60)), Ok(()));
    }

    #[test]
    fn content_without_an_operator_is_rubbish() {
        assert!(is_content(b"q 612 0 0 792 0 0 cm /Im0 Do Q"));
        assert!(is_content(b" \n"));
        assert!(!is_content(b"H{r1O\x90\x91 \x92"));
    }

    #[test]
    fn mirrored_latin_words_give_the_second_reading() {
        assert!(mixes_directions("ibibah يبيب"));
        assert!(!mixes_directions("يبيب\nhabibi"));
        let (first, second) = ("ibibah يبيب".to_owned(), "حبيبي habibi".to_owned());
        assert_eq!(better(first.clone(), second.clone()), second);
        assert_eq!(better("habibi حبيبي".into(), second), "habibi حبيبي");
        assert_eq!(better(first.clone(), "rubbish".into()), first);
    }
}
