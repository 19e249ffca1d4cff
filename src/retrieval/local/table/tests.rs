//! Tables from the outside: what goes in is found, survives a restart, and is gone when deleted.

use serde_json::json;

use super::*;

fn schema() -> TableSchema {
    let text = |name: &str| TextField { name: name.into(), analyzer: Analyzer::Language };
    TableSchema {
        text: vec![text("title"), text("body")],
        vectors: vec![
            VectorField { name: "a".into(), dimensions: 2 },
            VectorField { name: "b".into(), dimensions: 3 },
        ],
    }
}

fn put(key: &str, title: &str, body: &str, a: Option<[f32; 2]>, b: Option<[f32; 3]>) -> Change {
    let document = json!({"title": title, "body": body});
    Change::Put {
        key: key.into(),
        document: document.as_object().cloned().unwrap(),
        vectors: vec![a.map(Vec::from), b.map(Vec::from)],
    }
}

fn words(text: &str) -> TextQuery {
    TextQuery::Words { fields: Vec::new(), text: text.into() }
}

fn keys(view: &View, query: &TextQuery) -> Vec<String> {
    view.rank_text(query, None).unwrap().into_iter().map(|(doc, _)| view.key(doc).to_owned()).collect()
}

fn filled(dir: &Path) -> Table {
    let table = Table::open(dir, schema()).unwrap();
    let changes = vec![
        put("x", "Queues", "Workers drain the queue.", Some([1.0, 0.0]), None),
        put(
            "y",
            "Pipes",
            "A pipe is no queue at all, however long.",
            Some([0.6, 0.8]),
            Some([0.0, 2.0, 0.0]),
        ),
        put("z", "猫", "東京の猫", None, Some([3.0, 4.0, 0.0])),
    ];
    table.apply(changes).unwrap();
    table
}

#[test]
fn words_phrases_prefixes_and_their_joins_find_what_they_say() {
    let dir = tempfile::tempdir().unwrap();
    let view = filled(dir.path()).view();
    let fields = Vec::new;
    let phrase = |text: &str| TextQuery::Phrase { fields: fields(), text: text.into() };
    let prefix = |text: &str| TextQuery::Prefix { fields: fields(), text: text.into() };
    assert_eq!(keys(&view, &words("queues")), ["x", "y"]);
    assert_eq!(keys(&view, &TextQuery::Words { fields: vec![0], text: "queue".into() }), ["x"]);
    assert_eq!(keys(&view, &words("猫")), ["z"]);
    assert_eq!(keys(&view, &words("...")), Vec::<String>::new());
    assert_eq!(keys(&view, &phrase("drain the queue")), ["x"]);
    assert_eq!(keys(&view, &phrase("the drain queue")), Vec::<String>::new());
    assert_eq!(keys(&view, &phrase("東京の")), ["z"]);
    assert_eq!(keys(&view, &prefix("Pip")), ["y"]);
    let both = TextQuery::All(vec![words("queue"), TextQuery::Not(Box::new(words("pipe")))]);
    assert_eq!(keys(&view, &both), ["x"]);
    assert_eq!(keys(&view, &TextQuery::Any(vec![phrase("no queue"), prefix("work")])).len(), 2);
    assert_eq!(keys(&view, &TextQuery::All(vec![words("queue"), words("unheard")])), Vec::<String>::new());
    let all = view.rank_text(&TextQuery::Everything, None).unwrap();
    assert!(all.len() == 3 && all.iter().all(|&(_, score)| score == 1.0));
    let mut allowed = vec![true; 3];
    allowed[view.find("x").unwrap()] = false;
    assert_eq!(view.rank_text(&words("queue"), Some(&allowed)).unwrap().len(), 1);
}

#[test]
fn vectors_of_several_fields_are_ranked_apart_and_given_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let view = filled(dir.path()).view();
    let number = |key| view.find(key).unwrap();
    assert_eq!(view.vector(number("z"), 1), Some(&[3.0, 4.0, 0.0][..]));
    assert_eq!(view.vector(number("z"), 0), None);
    let near = view.rank_vector(0, &[1.0, 0.0], None, 10);
    assert_eq!(near, [(number("x"), 1.0), (number("y"), 0.6)]);
    let near = view.rank_vector(1, &[0.0, 5.0, 0.0], None, 1);
    assert_eq!(near, [(number("y"), 1.0)]);
    let near = view.rank_vector(1, &[0.0, 1.0, 0.0], None, 10);
    assert!((near[1].1 - 0.8).abs() < 1e-6 && near[1].0 == number("z"));
}

#[test]
fn changes_replace_delete_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(dir.path());
    let before = table.view();
    table
        .apply(vec![
            put("x", "Stacks", "Last in, first out.", None, None),
            Change::Delete { key: "z".into() },
            Change::Delete { key: "never there".into() },
        ])
        .unwrap();
    assert_eq!((before.len(), table.view().len()), (3, 2), "an old view keeps what it saw");
    drop(before);
    drop(table);
    let view = Table::open(dir.path(), schema()).unwrap().view();
    assert_eq!((view.len(), view.find("z")), (2, None));
    assert_eq!(keys(&view, &words("queue")), ["y"]);
    let x = view.find("x").unwrap();
    assert_eq!((view.document(x)["title"].as_str(), view.vector(x, 0)), (Some("Stacks"), None));
    let other = TableSchema { vectors: Vec::new(), ..schema() };
    assert!(matches!(Table::open(dir.path(), other), Err(RetrievalError::Incompatible(_))));
}

#[test]
fn scores_know_nothing_of_deleted_documents_nor_of_those_without_text() {
    let (fresh, changed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = |i: usize| format!("queue number{i} {}", "drains ".repeat(i % 5));
    let all: Vec<Change> = (0..30).map(|i| put(&format!("k{i}"), "Title", &text(i), None, None)).collect();
    let one = Table::open(fresh.path(), schema()).unwrap();
    one.apply(all.clone()).unwrap();
    let other = Table::open(changed.path(), schema()).unwrap();
    other.apply(all.iter().rev().cloned().collect()).unwrap();
    for i in 0..30 {
        other.apply(vec![put(&format!("k{i}"), "Other", "queue of something else", None, None)]).unwrap();
    }
    other.apply(all).unwrap();
    other.apply(vec![put("marker", "", "", None, None)]).unwrap();
    let scores = |table: &Table| {
        let view = table.view();
        let ranked = view.rank_text(&words("queue drains number7"), None).unwrap();
        ranked.into_iter().map(|(doc, score)| (view.key(doc).to_owned(), score)).collect::<Vec<_>>()
    };
    assert_eq!(scores(&one), scores(&other));
    assert_eq!(scores(&one)[0].0, "k7");
}

#[test]
fn many_small_changes_stay_whole() {
    let dir = tempfile::tempdir().unwrap();
    let table = Table::open(dir.path(), schema()).unwrap();
    for round in 0..40 {
        let key = format!("k{}", round % 7);
        table
            .apply(vec![put(&key, "Round", &format!("number{round}"), Some([round as f32, 1.0]), None)])
            .unwrap();
    }
    let view = table.view();
    assert_eq!(view.len(), 7);
    for round in 33..40 {
        let doc = view.find(&format!("k{}", round % 7)).unwrap();
        assert_eq!(view.vector(doc, 0), Some(&[round as f32, 1.0][..]));
        assert_eq!(keys(&view, &words(&format!("number{round}"))).len(), 1);
    }
    assert!(table.bytes_on_disk() > 0);
}

#[test]
fn a_vector_of_another_length_is_refused_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let table = filled(dir.path());
    let wrong = Change::Put { key: "w".into(), document: Map::new(), vectors: vec![Some(vec![1.0]), None] };
    assert!(table.apply(vec![wrong]).is_err());
    assert_eq!(table.view().len(), 3);
}

#[test]
fn tokens_say_where_they_stand() {
    let tokens = analyze(Analyzer::Language, "The Queues of 東京都");
    let shown: Vec<(&str, usize, usize)> =
        tokens.iter().map(|token| (token.text.as_str(), token.start, token.end)).collect();
    assert_eq!(shown, [("the", 0, 3), ("queue", 4, 10), ("of", 11, 13), ("東京", 14, 23), ("京都", 14, 23)]);
    assert_eq!(analyze(Analyzer::Keyword, "a b")[0].text, "a b");
    assert_eq!(analyze(Analyzer::Simple, "x1 y")[1].start, 3);
}
