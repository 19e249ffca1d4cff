//! Follow-up questions in three languages: what stands alone is left alone, what does not is found.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rag_api::{
    app,
    config::{Config, EnvReader},
    domain::{Filter, History, Question, Role, SearchMode, Turn},
    generation::rewrite::{accept, heuristic},
    ingest::{Ingestion, Plan, Shard, extract::WorkerCommand},
    retrieval::{
        IndexWriter, SearchRequest,
        local::{LocalIndex, LocalWriter},
    },
};
use serde::Deserialize;

use crate::support::embedder;

#[derive(Deserialize)]
struct Case {
    language: String,
    /// It does not stand alone.
    needs: bool,
    history: Vec<Said>,
    question: String,
    /// The question as a person would write it to stand alone.
    gold: String,
    /// A passage answers when it holds one of these.
    answer: Vec<String>,
}

#[derive(Deserialize)]
struct Said {
    role: String,
    content: String,
}

impl Case {
    fn question(&self) -> Question {
        Question::parse(&self.question).unwrap()
    }

    fn history(&self) -> History {
        let role = |name: &str| if name == "user" { Role::User } else { Role::Assistant };
        let turn = |said: &Said| Turn { role: role(&said.role), content: said.content.clone() };
        History::parse(self.history.iter().map(turn).collect()).unwrap()
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rewrite/followups.jsonl");
    let cases: Vec<Case> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(cases.len() >= 60);
    cases
}

#[test]
fn questions_that_stand_alone_are_left_alone() {
    let (mut rewritten, mut missed) = (Vec::new(), Vec::new());
    for case in cases() {
        match heuristic(&case.question(), &case.history()) {
            Some(wrong) if !case.needs => rewritten.push(wrong.as_str().to_owned()),
            None if case.needs => missed.push(case.question.clone()),
            Some(right) => eprintln!("{} -> {}", case.question, right.as_str()),
            None => {}
        }
    }
    assert_eq!(rewritten, Vec::<String>::new());
    assert!(missed.len() <= 3, "follow-ups not seen: {missed:?}");
}

/// A question written by hand is what a good model writes.
#[test]
fn questions_rewritten_by_hand_are_accepted() {
    let refused: Vec<String> = cases()
        .iter()
        .filter(|case| accept(&case.question(), &case.history(), &case.gold).is_none())
        .map(|case| case.gold.clone())
        .collect();
    assert!(refused.len() <= 5, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_question_finds_what_the_follow_up_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::read(EnvReader::from_pairs([])).unwrap();
    let worker = WorkerCommand::new(env!("CARGO_BIN_EXE_rag-api"));
    let writer = LocalWriter::open(dir.path(), &app::fingerprint(), Duration::ZERO).unwrap();
    let paths = [Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/corpus")];
    let plan = Plan { paths: &paths, prune: false, shard: Shard::default() };
    Ingestion::new(embedder(), &config.ingest, worker)
        .run(plan, IndexWriter::Local(writer), std::future::pending(), |_| {})
        .await
        .unwrap();
    let index = LocalIndex::open(dir.path(), app::fingerprint()).unwrap();
    let mut table: BTreeMap<String, [u32; 4]> = BTreeMap::new();
    for case in cases().iter().filter(|case| case.needs) {
        let by_words = heuristic(&case.question(), &case.history()).unwrap_or(case.question());
        let row = table.entry(case.language.clone()).or_default();
        row[0] += 1;
        for (column, text) in [&case.question, by_words.as_str(), &case.gold].into_iter().enumerate() {
            let found = answers(&index, text, &case.answer).await;
            row[column + 1] += u32::from(found);
            if column > 0 && !found {
                eprintln!("not found: {text}");
            }
        }
    }
    println!("recall@3   questions  as given  heuristic  by hand");
    let mut sum = [0; 4];
    for (language, row) in table {
        println!("{language:<10} {:>9}  {:>8}  {:>9}  {:>7}", row[0], row[1], row[2], row[3]);
        sum.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
    }
    println!("{:<10} {:>9}  {:>8}  {:>9}  {:>7}", "all", sum[0], sum[1], sum[2], sum[3]);
    let share = |count: u32| f64::from(count) / f64::from(sum[0]);
    assert!(share(sum[2]) >= 0.75, "the heuristic finds too little");
    assert!(share(sum[2]) >= share(sum[1]) + 0.2, "the heuristic is hardly better than nothing");
    assert!(share(sum[3]) >= 0.85, "the questions by hand find too little");
}

async fn answers(index: &LocalIndex, text: &str, answers: &[String]) -> bool {
    let vector = embedder().embed_now(vec![text.to_owned()]).await.unwrap().remove(0);
    let request = SearchRequest {
        text,
        vector: Some(&vector),
        mode: SearchMode::Hybrid,
        top: 3,
        filter: &Filter::default(),
        vector_weight: None,
    };
    let hits = index.search(&request).unwrap().hits;
    let content = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    hits.iter().any(|hit| answers.iter().any(|answer| content(&hit.chunk.content).contains(answer.as_str())))
}
