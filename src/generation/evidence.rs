//! Whether passages are evidence: a score from their cosine and the words they share with the question.

use super::words::{Terms, is_unspaced};
use crate::domain::{Hit, Question};

/// What one passage has in common with a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    pub cosine: f32,
    /// Terms of the question: content words and numbers, pairs of characters in scripts without spaces.
    pub asked: usize,
    /// Those of them that the passage or its title has too.
    pub found: usize,
    /// The question is in a script without spaces, or has a word of one.
    pub unspaced: bool,
}

/// How strong the evidence is, -1 to 1: the strength of the strongest passage, -1 where there is none.
///
/// It is the cosine, raised by shared words and lowered by their absence: log-odds that a passage
/// answers, from a logistic regression, on the scale of the cosine. The fused score would not do, as it
/// only knows ranks. See `ARCHITECTURE.md`, "Abstention", for the fit and its figures.
pub fn evidence(question: &Question, hits: &[Hit]) -> f32 {
    signals(question, hits).iter().map(Signals::strength).fold(-1.0, f32::max)
}

/// The signals of each hit that has a cosine, in the order of the hits.
pub fn signals(question: &Question, hits: &[Hit]) -> Vec<Signals> {
    let asked = Terms::of(question.as_str());
    let unspaced = question.as_str().chars().any(is_unspaced);
    let of_hit = |hit: &Hit| {
        let cosine = hit.cosine.filter(|cosine| cosine.is_finite())?;
        let title = hit.chunk.title.as_deref().unwrap_or_default();
        let held = Terms::of(&format!("{title}\n{}", hit.chunk.content));
        let found = asked.words.iter().filter(|word| held.words.contains(*word)).count()
            + asked.numbers.iter().filter(|number| held.has_number(number)).count();
        Some(Signals { cosine, asked: asked.len(), found, unspaced })
    };
    hits.iter().filter_map(of_hit).collect()
}

impl Signals {
    /// With spaces between words the model knows the language: the cosine leads, words in common raise it and
    /// missing words lower it, though never by more than `MOST_LOWERED`, as an answer may use other
    /// words. Of a long question no passage holds all words, so `ENOUGH_TERMS` are enough. Without spaces
    /// the model finds any two texts alike, and the share of the pairs of characters leads.
    pub fn strength(&self) -> f32 {
        let asked = self.asked.max(1) as f32;
        let found = self.found as f32;
        let strength = if self.unspaced {
            let [base, cosine, share, length] = UNSPACED;
            base + cosine * self.cosine + share * found / asked + length * asked.ln()
        } else {
            let [base, share] = SPACED;
            let change = base + share * (found / asked.min(ENOUGH_TERMS)).min(1.0);
            self.cosine + change.max(-MOST_LOWERED)
        };
        strength.clamp(-1.0, 1.0)
    }
}

// Fitted by `scripts/calibrate_evidence.py`, which prints these four lines; 0.3 is where it sets the threshold.
const SPACED: [f32; 2] = [-0.597, 0.735];
const UNSPACED: [f32; 4] = [0.164, 0.151, 1.063, -0.102];
const ENOUGH_TERMS: f32 = 10.0;
const MOST_LOWERED: f32 = 0.25;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::testing::hit;

    const THRESHOLD: f32 = 0.3;

    fn strength(question: &str, content: &str, cosine: f32) -> f32 {
        let hit = Hit { cosine: Some(cosine), score: 99.0, ..hit("a.md", content) };
        evidence(&Question::parse(question).unwrap(), &[hit])
    }

    #[test]
    fn the_strongest_passage_counts_and_the_fused_score_does_not() {
        let question = Question::parse("How long is the notice period?").unwrap();
        let with = |cosine: Option<f32>| Hit { cosine, score: 99.0, ..hit("a.md", "A notice period.") };
        let alone = evidence(&question, &[with(Some(0.31))]);
        assert_eq!(evidence(&question, &[with(Some(0.1)), with(Some(0.31)), with(None)]), alone);
        for nothing in [&[][..], &[with(None)], &[with(Some(f32::NAN))]] {
            assert_eq!(evidence(&question, nothing), -1.0);
        }
    }

    #[test]
    fn words_in_common_decide_where_the_cosine_is_in_doubt() {
        let question = "How many vacation days do new employees get?";
        assert!(strength(question, "New employees get 25 days of vacation.", 0.25) > THRESHOLD);
        assert!(strength(question, "Employees park behind the house.", 0.4) < THRESHOLD);
        // A paraphrase shares no word and is as good.
        assert!(strength(question, "Fresh hires may be absent for five weeks.", 0.6) > THRESHOLD);
        assert!(strength("GPU", "A GPU is optional.", 0.2) > THRESHOLD);
    }

    #[test]
    fn a_title_is_part_of_its_passage() {
        let question = Question::parse("What does the travel policy allow?").unwrap();
        let mut titled = hit("a.md", "Second class only.");
        let bare = evidence(&question, &[titled.clone()]);
        titled.chunk.title = Some("Travel policy".into());
        assert!(evidence(&question, &[titled]) > bare);
    }

    #[test]
    fn in_scripts_the_model_does_not_know_a_passage_must_share_terms_with_the_question() {
        for (question, content, answers) in [
            ("質問は最大で何文字ですか", "質問は最大 4000 文字です。", true),
            ("質問は最大で何文字ですか", "梅雨は六月に始まります。", false),
            ("一个问题最多有多少个字符", "一个问题最多有四千个字符。", true),
            ("谁发明了电话", "一个问题最多有四千个字符。", false),
        ] {
            assert_eq!(strength(question, content, 0.6) >= THRESHOLD, answers, "{question}: {content}");
        }
    }

    #[test]
    fn more_in_common_is_never_weaker_and_the_bounds_hold() {
        for unspaced in [false, true] {
            for asked in [0, 1, 2, 5, 10, 50, 2_000] {
                let at = |cosine, found| Signals { cosine, asked, found, unspaced }.strength();
                for found in 1..=asked {
                    assert!(at(0.4, found) >= at(0.4, found - 1) && at(0.5, found) >= at(0.4, found));
                    assert!(
                        (-1.0..=1.0).contains(&at(1.0, found)) && (-1.0..=1.0).contains(&at(-1.0, found))
                    );
                }
            }
        }
    }
}
