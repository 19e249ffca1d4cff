//! A passage, and how a sentence that cites it compares with it.

use super::{
    facts::{Facts, folded},
    polarity::opposed,
    sentences::sentences,
    words::{Terms, is_unspaced},
};
use crate::domain::{Chunk, Verdict};

const SUPPORTED_SHARE: f32 = 0.5;
/// Pairs of characters straddle words, so a paraphrase shares fewer of them.
const UNSPACED_SHARE: f32 = 0.4;
const WEAK_SHARE: f32 = 0.2;
/// What a second sentence must add before the quote takes it in.
const NEIGHBOUR_GAIN: f32 = 0.15;
/// A clause of which the passages hold less is one they do not speak of.
const CLAUSE_SHARE: f32 = 0.34;
/// How much more of the claim another passage holds before the cited one is doubted.
const BETTER_ELSEWHERE: f32 = 0.35;
/// Passages of one sentence that are read together.
const MAX_TOGETHER: usize = 8;
/// Below this share words may mislead when they seem to disagree.
const SAME_MATTER: f32 = 0.4;

/// A passage prepared for comparing.
pub struct Passage {
    all: Terms,
    facts: Facts,
    folded: String,
    sentences: Vec<(usize, usize, Terms)>,
    content: String,
}

/// Where the quote stands, in Unicode scalar values, and what words say of it.
pub struct Judged {
    pub start: usize,
    pub end: usize,
    pub verdict: Verdict,
    /// Words leave it open.
    pub open: bool,
}

impl Passage {
    pub fn of(chunk: &Chunk) -> Self {
        let content = chunk.content.as_str();
        // Title and file name tell what a passage is about, often by the one name that its text leaves out.
        let whole = format!("{content}\n{}\n{}", chunk.title.as_deref().unwrap_or_default(), chunk.source);
        Self {
            all: Terms::of(&whole),
            facts: Facts::of(&whole),
            folded: folded(&whole),
            sentences: sentences(content).into_iter().map(|s| (s.start, s.end, Terms::of(s.text))).collect(),
            content: content.to_owned(),
        }
    }

    /// `together` are all passages that the sentence cites, this one among them; `others` those of other sentences.
    pub fn judge(&self, text: &str, together: &[&Self], others: &[&Self], words_can_tell: bool) -> Judged {
        let claim = Terms::of(text);
        let (start, end, share) = self.quote(&claim);
        let facts: Vec<&Facts> = together.iter().map(|passage| &passage.facts).collect();
        let terms: Vec<&Terms> = together.iter().map(|passage| &passage.all).collect();
        let texts: Vec<&str> = together.iter().map(|passage| passage.folded.as_str()).collect();
        let missing = Facts::of(text).missing_in(&facts, &terms, &texts);
        let mut union = Terms::default();
        for passage in together.iter().take(MAX_TOGETHER) {
            union.words.extend(passage.all.words.iter().cloned());
            union.numbers.extend(passage.all.numbers.iter().cloned());
            union.spelled.extend(passage.all.spelled.iter().cloned());
        }
        let held = |claim: &Terms| Some(inflected_share(claim, &union)).filter(|_| claim.len() > 0);
        let anywhere = held(&claim);
        let judged = |verdict, open| Judged { start, end, verdict, open };
        if missing.figures || (missing.quotes && words_can_tell) {
            return judged(Verdict::Unsupported, false);
        }
        let (Some(anywhere), true) = (anywhere, words_can_tell) else { return judged(Verdict::Weak, false) };
        let quote: String = self.content.chars().skip(start).take(end - start).collect();
        let share = share.max(inflected_share(&claim, &Terms::of(&quote)));
        if share >= SAME_MATTER && opposed(text, &quote) {
            return judged(Verdict::Unsupported, false);
        }
        let several = together.len() > 1;
        let half = if text.chars().any(is_unspaced) { UNSPACED_SHARE } else { SUPPORTED_SHARE };
        let enough = share >= half || several && anywhere >= SUPPORTED_SHARE && share >= WEAK_SHARE;
        let elsewhere = others.iter().map(|other| other.quote(&claim).2).fold(0.0, f32::max);
        let doubted = missing.names
            || clauses(text)
                .iter()
                .any(|clause| held(&Terms::of(clause)).is_some_and(|share| share < CLAUSE_SHARE))
            || (!several && elsewhere - share > BETTER_ELSEWHERE);
        if enough {
            return judged(if doubted { Verdict::Weak } else { Verdict::Supported }, false);
        }
        let weak = share >= WEAK_SHARE || anywhere >= SUPPORTED_SHARE;
        judged(if weak { Verdict::Weak } else { Verdict::Unsupported }, !missing.names)
    }

    /// Range of the best quote and the share of the claim's terms in it. Without anything shared it
    /// is the first sentence.
    fn quote(&self, claim: &Terms) -> (usize, usize, f32) {
        let share = |terms: &Terms| claim.covered_by(terms).unwrap_or(0.0);
        let mut best = self.sentences.first().map_or((0, 0, 0.0), |(start, end, _)| (*start, *end, 0.0));
        for (start, end, terms) in &self.sentences {
            if share(terms) > best.2 {
                best = (*start, *end, share(terms));
            }
        }
        let single = best.2;
        for pair in self.sentences.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            let both = claim.covered_by_either(&first.2, &second.2).unwrap_or(0.0);
            if both > (single + NEIGHBOUR_GAIN).max(best.2) {
                best = (first.0, second.1, both);
            }
        }
        best
    }
}

/// The share of a claim's words in a text, whatever their endings. Its numbers were looked up as facts: what
/// is spelled in another way is no missing word.
fn inflected_share(claim: &Terms, text: &Terms) -> f32 {
    let alike = |one: &str, other: &str| {
        let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        let longest = one.chars().count().max(other.chars().count());
        same >= 4 && longest - same <= 3 && same * 10 >= longest * 6
    };
    let known =
        |word: &&String| text.words.contains(*word) || text.words.iter().any(|other| alike(word, other));
    match claim.words.len() {
        0 => 0.0,
        all => claim.words.iter().filter(known).count() as f32 / all as f32,
    }
}

/// The parts of a sentence that say something each; one part says nothing of its own.
fn clauses(text: &str) -> Vec<String> {
    const SPLIT: &[&str] = &[
        ", and ", ", but ", ", while ", " and ", " but ", "; ", ", ", " und ", " et ", " y ", "，", "；",
        "、",
    ];
    let mut parts = vec![text.to_owned()];
    for mark in SPLIT {
        parts =
            parts.iter().flat_map(|part| part.split(mark).map(str::to_owned).collect::<Vec<_>>()).collect();
    }
    parts.retain(|part| Terms::of(part).len() >= 3);
    if parts.len() < 2 { Vec::new() } else { parts }
}
