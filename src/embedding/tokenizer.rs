//! The model's own tokenizer, for input and for counting.

use std::{cell::RefCell, collections::HashMap, path::Path, sync::Arc};

use super::{EmbeddingError, LoadError, TOKENIZER_SHA256, weights};

/// Tokens the model reads of one text, `[CLS]` and `[SEP]` included: what it was trained with.
pub const MAX_TOKENS: usize = 256;

/// WordPiece of bert-base-uncased. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
}

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
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Token ids with `[CLS]` and `[SEP]`, cut to [`MAX_TOKENS`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EmbeddingError> {
        let encoding = self.inner.encode_fast(text, true).map_err(model_error)?;
        let mut ids = encoding.get_ids().to_vec();
        if ids.len() > MAX_TOKENS {
            let separator = ids[ids.len() - 1];
            ids.truncate(MAX_TOKENS - 1);
            ids.push(separator);
        }
        Ok(ids)
    }

    /// Tokens of a text without `[CLS]` and `[SEP]`, not cut.
    pub fn count(&self, text: &str) -> Result<usize, EmbeddingError> {
        Ok(self.inner.encode_fast(text, false).map_err(model_error)?.len())
    }
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
        text.split([' ', '\n', '\t', '\r'])
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
