//! The sentences of an answer, and which of them a marker belongs to.

use std::collections::HashMap;

use super::sentences::{Kind, Sentence, sentences};

/// The sentences of an answer, to be found by position.
pub struct Claims<'a> {
    pub sentences: Vec<Sentence<'a>>,
    line_ends: Vec<usize>,
}

impl<'a> Claims<'a> {
    pub fn of(plain: &'a str) -> Self {
        let line_ends = plain.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(at, _)| at).collect();
        Self { sentences: sentences(plain), line_ends }
    }

    /// The sentence a marker belongs to: the one it stands in or behind; at the start of a line the next.
    pub fn at(&self, position: usize) -> Option<usize> {
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

    /// Sentences without a marker of their own, with the first passage that the paragraph cites behind them.
    pub fn led(&self, cited: &[(Option<usize>, usize)]) -> Vec<(usize, usize)> {
        let mut first = HashMap::new();
        for (claim, index) in cited.iter().rev() {
            first.insert(*claim, *index);
        }
        let mut led = Vec::new();
        let mut next = None;
        for claim in (0..self.sentences.len()).rev() {
            let own = first.get(&Some(claim)).copied();
            if let Some(following) = self.sentences.get(claim + 1)
                && self.line_ends_in(self.sentences[claim].end, following.start)
            {
                next = None;
            }
            match own {
                Some(index) => next = Some(index),
                None => led.extend(next.map(|index| (claim, index))),
            }
        }
        led
    }
}

/// Whether a sentence needs a source: headings, code, questions, greetings and "there is no evidence" do not.
pub fn states_something(sentence: &Sentence<'_>) -> bool {
    const BOILERPLATE: &[&str] = &[
        "not enough evidence",
        "not contain enough",
        "no information",
        "not mention",
        "do not specify",
        "does not specify",
        "not provide",
        "cannot be answered",
        "not contain information",
        "没有足够",
        "没有提到",
        "未提及",
        "十分な根拠",
        "記載がありません",
        "記載されていません",
        "nicht genug belege",
        "keine angaben",
        "ne contiennent pas",
        "ne mentionnent pas",
        "no contienen",
        "no mencionan",
        "hope this helps",
        "let me know",
        "sources:",
        "quellen:",
        "fuentes:",
        "来源：",
        "出典：",
        "according to the passages:",
        "here is what",
    ];
    let lower = sentence.text.to_lowercase();
    let prose = matches!(sentence.kind, Kind::Prose | Kind::TableRow { .. });
    let words = super::words::Terms::of(sentence.text).len();
    let introduces = lower.ends_with([':', '：', '?', '？']);
    prose && words >= 2 && !introduces && !BOILERPLATE.iter().any(|phrase| lower.contains(phrase))
}
