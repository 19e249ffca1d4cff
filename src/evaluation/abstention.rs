//! Questions that a collection answers and questions that it does not, and which of both would be answered.

use serde::Serialize;

use crate::generation::Signals;

/// Whether the index holds an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The collection's own question.
    Own,
    /// A question of another collection.
    Foreign,
    /// The collection's own question, asked as if the documents that answer it were not there.
    HeldOut,
}

/// One question and what the best passages have in common with it.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    pub kind: Kind,
    /// The collection it was written for.
    pub set: String,
    pub unspaced: bool,
    /// Terms of the question, weighed.
    pub terms: f32,
    /// Cosine, and terms found, of each passage.
    pub hits: Vec<(f32, f32)>,
    pub evidence: f32,
}

impl Asked {
    pub fn new(kind: Kind, set: &str, signals: &[Signals], evidence: f32) -> Self {
        let first = signals.first();
        Self {
            kind,
            set: set.to_owned(),
            unspaced: first.is_some_and(|signals| signals.unspaced),
            terms: first.map_or(0.0, |signals| signals.asked),
            hits: signals.iter().map(|signals| (signals.cosine, signals.found)).collect(),
            evidence,
        }
    }
}

/// The shares of the questions of each kind that are answered when `MIN_EVIDENCE_COSINE` is `threshold`;
/// `None` where none was asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    pub threshold: f32,
    pub own: Option<f64>,
    pub foreign: Option<f64>,
    pub held_out: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Abstention {
    pub curve: Vec<Point>,
    pub questions: Vec<Asked>,
}

impl Abstention {
    /// Thresholds from -0.2 to 0.8 in steps of 0.05.
    pub fn new(questions: Vec<Asked>) -> Self {
        let curve = (-4i8..=16).map(|step| point(&questions, f32::from(step) * 5.0 / 100.0)).collect();
        Self { curve, questions }
    }
}

fn point(questions: &[Asked], threshold: f32) -> Point {
    let share = |kind| {
        let of_kind = questions.iter().filter(|asked| asked.kind == kind);
        let (all, answered) = of_kind.fold((0u32, 0u32), |(all, answered), asked| {
            (all + 1, answered + u32::from(asked.evidence >= threshold))
        });
        (all > 0).then(|| f64::from(answered) / f64::from(all))
    };
    Point { threshold, own: share(Kind::Own), foreign: share(Kind::Foreign), held_out: share(Kind::HeldOut) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_gives_shares_by_kind_and_nothing_where_none_was_asked() {
        let asked = |kind, evidence| Asked::new(kind, "x", &[], evidence);
        let questions = vec![
            asked(Kind::Own, 0.3),
            asked(Kind::Own, 0.1),
            asked(Kind::HeldOut, -1.0),
            asked(Kind::Own, 0.9),
        ];
        let curve = Abstention::new(questions).curve;
        let at = |threshold: f32| *curve.iter().find(|point| point.threshold == threshold).unwrap();
        assert_eq!((curve.len(), curve[0].threshold, curve[20].threshold), (21, -0.2, 0.8));
        assert_eq!(
            at(0.3),
            Point { threshold: 0.3, own: Some(2.0 / 3.0), foreign: None, held_out: Some(0.0) }
        );
        assert_eq!(at(0.0).own, Some(1.0));
    }
}
