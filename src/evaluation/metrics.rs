//! Measures of a ranked list against judgments, as trec_eval defines them.

use std::collections::HashMap;

use serde::Serialize;

/// Relevance by document; absent or 0 is not relevant.
pub type Judgments = HashMap<String, u32>;

/// Means over queries, each 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Measures {
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: f64,
    #[serde(rename = "recall@10")]
    pub recall_10: f64,
    #[serde(rename = "recall@100")]
    pub recall_100: f64,
    #[serde(rename = "mrr@10")]
    pub mrr_10: f64,
}

impl Measures {
    /// Of one query; `ranked` holds each document once, best first. `None`: nothing is relevant.
    pub fn of(ranked: &[String], judgments: &Judgments) -> Option<Self> {
        let relevant = judgments.values().filter(|&&grade| grade > 0).count() as f64;
        if relevant == 0.0 {
            return None;
        }
        let grade = |id: &String| judgments.get(id).copied().unwrap_or(0);
        // Gain is the grade itself, discounted by log2 of rank + 1 (Järvelin and Kekäläinen 2002).
        let gain = |grades: &mut dyn Iterator<Item = u32>| -> f64 {
            grades.take(10).zip(2u32..).map(|(grade, place)| f64::from(grade) / f64::from(place).log2()).sum()
        };
        let mut ideal: Vec<u32> = judgments.values().copied().collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        let found = |depth: usize| ranked.iter().take(depth).filter(|id| grade(id) > 0).count() as f64;
        let first = ranked.iter().take(10).position(|id| grade(id) > 0);
        Some(Self {
            ndcg_10: gain(&mut ranked.iter().map(grade)) / gain(&mut ideal.into_iter()),
            recall_10: found(10) / relevant,
            recall_100: found(100) / relevant,
            mrr_10: first.map_or(0.0, |place| 1.0 / (place + 1) as f64),
        })
    }

    pub fn mean(all: &[Self]) -> Self {
        let mean = |part: fn(&Self) -> f64| all.iter().map(part).sum::<f64>() / all.len().max(1) as f64;
        Self {
            ndcg_10: mean(|m| m.ndcg_10),
            recall_10: mean(|m| m.recall_10),
            recall_100: mean(|m| m.recall_100),
            mrr_10: mean(|m| m.mrr_10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn measures_follow_their_definitions() {
        let judgments = Judgments::from([("a".into(), 2), ("b".into(), 1), ("c".into(), 0)]);
        let perfect = Measures::of(&ids(&["a", "b", "c"]), &judgments).unwrap();
        assert_eq!(perfect, Measures { ndcg_10: 1.0, recall_10: 1.0, recall_100: 1.0, mrr_10: 1.0 });
        let late = Measures::of(&ids(&["c", "x", "b"]), &judgments).unwrap();
        let ideal = 2.0 + 1.0 / 3f64.log2();
        assert!((late.ndcg_10 - (1.0 / 4f64.log2()) / ideal).abs() < 1e-12);
        assert_eq!((late.recall_10, late.mrr_10), (0.5, 1.0 / 3.0));
        assert!(Measures::of(&ids(&["a"]), &Judgments::from([("a".into(), 0)])).is_none());
        assert_eq!(Measures::of(&[], &judgments).unwrap(), Measures::default());
    }

    #[test]
    fn only_the_first_ten_count_for_ndcg_and_mrr() {
        let mut ranked: Vec<String> = (0..10).map(|i| format!("x{i}")).collect();
        ranked.push("a".into());
        let measures = Measures::of(&ranked, &Judgments::from([("a".into(), 1)])).unwrap();
        assert_eq!((measures.ndcg_10, measures.recall_10, measures.recall_100), (0.0, 0.0, 1.0));
    }
}
