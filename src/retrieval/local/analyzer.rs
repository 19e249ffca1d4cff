//! Text to terms: words as Lucene's standard analyzer finds them, English stems, CJK bigrams.
//!
//! Words are the segments of UAX #29 that hold a letter or digit, after NFKC and in lower case; there
//! is no stop list. Runs of Han, kana and Hangul are cut into overlapping pairs, because such text has no
//! spaces between words. Latin words are stemmed by Snowball's English stemmer.

use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Names under which the analyzers are registered.
pub(super) const WORDS: &str = "words";
pub(super) const CHARACTERS: &str = "cjk_characters";
pub(super) const STANDARD: &str = "standard";
pub(super) const SIMPLE: &str = "letters";
pub(super) const BLANKS: &str = "blanks";

/// Longer words are cut into pieces of this many characters, as Lucene does.
const MAX_WORD_CHARS: usize = 255;

/// What becomes a term of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Words, and pairs of CJK characters.
    Words,
    /// Each CJK character alone, for questions of one character.
    Characters,
    /// The segments of UAX #29 alone: no pairs.
    Standard,
    /// Runs of letters.
    Letters,
    /// What white space leaves, in its own case.
    Blanks,
}

/// Makes every analyzer known to an index by its name; tantivy knows `raw` itself.
pub(super) fn register(index: &tantivy::Index) {
    for (name, analyzer) in [
        (WORDS, words()),
        (CHARACTERS, characters()),
        (STANDARD, standard()),
        (SIMPLE, letters()),
        (BLANKS, blanks()),
    ] {
        index.tokenizers().register(name, analyzer);
    }
}

/// The analyzer of the main text field.
pub(super) fn words() -> TextAnalyzer {
    TextAnalyzer::builder(Cutter(Cut::Words)).filter(Stemmer::new(Language::English)).build()
}

/// The analyzer of the field that holds single CJK characters.
pub(super) fn characters() -> TextAnalyzer {
    TextAnalyzer::builder(Cutter(Cut::Characters)).build()
}

/// Lucene's standard analyzer: no stems, no pairs.
pub(super) fn standard() -> TextAnalyzer {
    TextAnalyzer::builder(Cutter(Cut::Standard)).build()
}

/// Lucene's simple analyzer: runs of letters in lower case.
pub(super) fn letters() -> TextAnalyzer {
    TextAnalyzer::builder(Cutter(Cut::Letters)).build()
}

/// Lucene's whitespace analyzer.
pub(super) fn blanks() -> TextAnalyzer {
    TextAnalyzer::builder(Cutter(Cut::Blanks)).build()
}

/// The terms of a text in order, repeated as often as they stand there.
pub(super) fn terms(analyzer: &mut TextAnalyzer, text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    analyzer.token_stream(text).process(&mut |token| terms.push(token.text.clone()));
    terms
}

/// Whether a term is one CJK character, which the pairs of the main field cannot match.
pub(super) fn is_single_cjk(term: &str) -> bool {
    let mut chars = term.chars();
    matches!((chars.next(), chars.next()), (Some(c), None) if is_cjk(c))
}

#[derive(Clone)]
struct Cutter(Cut);

impl Tokenizer for Cutter {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        let mut tokens = Tokens { tokens: Vec::new(), next: 0, empty: Token::default() };
        let normal = || text.nfkc().collect::<String>().to_lowercase();
        match self.0 {
            Cut::Words => tokens.words(&normal()),
            Cut::Characters => normal().chars().filter(|&c| is_cjk(c)).for_each(|c| tokens.push(c.into())),
            Cut::Standard => text.to_lowercase().unicode_words().for_each(|word| tokens.word(word)),
            Cut::Letters => text
                .to_lowercase()
                .split(|c: char| !c.is_alphabetic())
                .filter(|word| !word.is_empty())
                .for_each(|word| tokens.word(word)),
            Cut::Blanks => text.split_whitespace().for_each(|word| tokens.word(word)),
        }
        tokens
    }
}

struct Tokens {
    tokens: Vec<Token>,
    next: usize,
    empty: Token,
}

impl Tokens {
    fn words(&mut self, text: &str) {
        let mut run = Vec::new();
        for (start, word) in text.unicode_word_indices() {
            // UAX #29 gives Han characters one by one and may join kana; a run is what touches.
            for (offset, c) in word.char_indices() {
                if !is_cjk(c) {
                    continue;
                }
                let at = start + offset;
                if run
                    .last()
                    .is_some_and(|&(last, previous): &(usize, char)| last + previous.len_utf8() != at)
                {
                    self.pairs(&mut run);
                }
                run.push((at, c));
            }
            if word.chars().any(is_cjk) {
                // Latin letters and digits glued to CJK text are words of their own.
                for piece in word.split(is_cjk).filter(|piece| !piece.is_empty()) {
                    self.pairs(&mut run);
                    self.word(piece);
                }
            } else {
                self.pairs(&mut run);
                self.word(word);
            }
        }
        self.pairs(&mut run);
    }

    fn word(&mut self, word: &str) {
        let mut rest = word;
        while let Some((cut, _)) = rest.char_indices().nth(MAX_WORD_CHARS) {
            let (piece, tail) = rest.split_at(cut);
            self.push(piece.to_owned());
            rest = tail;
        }
        self.push(rest.to_owned());
    }

    fn pairs(&mut self, run: &mut Vec<(usize, char)>) {
        match run.as_slice() {
            [] => {}
            [(_, alone)] => self.push((*alone).into()),
            several => {
                let pairs: Vec<String> =
                    several.windows(2).map(|pair| [pair[0].1, pair[1].1].iter().collect()).collect();
                pairs.into_iter().for_each(|pair| self.push(pair));
            }
        }
        run.clear();
    }

    fn push(&mut self, text: String) {
        let position = self.tokens.len();
        self.tokens.push(Token { text, position, ..Token::default() });
    }
}

impl TokenStream for Tokens {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        self.tokens.get(self.next.wrapping_sub(1)).unwrap_or(&self.empty)
    }

    fn token_mut(&mut self) -> &mut Token {
        self.tokens.get_mut(self.next.wrapping_sub(1)).unwrap_or(&mut self.empty)
    }
}

/// Han, hiragana, katakana and Hangul: scripts whose words are not separated by spaces, or (Hangul)
/// whose particles stick to them.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}' | '\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3134f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        terms(&mut words(), text)
    }

    #[test]
    fn english_is_stemmed_and_keeps_every_word() {
        assert_eq!(
            cut("The Queues are draining; the QUEUE's full."),
            ["the", "queue", "are", "drain", "the", "queue", "full"]
        );
    }

    #[test]
    fn cjk_runs_become_pairs_and_full_width_letters_become_latin() {
        assert_eq!(cut("東京都の天気"), ["東京", "京都", "都の", "の天", "天気"]);
        assert_eq!(cut("ＡＰＩサーバー"), ["api", "サー", "ーバ", "バー"]);
        assert_eq!(cut("2024年の春。猫"), ["2024", "年の", "の春", "猫"]);
    }

    #[test]
    fn other_analyzers_neither_stem_nor_pair() {
        let text = "The Queues' e-mail 東京カタカナ x2";
        assert_eq!(
            terms(&mut standard(), text),
            ["the", "queues", "e", "mail", "東", "京", "カタカナ", "x2"]
        );
        assert_eq!(terms(&mut letters(), "It's x2"), ["it", "s", "x"]);
        assert_eq!(terms(&mut blanks(), " It's  X2 "), ["It's", "X2"]);
    }

    #[test]
    fn words_without_end_are_cut() {
        let terms = cut(&"x".repeat(700));
        assert_eq!(terms.iter().map(String::len).collect::<Vec<_>>(), [255, 255, 190]);
    }

    #[test]
    fn single_characters_are_found_in_their_own_field() {
        assert_eq!(terms(&mut characters(), "猫 and 犬"), ["猫", "犬"]);
        assert!(is_single_cjk("猫") && !is_single_cjk("猫犬") && !is_single_cjk("a"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_analyzed(text in "\\PC{0,200}") {
            for term in cut(&text) {
                proptest::prop_assert!(!term.is_empty());
            }
        }
    }
}
