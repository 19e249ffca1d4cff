//! Checks each citation of an answer against its passage: lexical support, not truth.
//!
//! The rule, in the order it is applied to a sentence and a passage it cites:
//! - the quote is the sentence of the passage, or two neighbours, that holds the largest share of the answer
//!   sentence's content words (bigrams where a script has no spaces) and numbers;
//! - **unsupported**: a number, time, date or quoted word that no passage of the sentence has; or the quote
//!   says the opposite (`polarity.rs`); or less than a fifth of the words stand in it;
//! - **weak**: a name that the passages lack; a clause they do not speak of; another passage of the answer
//!   fits far better; words cannot tell, as the sentence has none or the passage is in another language;
//! - **supported**: half of the words stand in the quote; **weak** between that and a fifth.
//!
//! What words leave open is unsupported where the cosine of sentence and quote is low; another room computes it.

use std::collections::HashSet;

use whatlang::Lang;

use super::{
    claims::Claims,
    cleaner::{Cleaned, clean},
    passage::{Judged, Passage},
    words::is_unspaced,
};
use crate::domain::{Citation, Grounding, Hit, Verdict};

/// Pairs of sentence and quote that are worth embedding for one answer.
pub const MAX_PAIRS: usize = 8;
/// Further citations are listed without being read: no honest answer has so many.
const MAX_JUDGED: usize = 600;
/// Below this cosine of MiniLM sentence and quote speak of different things. There is no bound above which they agree:
/// of the pairs in `tests/citations` that words leave open, contradictions reach 0.71 and paraphrases begin at 0.57.
const FOREIGN: f32 = 0.40;

/// An answer with its citations checked.
#[derive(Debug, PartialEq)]
pub struct Checked {
    /// The answer as a reader may see it; markers that point to a passage read `[number]`, others are gone.
    pub text: String,
    pub grounding: Grounding,
    /// Share of the sentences that state something which have a citation that is supported or weak; 0 without any.
    pub support: f32,
    /// Sentences that state something.
    pub sentences: usize,
    /// Markers that were removed because they pointed nowhere.
    pub dangling: usize,
    /// Links, images, addresses and tags that were taken out or broken.
    pub neutralised: usize,
}

/// An answer whose citations were compared by words.
pub struct Draft {
    cleaned: Cleaned,
    /// Of each sentence, whether it states something and its text.
    claims: Vec<(bool, String)>,
    pairs: Vec<Pair>,
    /// Sentences without a marker, with the passages their paragraph cites behind them.
    led: Vec<(usize, bool)>,
}

struct Pair {
    claim: Option<usize>,
    citation: Citation,
    open: bool,
}

/// Checks the markers of `answer` against `hits`, numbered from 1, by words alone.
pub fn check(answer: &str, hits: &[Hit]) -> Checked {
    draft(answer, hits).judge(None)
}

/// The first step: everything that words can tell.
pub fn draft(answer: &str, hits: &[Hit]) -> Draft {
    let cleaned = clean(answer, hits);
    let claims = Claims::of(&cleaned.plain);
    let language = language(&cleaned.plain);
    let mut passages: Vec<Option<Passage>> = hits.iter().map(|_| None).collect();
    let mut cited: Vec<(Option<usize>, usize)> = Vec::new();
    let mut seen = HashSet::new();
    for &(position, number) in &cleaned.markers {
        let pair = (claims.at(position), number - 1);
        if seen.insert(pair) {
            cited.push(pair);
        }
    }
    for (_, index) in cited.iter().take(MAX_JUDGED) {
        passages[*index].get_or_insert_with(|| Passage::of(&hits[*index].chunk));
    }
    let mut pairs = Vec::new();
    let groups = cited.chunk_by(|a, b| a.0 == b.0 && a.0.is_some());
    for group in groups {
        let claim = group[0].0;
        let text = claim.map_or("", |claim| claims.sentences[claim].text);
        let together: Vec<&Passage> =
            group.iter().filter_map(|(_, index)| passages[*index].as_ref()).collect();
        for &(_, index) in group {
            let hit = &hits[index];
            let judged = match &passages[index] {
                Some(passage) if pairs.len() < MAX_JUDGED => {
                    let others: Vec<&Passage> =
                        passages.iter().flatten().filter(|other| !std::ptr::eq(*other, passage)).collect();
                    passage.judge(text, &together, &others, words_can_tell(text, language, hit))
                }
                _ => Judged { start: 0, end: 0, verdict: Verdict::Unsupported, open: false },
            };
            let quote =
                hit.chunk.content.chars().skip(judged.start).take(judged.end - judged.start).collect();
            let (start, end, verdict) = (judged.start, judged.end, judged.verdict);
            let citation = Citation { number: index + 1, context: index, quote, start, end, verdict };
            pairs.push(Pair { claim, citation, open: judged.open });
        }
    }
    let mut led = Vec::new();
    for (claim, index) in claims.led(&cited).into_iter().take(MAX_JUDGED) {
        let text = claims.sentences[claim].text;
        if let Some(passage) = &passages[index] {
            let verdict =
                passage.judge(text, &[passage], &[], words_can_tell(text, language, &hits[index])).verdict;
            led.push((claim, verdict != Verdict::Unsupported));
        }
    }
    let claims =
        claims.sentences.iter().map(|s| (super::claims::states_something(s), s.text.to_owned())).collect();
    Draft { cleaned, claims, pairs, led }
}

impl Draft {
    /// The answer as a reader may see it.
    pub fn text(&self) -> &str {
        &self.cleaned.text
    }

    /// What to embed for [`Draft::judge`]: sentence and quote of each pair that words leave open, in turn;
    /// often nothing.
    pub fn texts(&self) -> Vec<String> {
        let claim = |pair: &Pair| pair.claim.map(|claim| self.claims[claim].1.clone()).unwrap_or_default();
        self.open().flat_map(|at| [claim(&self.pairs[at]), self.pairs[at].citation.quote.clone()]).collect()
    }

    fn open(&self) -> impl Iterator<Item = usize> {
        (0..self.pairs.len()).filter(|at| self.pairs[*at].open).take(MAX_PAIRS)
    }

    /// The second step. `cosines` has one value a pair, sentence against quote; `None`: words alone.
    pub fn judge(mut self, cosines: Option<&[f32]>) -> Checked {
        let open: Vec<usize> = self.open().collect();
        for (at, cosine) in open.into_iter().zip(cosines.unwrap_or_default()) {
            if *cosine < FOREIGN {
                self.pairs[at].citation.verdict = Verdict::Unsupported;
            }
        }
        let holds = |citation: &Citation| citation.verdict != Verdict::Unsupported;
        let (mut stated, mut held) = (0, 0);
        let mut good: HashSet<usize> =
            self.led.iter().filter(|(_, holds)| *holds).map(|(claim, _)| *claim).collect();
        good.extend(self.pairs.iter().filter(|pair| holds(&pair.citation)).filter_map(|pair| pair.claim));
        for (claim, (states, _)) in self.claims.iter().enumerate() {
            stated += usize::from(*states);
            held += usize::from(*states && good.contains(&claim));
        }
        let mut distinct = HashSet::new();
        let citations: Vec<Citation> = self
            .pairs
            .into_iter()
            .map(|pair| pair.citation)
            .filter(|c| distinct.insert((c.number, c.start, c.end, c.verdict.as_str())))
            .collect();
        let grounding = if citations.iter().any(holds) {
            Grounding::Cited(citations)
        } else if citations.is_empty() {
            Grounding::Uncited
        } else {
            Grounding::Unsupported(citations)
        };
        let support = match stated {
            // Nothing but a heading, a figure or code: the citation itself is all there is.
            0 => f32::from(u8::from(matches!(grounding, Grounding::Cited(_)))),
            _ => held as f32 / stated as f32,
        };
        let Cleaned { text, dangling, neutralised, .. } = self.cleaned;
        Checked { text, grounding, support, sentences: stated, dangling, neutralised }
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
    fn a_number_that_the_passage_lacks_is_unsupported() {
        assert_eq!(
            verdicts("Full-time employees receive 30 days of annual leave [1].", &[LEAVE])[0].2,
            Verdict::Unsupported
        );
        assert_eq!(
            verdicts("全职员工每年享有30天年假[1]。", &["全职员工每年享有25天年假。"])[0].2,
            Verdict::Unsupported
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
        assert!(matches!(alone.grounding, Grounding::Unsupported(_)) && alone.support == 0.0);
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
        assert_eq!(verdicts("正社員の有給休暇は30日です。[1]", &[LEAVE])[0].2, Verdict::Unsupported);
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
        let checked = check("Yes [1].", &[]);
        assert_eq!(
            (checked.text.as_str(), checked.grounding, checked.dangling),
            ("Yes.", Grounding::Uncited, 1)
        );
        assert_eq!(verdicts("[1]", &[""]), [(1, String::new(), Verdict::Weak)]);
    }
}
