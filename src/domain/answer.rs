//! What a question comes back as.

use super::Hit;

/// How well the text of a citation supports the sentence it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Supported,
    Weak,
    Unsupported,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Weak => "weak",
            Self::Unsupported => "unsupported",
        }
    }
}

/// One marker `[number]` of the answer, resolved to a passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// The number as it stands in the answer, from 1.
    pub number: usize,
    /// Position of the passage in [`Answer::contexts`].
    pub context: usize,
    /// The words of the passage that support the sentence, verbatim.
    pub quote: String,
    /// Where the quote stands in the passage's content, in Unicode scalar values: `start..end`.
    pub start: usize,
    pub end: usize,
    pub verdict: Verdict,
}

/// What the answer rests on.
#[derive(Debug, Clone, PartialEq)]
pub enum Grounding {
    /// At least one citation holds; never empty.
    Cited(Vec<Citation>),
    /// There are citations, but none holds; never empty.
    Unsupported(Vec<Citation>),
    /// The text cites nothing.
    Uncited,
    /// Nothing similar enough was found; the text says so and no LLM was called.
    NoEvidence,
}

impl Grounding {
    pub fn citations(&self) -> &[Citation] {
        match self {
            Self::Cited(citations) | Self::Unsupported(citations) => citations,
            Self::Uncited | Self::NoEvidence => &[],
        }
    }
}

/// Tokens as the LLM server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    pub input_tokens: u64,
    /// Of the input, what the server had in its cache; it costs less.
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    /// Only when prices are configured.
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// Of two requests, either of which may not have been counted.
    pub fn sum(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        Some(Self {
            input_tokens: one.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: one.cached_input_tokens.saturating_add(other.cached_input_tokens),
            output_tokens: one.output_tokens.saturating_add(other.output_tokens),
            total_tokens: one.total_tokens.saturating_add(other.total_tokens),
            cost_usd: one.cost_usd.zip(other.cost_usd).map(|(one, other)| one + other),
        })
    }
}

/// What a model wrote and nobody gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Markers that pointed to no passage.
    pub markers: usize,
    /// Links, images, addresses and tags, taken out or broken.
    pub links: usize,
}

/// The reply to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    /// The passages given to the answerer, in the order of their numbers.
    pub contexts: Vec<Hit>,
    pub grounding: Grounding,
    /// Share of its sentences that have a citation which is supported or weak, 0 to 1.
    pub support: f32,
    pub removed: Removed,
    /// `None`: extractive.
    pub model: Option<String>,
    /// As the LLM server said it; `None` when extractive.
    pub finish_reason: Option<String>,
    pub usage: Option<Usage>,
}

/// Fewer sentences with support than this, and the answer as a whole does not rest on its passages.
const MIN_SUPPORT: f32 = 0.5;

impl Answer {
    /// At least one citation holds, and at least half of the sentences have one that does.
    pub fn is_grounded(&self) -> bool {
        matches!(self.grounding, Grounding::Cited(_)) && self.support >= MIN_SUPPORT
    }
}
