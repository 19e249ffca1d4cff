//! The model's own tokenizer, for input and for counting.

use std::{cell::RefCell, collections::HashMap, path::Path, sync::Arc};

use tokenizers::Model;

use super::{EmbeddingError, LoadError, TOKENIZER_SHA256, weights};

/// Tokens the model reads of one text, `[CLS]` and `[SEP]` included: what it was trained with.
pub const MAX_TOKENS: usize = 256;

/// WordPiece of bert-base-uncased. Cheap to clone.
///
/// The library keeps track of where each token came from, at a microsecond and more a word. Words of printable ASCII are
/// therefore cut here, with the library's vocabulary; everything else goes through the library, and the tokens are
/// the same.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    special: Special,
}

#[derive(Clone, Copy)]
struct Special {
    start: u32,
    end: u32,
    unknown: u32,
}

/// The blanks that end a piece of text: WordPiece never looks across them, nor does BERT's normalizer.
const BLANKS: [char; 4] = [' ', '\n', '\t', '\r'];
/// Longer words are unknown to the model (`max_input_chars_per_word` of the file).
const LONGEST_WORD: usize = 100;
/// Letters of the longest token of printable ASCII, without the prefix.
const LONGEST_TOKEN: usize = 18;
/// Before what continues a word (`continuing_subword_prefix`).
const CONTINUED: [u8; 2] = *b"##";

impl Tokenizer {
    /// Reads `tokenizer.json`, which must be the pinned one.
    pub fn load(model_dir: &Path) -> Result<Self, LoadError> {
        let bytes = weights::map(model_dir.join("tokenizer.json"))?;
        bytes.verify(TOKENIZER_SHA256)?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes[..]).map_err(load_error)?;
        // The file pads to 128 and cuts at 128; the model's own configuration says 256, and lengths
        // are the batcher's business.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(load_error)?;
        let id = |token: &str| {
            inner.token_to_id(token).ok_or_else(|| LoadError::Model(format!("the tokenizer has no {token}")))
        };
        let special = Special { start: id("[CLS]")?, end: id("[SEP]")?, unknown: id("[UNK]")? };
        Ok(Self { inner: Arc::new(inner), special })
    }

    /// Token ids with `[CLS]` and `[SEP]`, cut to [`MAX_TOKENS`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EmbeddingError> {
        let mut ids = vec![self.special.start];
        self.append(text, MAX_TOKENS - 1, &mut ids)?;
        ids.truncate(MAX_TOKENS - 1);
        ids.push(self.special.end);
        Ok(ids)
    }

    /// Tokens of a text without `[CLS]` and `[SEP]`, not cut.
    pub fn count(&self, text: &str) -> Result<usize, EmbeddingError> {
        let mut ids = Vec::new();
        self.append(text, usize::MAX, &mut ids)?;
        Ok(ids.len())
    }

    /// Appends the tokens of `text`; it may stop when there are `enough` in all.
    fn append(&self, text: &str, enough: usize, ids: &mut Vec<u32>) -> Result<(), EmbeddingError> {
        // Neighbours go to the library together, as each call costs some microseconds.
        let mut others: Option<(usize, usize)> = None;
        let mut start = 0;
        for piece in text.split(BLANKS) {
            let end = start + piece.len();
            if !is_plain(piece) {
                others = Some((others.map_or(start, |(first, _)| first), end));
            } else if !piece.is_empty() {
                if let Some((first, last)) = others.take() {
                    self.append_any(&text[first..last], ids)?;
                }
                self.append_plain(piece.as_bytes(), ids);
            }
            if ids.len() >= enough {
                return Ok(());
            }
            start = end + 1;
        }
        others.map_or(Ok(()), |(first, last)| self.append_any(&text[first..last], ids))
    }

    fn append_any(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), EmbeddingError> {
        ids.extend(self.inner.encode_fast(text, false).map_err(model_error)?.get_ids());
        Ok(())
    }

    /// Each punctuation mark is a word of its own.
    fn append_plain(&self, mut piece: &[u8], ids: &mut Vec<u32>) {
        while let Some(first) = piece.first() {
            let letters = piece.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let length = if first.is_ascii_punctuation() { 1 } else { letters };
            let (word, rest) = piece.split_at(length);
            self.append_word(word, ids);
            piece = rest;
        }
    }

    /// The longest tokens first, from the left; the whole word is unknown if they do not cover it.
    fn append_word(&self, word: &[u8], ids: &mut Vec<u32>) {
        const START: usize = CONTINUED.len();
        let before = ids.len();
        let mut bytes = [0u8; START + LONGEST_WORD];
        let Some(room) = bytes.get_mut(START..START + word.len()) else {
            ids.push(self.special.unknown);
            return;
        };
        room.copy_from_slice(word);
        room.make_ascii_lowercase();
        let (mut start, whole) = (START, START + word.len());
        while start < whole {
            // What stands before `start` is done with and gives its place to the prefix.
            let from = if start == START { start } else { start - CONTINUED.len() };
            if from < start {
                bytes[from..start].copy_from_slice(&CONTINUED);
            }
            let ends = start + 1..=whole.min(start + LONGEST_TOKEN);
            let token = ends.rev().find_map(|end| Some((end, self.token(&bytes[from..end])?)));
            let Some((end, id)) = token else {
                ids.truncate(before);
                ids.push(self.special.unknown);
                return;
            };
            ids.push(id);
            start = end;
        }
    }

    fn token(&self, bytes: &[u8]) -> Option<u32> {
        self.inner.get_model().token_to_id(std::str::from_utf8(bytes).ok()?)
    }
}

/// Whether the normalizer would only change capitals: printable ASCII, and no bracket that could begin a special token.
fn is_plain(piece: &str) -> bool {
    piece.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'[')
}

/// Counts tokens of many overlapping pieces of one text, as splitting needs it.
///
/// WordPiece never looks across a blank or a Han character, so the count of a text is the sum over its
/// words, and words repeat: each is tokenized once.
pub struct TokenCounter<'t> {
    tokenizer: &'t Tokenizer,
    words: RefCell<HashMap<Box<str>, usize>>,
}

impl<'t> TokenCounter<'t> {
    /// Words kept; beyond it the count is computed anew each time.
    const MAX_WORDS: usize = 100_000;
    /// Longer words are rare and not worth keeping.
    const MAX_WORD_BYTES: usize = 64;

    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, words: RefCell::default() }
    }

    /// Equals [`Tokenizer::count`]. A text the tokenizer cannot take counts as too long for anything.
    pub fn count(&self, text: &str) -> usize {
        text.split(BLANKS)
            .flat_map(|piece| piece.split_inclusive(is_han))
            .flat_map(|piece| {
                // `split_inclusive` leaves the Han character at the end of what precedes it.
                let han = piece.chars().next_back().filter(|&c| is_han(c)).map_or(0, char::len_utf8);
                let (before, han) = piece.split_at(piece.len() - han);
                [before, han]
            })
            .filter(|word| !word.is_empty())
            .fold(0, |sum: usize, word| sum.saturating_add(self.word(word)))
    }

    fn word(&self, word: &str) -> usize {
        if let Some(&count) = self.words.borrow().get(word) {
            return count;
        }
        let count = self.tokenizer.count(word).unwrap_or(usize::MAX);
        let mut words = self.words.borrow_mut();
        if word.len() <= Self::MAX_WORD_BYTES && words.len() < Self::MAX_WORDS {
            words.insert(word.into(), count);
        }
        count
    }
}

/// The characters BERT's normalizer surrounds with blanks.
fn is_han(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}'
        | '\u{2a700}'..='\u{2b73f}' | '\u{2b740}'..='\u{2b81f}' | '\u{2b920}'..='\u{2ceaf}'
        | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}

fn model_error(error: tokenizers::Error) -> EmbeddingError {
    EmbeddingError::Model(error.to_string())
}

fn load_error(error: tokenizers::Error) -> LoadError {
    LoadError::Model(error.to_string())
}
