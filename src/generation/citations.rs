//! Checks each citation of an answer against the words of its passage.
//!
//! The rule, which knows words and not meaning (a negation passes it):
//! - the quote is the sentence of the passage, or two neighbours, that holds the largest share of the
//!   answer sentence's content words (bigrams where a script has no spaces) and numbers;
//! - **supported**: that share is at least half, and every number stands in the passage;
//! - **weak**: a fifth of them stand in the quote, or half of them somewhere in the passage, or words
//!   cannot tell, as the sentence has none or the passage is in another language;
//! - **unsupported**: everything else, and a number from nowhere in a text that words cannot tell.

use std::collections::HashSet;

use whatlang::Lang;

use super::{
    cleaner::clean,
    sentences::{Sentence, sentences},
    words::{Terms, is_unspaced},
};
use crate::domain::{Citation, Grounding, Hit, Verdict};

const SUPPORTED_SHARE: f32 = 0.5;
const WEAK_SHARE: f32 = 0.2;
/// What a second sentence must add before the quote takes it in.
const NEIGHBOUR_GAIN: f32 = 0.15;

/// An answer with its citations checked.
#[derive(Debug, PartialEq)]
pub struct Checked {
    /// The answer; markers that point to a passage read `[number]`, others are gone.
    pub text: String,
    /// [`Grounding::Cited`] when at least one citation is supported or weak.
    pub grounding: Grounding,
    /// Markers that were removed because they pointed nowhere.
    pub dangling: usize,
}

/// Checks the markers of `answer` against `hits`, numbered from 1.
pub fn check(answer: &str, hits: &[Hit]) -> Checked {
    let marked = clean(answer, hits);
    let claims = Claims::of(&marked.plain);
    let language = language(&marked.plain);
    let mut passages: Vec<Option<Passage>> = hits.iter().map(|_| None).collect();
    let (mut pairs, mut distinct) = (HashSet::new(), HashSet::new());
    let mut citations: Vec<Citation> = Vec::new();
    for &(position, number) in &marked.markers {
        let claim = claims.at(position);
        if !pairs.insert((claim, number)) {
            continue;
        }
        let text = claim.map_or("", |claim| claims.sentences[claim].text);
        let hit = &hits[number - 1];
        let passage = passages[number - 1].get_or_insert_with(|| Passage::of(&hit.chunk.content));
        let (start, end, verdict) = passage.judge(&Terms::of(text), words_can_tell(text, language, hit));
        if distinct.insert((number, start, end, verdict.as_str())) {
            let quote = hit.chunk.content.chars().skip(start).take(end - start).collect();
            citations.push(Citation { number, context: number - 1, quote, start, end, verdict });
        }
    }
    let holds = citations.iter().any(|citation| citation.verdict != Verdict::Unsupported);
    let grounding = if holds { Grounding::Cited(citations) } else { Grounding::Uncited };
    Checked { text: marked.text, grounding, dangling: marked.dangling }
}

/// The sentences of an answer, to be found by position.
struct Claims<'a> {
    sentences: Vec<Sentence<'a>>,
    line_ends: Vec<usize>,
}

impl<'a> Claims<'a> {
    fn of(plain: &'a str) -> Self {
        let line_ends = plain.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(at, _)| at).collect();
        Self { sentences: sentences(plain), line_ends }
    }

    /// The sentence a marker belongs to: the one it stands in or behind; at the start of a line the next.
    fn at(&self, position: usize) -> Option<usize> {
        let next = self.sentences.partition_point(|sentence| sentence.start < position);
        let previous = next.checked_sub(1);
        let following = self.sentences.get(next);
        let begins_line = previous.is_none_or(|previous| {
            let end = self.sentences[previous].end;
            position > end && self.line_ends_in(end, position)
        });
        match following {
            Some(following) if begins_line && !self.line_ends_in(position, following.start) => Some(next),
            _ => previous.or(following.map(|_| next)),
        }
    }

    fn line_ends_in(&self, from: usize, to: usize) -> bool {
        let first = self.line_ends.partition_point(|at| *at < from);
        self.line_ends.get(first).is_some_and(|at| *at < to)
    }
}

/// A passage prepared for comparing.
struct Passage {
    all: Terms,
    sentences: Vec<(usize, usize, Terms)>,
}

impl Passage {
    fn of(content: &str) -> Self {
        let sentences = sentences(content).into_iter().map(|s| (s.start, s.end, Terms::of(s.text))).collect();
        Self { all: Terms::of(content), sentences }
    }

    /// Range of the quote, and the verdict by the rule at the top of this file.
    fn judge(&self, claim: &Terms, words_can_tell: bool) -> (usize, usize, Verdict) {
        let (start, end, share) = self.quote(claim);
        let numbers_hold = claim.numbers.iter().all(|number| self.all.has_number(number));
        let verdict = match claim.covered_by(&self.all) {
            _ if !words_can_tell && numbers_hold => Verdict::Weak,
            _ if !words_can_tell => Verdict::Unsupported,
            None => Verdict::Weak,
            Some(_) if share >= SUPPORTED_SHARE && numbers_hold => Verdict::Supported,
            Some(anywhere) if share >= WEAK_SHARE || anywhere >= SUPPORTED_SHARE => Verdict::Weak,
            Some(_) => Verdict::Unsupported,
        };
        (start, end, verdict)
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

/// Words compare within a language. Across scripts, or where both languages are known to differ, an
/// honest answer shares next to none with its passage.
fn words_can_tell(claim: &str, language: Option<&str>, hit: &Hit) -> bool {
    let unspaced = |text: &str| {
        let letters = text.chars().filter(|c| c.is_alphabetic()).count();
        letters > 0 && text.chars().filter(|c| is_unspaced(*c)).count() * 2 > letters
    };
    let known = hit.chunk.language.as_deref();
    unspaced(claim) == unspaced(&hit.chunk.content)
        && !matches!((language, known), (Some(ours), Some(theirs)) if !theirs.starts_with(ours))
}

/// ISO 639-1 code of an answer, only where the detector is sure and the code is one of the common ones.
fn language(text: &str) -> Option<&'static str> {
    let info = whatlang::detect(text).filter(whatlang::Info::is_reliable)?;
    Some(match info.lang() {
        Lang::Eng => "en",
        Lang::Cmn => "zh",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Deu => "de",
        Lang::Fra => "fr",
        Lang::Spa => "es",
        Lang::Ita => "it",
        Lang::Por => "pt",
        Lang::Nld => "nl",
        Lang::Rus => "ru",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::testing::hit;

    fn verdicts(answer: &str, passages: &[&str]) -> Vec<(usize, String, Verdict)> {
        let hits: Vec<_> = passages.iter().map(|passage| hit("a.md", passage)).collect();
        let checked = check(answer, &hits);
        let citations = checked.grounding.citations().to_vec();
        for citation in &citations {
            let content: Vec<char> = hits[citation.context].chunk.content.chars().collect();
            assert_eq!(content[citation.start..citation.end].iter().collect::<String>(), citation.quote);
        }
        citations.into_iter().map(|c| (c.number, c.quote, c.verdict)).collect()
    }

    const LEAVE: &str =
        "Welcome to the handbook. Full-time employees receive 25 days of annual leave. Ask your manager.";

    #[test]
    fn the_sentence_that_says_it_is_quoted() {
        assert_eq!(
            verdicts("Employees who work full-time get 25 days of annual leave [1].", &[LEAVE]),
            [(1, "Full-time employees receive 25 days of annual leave.".into(), Verdict::Supported)]
        );
        assert_eq!(
            verdicts(
                "全职员工每年享有25天带薪年假。[1]",
                &["欢迎阅读手册。全职员工每年享有25天年假。请咨询经理。"]
            ),
            [(1, "全职员工每年享有25天年假。".into(), Verdict::Supported)]
        );
        assert_eq!(
            verdicts(
                "正社員の有給休暇は年間20日です。[1]",
                &["ようこそ。正社員には年間20日の有給休暇があります。上司に相談してください。"]
            ),
            [(1, "正社員には年間20日の有給休暇があります。".into(), Verdict::Supported)]
        );
    }

    #[test]
    fn a_number_that_the_passage_lacks_is_weak_at_most() {
        assert_eq!(
            verdicts("Full-time employees receive 30 days of annual leave [1].", &[LEAVE])[0].2,
            Verdict::Weak
        );
        assert_eq!(
            verdicts("全职员工每年享有30天年假[1]。", &["全职员工每年享有25天年假。"])[0].2,
            Verdict::Weak
        );
        assert_eq!(
            verdicts("It takes 3 days of work [1].", &["The work takes three days."])[0].2,
            Verdict::Supported
        );
    }

    #[test]
    fn a_claim_that_has_nothing_to_do_with_its_passage_is_unsupported() {
        let mixed = verdicts(
            "Full-time employees receive 25 days of leave [1]. Pizza costs a fortune in Rome [1].",
            &[LEAVE],
        );
        assert_eq!(mixed.iter().map(|c| c.2).collect::<Vec<_>>(), [Verdict::Supported, Verdict::Unsupported]);
        let alone = check("Pizza costs a fortune in Rome [1].", &[hit("a.md", LEAVE)]);
        assert_eq!(alone.grounding, Grounding::Uncited);
        assert_eq!(alone.text, "Pizza costs a fortune in Rome [1].");
    }

    #[test]
    fn two_neighbouring_sentences_may_be_needed() {
        let found = verdicts(
            "Annual leave is 25 days and sick leave needs a doctor's certificate [1].",
            &["Hello there. Annual leave is 25 days. Sick leave needs a doctor's certificate. Goodbye."],
        );
        assert_eq!(found[0].1, "Annual leave is 25 days. Sick leave needs a doctor's certificate.");
    }

    #[test]
    fn across_languages_words_cannot_tell_but_numbers_can() {
        assert_eq!(verdicts("正社員の有給休暇は25日です。[1]", &[LEAVE])[0].2, Verdict::Weak);
        assert_eq!(
            check("正社員の有給休暇は30日です。[1]", &[hit("a.md", LEAVE)]).grounding,
            Grounding::Uncited
        );
        let mut german =
            hit("a.md", "Vollzeitbeschäftigte erhalten im Jahr 25 Tage Urlaub, Teilzeitkräfte weniger.");
        german.chunk.language = Some("de".into());
        let answer = "People who work full time receive 25 days of paid holiday every single year [1].";
        assert_eq!(check(answer, &[german]).grounding.citations()[0].verdict, Verdict::Weak);
    }

    #[test]
    fn markers_belong_to_the_sentence_they_follow_or_lead() {
        let passages = ["Cats purr loudly at night.", "Dogs bark loudly at dawn."];
        for answer in [
            "Cats purr at night. [1] Dogs bark at dawn. [2]",
            "Cats purr at night [1]. Dogs bark at dawn [2].",
            "Cats purr at night.[1] Dogs bark at dawn.[2]",
            "- [1] Cats purr at night.\n- [2] Dogs bark at dawn.",
            "Cats purr at night.\n[1]\n\nDogs bark at dawn.\n[2]\n",
        ] {
            let found = verdicts(answer, &passages);
            assert_eq!(found.len(), 2, "{answer}");
            assert!(found.iter().all(|c| c.2 == Verdict::Supported), "{answer}: {found:?}");
        }
    }

    #[test]
    fn no_markers_no_passages_and_empty_passages_are_survived() {
        assert_eq!(check("Yes.", &[hit("a.md", LEAVE)]).grounding, Grounding::Uncited);
        assert_eq!(
            check("Yes [1].", &[]),
            Checked { text: "Yes.".into(), grounding: Grounding::Uncited, dangling: 1 }
        );
        assert_eq!(verdicts("[1]", &[""]), [(1, String::new(), Verdict::Weak)]);
    }
}
