//! The tokenizer's own way with plain words against the library's, which is the reference.

use std::{fs, path::Path};

use proptest::prelude::*;
use rag_api::embedding::{MAX_TOKENS, Tokenizer};

use crate::support::{model_dir, shared};

struct Both {
    ours: Tokenizer,
    reference: tokenizers::Tokenizer,
}

impl Both {
    fn load() -> Self {
        let mut reference = tokenizers::Tokenizer::from_file(model_dir().join("tokenizer.json")).unwrap();
        reference.with_padding(None);
        reference.with_truncation(None).unwrap();
        Self { ours: Tokenizer::load(&model_dir()).unwrap(), reference }
    }

    /// The tokens compared.
    fn compare(&self, text: &str) -> usize {
        let mut wanted = self.reference.encode_fast(text, true).unwrap().get_ids().to_vec();
        let all = wanted.len() - 2;
        let separator = wanted.pop().unwrap();
        wanted.truncate(MAX_TOKENS - 1);
        wanted.push(separator);
        assert_eq!(self.ours.encode(text).unwrap(), wanted, "{text:?}");
        assert_eq!(self.ours.count(text).unwrap(), all, "{text:?}");
        all
    }
}

#[test]
fn words_at_the_borders_of_what_is_plain() {
    let both = Both::load();
    for text in [
        "",
        " ",
        "\r\n\t ",
        "UPPER lower MiXeD 42 4th x86_64 don't re-use C++ #!?~`^$+<=>|",
        "unaffable zzxqj qqqqqqqq antidisestablishmentarianism ##ing # ## ###ing",
        "[SEP] a[SEP]b [CLS][MASK] [UNK] [PAD][ ] [sep] [SE P] x[",
        "a\u{1}b a\u{7f}b \u{0}\u{0} a\u{b}b a\u{c}b a\u{85}b a\u{a0}b a\u{ad}b \u{feff}x",
        "caf\u{e9} cafe\u{301} \u{301} \u{301}a Stra\u{df}e \u{130} \u{1f} na\u{ef}ve na\u{ef}ve plain na\u{ef}ve",
        "日本語 text 한국어 плюс mixed中文words 𝒳 ﬁne ½ ™",
        "’quoted’ “words” — dash… 5€",
    ] {
        both.compare(text);
    }
    for length in [1, 99, 100, 101, 102, 103, 300] {
        both.compare(&"a".repeat(length));
        both.compare(&format!("{} tail", "Zq".repeat(length)));
        both.compare(&"!".repeat(length));
        both.compare(&"word ".repeat(length));
        both.compare(&"wörd ".repeat(length));
        both.compare(&"word wörd ".repeat(length));
    }
}

/// Every token of the vocabulary, and so every length and every continuation.
#[test]
fn the_whole_vocabulary_alone_and_joined() {
    let both = Both::load();
    let mut words: Vec<String> = both.reference.get_vocab(true).into_keys().collect();
    words.sort();
    for word in &words {
        both.compare(word);
    }
    for pair in words.windows(2) {
        both.compare(&format!("{}{}", pair[0], pair[1].trim_start_matches('#')));
    }
}

#[test]
fn random_text_gives_the_same_tokens() {
    let both = Both::load();
    let pieces = [
        "[a-z]{1,12}",
        "[A-Za-z0-9]{1,4}",
        "[ \\t\\r\\n]{1,2}",
        "[!-/:-@\\[-`{-~]",
        "\\PC",
        ".",
        "[\\x00-\\x20\\x7f]",
        "\\[(SEP|CLS|MASK|UNK|PAD)\\]",
        "\\p{Mn}",
        "\\p{Han}",
        "\\p{Lu}\\p{Ll}*",
        "\\p{Zs}",
        "\\p{Cf}",
        "[à-ÿ]{1,4}",
    ];
    let piece = proptest::strategy::Union::new(
        pieces.map(|pattern| proptest::string::string_regex(pattern).unwrap().boxed()),
    );
    let text = proptest::collection::vec(piece, 0..60).prop_map(|parts| parts.concat());
    let config = ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(text in text)| {
        both.compare(&text);
    });
}

#[test]
fn the_shared_collections_give_the_same_tokens() {
    let Some(shared) = shared("eval") else { return };
    let both = Both::load();
    let (mut lines, mut tokens) = (0, 0);
    let mut folders = vec![shared];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(text) = text_of(&path) {
                for line in text.lines() {
                    tokens += both.compare(line);
                    lines += 1;
                }
            }
        }
    }
    println!("{tokens} tokens in {lines} lines are the same");
    assert!(lines > 10_000);
}

fn text_of(path: &Path) -> Option<String> {
    let kind = path.extension()?.to_str()?;
    ["md", "txt", "jsonl", "json", "tsv"].contains(&kind).then(|| fs::read_to_string(path).ok())?
}
