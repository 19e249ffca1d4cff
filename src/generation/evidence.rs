//! Whether passages are evidence: a score from their cosine and the words they share with the question.

use super::words::{Terms, is_unspaced};
use crate::domain::{Hit, Question};

/// What one passage has in common with a question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    pub cosine: f32,
    /// Terms of the question: content words and numbers, pairs of characters in scripts without spaces, where
    /// a pair with one character that only carries grammar counts half.
    pub asked: f32,
    /// Those of them that the passage or its title has too.
    pub found: f32,
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
    let weigh = weights(&asked);
    let all: f32 = asked.all().map(|term| weigh(term)).sum();
    let unspaced = question.as_str().chars().any(is_unspaced);
    let of_hit = |hit: &Hit| {
        let cosine = hit.cosine.filter(|cosine| cosine.is_finite())?;
        let title = hit.chunk.title.as_deref().unwrap_or_default();
        let held = Terms::of(&format!("{title}\n{}", hit.chunk.content));
        let words = asked.words.iter().filter(|word| held.words.contains(*word));
        let numbers = asked.numbers.iter().filter(|number| held.has_number(number));
        // The sum of no terms would be -0.
        let found = words.chain(numbers).fold(0.0, |sum, term| sum + weigh(term));
        Some(Signals { cosine, asked: all, found, unspaced })
    };
    hits.iter().filter_map(of_hit).collect()
}

/// Endings and particles are found in any text, so pairs made of nothing else do not count, unless the
/// question has no others. A pair that is half a word and half an ending counts half.
fn weights(asked: &Terms) -> impl Fn(&str) -> f32 {
    let weight = |term: &str| {
        let grammar = term.chars().filter(|&c| is_grammar(c)).count();
        1.0 - grammar as f32 / term.chars().count().max(1) as f32
    };
    let none_counts = asked.all().all(|term| weight(term) == 0.0);
    move |term| if none_counts { 1.0 } else { weight(term) }
}

fn is_grammar(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{309F}') || GRAMMAR.contains(c)
}

impl Signals {
    /// With spaces between words the model knows the language: the cosine leads, words in common raise it and
    /// missing words lower it, though never by more than `MOST_LOWERED`, as an answer may use other
    /// words. Of a long question no passage holds all words, so `ENOUGH_TERMS` are enough. Without spaces
    /// the model finds any two texts alike, and the share of the pairs of characters leads.
    pub fn strength(&self) -> f32 {
        let asked = if self.asked > 0.0 { self.asked } else { 1.0 };
        let strength = if self.unspaced {
            let [base, cosine, share] = UNSPACED;
            base + cosine * self.cosine + share * self.found / asked
        } else {
            let [base, share] = SPACED;
            let change = base + share * (self.found / asked.min(ENOUGH_TERMS)).min(1.0);
            self.cosine + change.max(-MOST_LOWERED)
        };
        strength.clamp(-1.0, 1.0)
    }
}

/// Characters of Chinese, and some of Japanese, that ask, point or join, and seldom name a thing.
const GRAMMAR: &str = "的了吗呢吧么是有在和与及或于由被为之其何谁哪几什怎多少这那里个可以会能要请时候样中嗎麼與於為誰幾這裡個會請時樣"; // typos:off

// Fitted by `scripts/calibrate_evidence.py`, which prints these four lines; 0.3 is where it sets the threshold.
const SPACED: [f32; 2] = [-0.599, 0.736];
const UNSPACED: [f32; 3] = [-0.136, 0.121, 1.001];
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

    const JAPANESE: &str = "質問は最大 4000 文字です。`top_k` は返す段落の数で、1 から 50 まで指定でき、既定値は 3 です。取り込みの途中で\
        電源が切れたり強制終了されたりしても、内容は失われません。もう一度実行すれば続きから再開します。出典には番号が付き、1 から始まります。";
    const CHINESE: &str = "一个问题最多可以有 4000 个字符。参数 `top_k` 表示返回多少个段落，默认值是 3。即使导入过程中断电，已经提交的\
        内容也不会丢失，再次运行即可继续。这是什么时候发生的、有多少个，都可以查到。";

    #[test]
    fn in_scripts_the_model_does_not_know_a_passage_must_share_content_with_the_question() {
        for (question, content, answers) in [
            ("質問は最大で何文字ですか", JAPANESE, true),
            ("途中で電源が切れるとどうなりますか", JAPANESE, true),
            ("梅雨はいつ始まりますか", JAPANESE, false),
            ("花火大会はいつ始まりますか", JAPANESE, false),
            ("富士山の高さは何メートルですか", JAPANESE, false),
            ("カレーの作り方を教えてください", JAPANESE, false),
            ("一个问题最多有多少个字符", CHINESE, true),
            ("导入时断电会丢失内容吗", CHINESE, true),
            ("谁发明了电话？", CHINESE, false),
            ("长城是什么时候修建的？", CHINESE, false),
            ("公司的产假有多少天？", CHINESE, false),
            ("孩子发烧可以吃什么药？", CHINESE, false),
        ] {
            assert_eq!(strength(question, content, 0.6) >= THRESHOLD, answers, "{question}");
        }
    }

    #[test]
    fn grammar_counts_only_where_there_is_nothing_else() {
        let asked = |question: &str| {
            let hit = Hit { cosine: Some(0.5), ..hit("a.md", "これはいつまでですか") };
            signals(&Question::parse(question).unwrap(), &[hit])[0]
        };
        // 雨は and the pairs around 始 count half.
        assert_eq!(
            (asked("梅雨はいつ始まりますか").asked, asked("梅雨はいつ始まりますか").found),
            (2.5, 0.0)
        );
        let grammar = asked("いつまでですか");
        assert_eq!((grammar.asked, grammar.found), (6.0, 6.0));
        assert_eq!(asked("GPU 2").asked, 2.0);
    }

    #[test]
    fn more_in_common_is_never_weaker_and_the_bounds_hold() {
        for unspaced in [false, true] {
            for asked in [0_u16, 1, 2, 5, 10, 50, 2_000] {
                let all = f32::from(asked);
                let at = |cosine, found| {
                    Signals { cosine, asked: all, found: f32::from(found), unspaced }.strength()
                };
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
