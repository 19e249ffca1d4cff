//! The embedded index as readers and writers of several processes see it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rag_api::{
    app,
    domain::{Chunk, ChunkId, EMBEDDING_DIMENSION, Embedding, Filter, PageRange, SearchMode, VectorWeight},
    retrieval::{
        Fingerprint, RetrievalError, SearchRequest, SourceChunks,
        local::{LocalIndex, LocalWriter},
    },
};

/// A unit vector that points mostly along one axis.
fn vector(axis: usize) -> Embedding {
    let mut values = vec![0.01; EMBEDDING_DIMENSION];
    values[axis % EMBEDDING_DIMENSION] = 1.0;
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    Embedding::new(values.iter().map(|v| v / norm).collect()).unwrap()
}

fn chunk(source: &str, index: u32, content: &str) -> Chunk {
    Chunk {
        id: ChunkId(format!("{source}-{index}").replace('.', "_")),
        source: source.into(),
        title: Some("Title".into()),
        content: content.into(),
        page_number: Some(index + 1),
        chunk_index: index,
        content_hash: String::new(),
        language: Some(if content.is_ascii() { "en" } else { "ja" }.into()),
        tags: vec![format!("tag{index}")],
        created_at: "2026-01-01T00:00:00Z".into(),
    }
}

/// A source whose chunks hold `texts`, the first at `axis` and the others behind it.
fn source(name: &str, axis: usize, texts: &[&str]) -> SourceChunks {
    let chunks =
        texts.iter().enumerate().map(|(i, text)| (chunk(name, i as u32, text), vector(axis + i))).collect();
    SourceChunks { source: name.into(), chunks, document: format!("about {name}") }
}

fn writer(dir: &Path) -> LocalWriter {
    LocalWriter::open(dir, &app::fingerprint(), Duration::ZERO).unwrap()
}

fn reader(dir: &Path) -> LocalIndex {
    LocalIndex::open(dir, app::fingerprint()).unwrap()
}

struct Ask<'a> {
    text: &'a str,
    mode: SearchMode,
    filter: Filter,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self { text: "", mode: SearchMode::Keyword, filter: Filter::default() }
    }
}

fn contents(index: &LocalIndex, ask: &Ask<'_>) -> Vec<String> {
    let vector = vector(0);
    let request = SearchRequest {
        text: ask.text,
        vector: Some(&vector),
        mode: ask.mode,
        top: 50,
        filter: &ask.filter,
        vector_weight: None,
    };
    index.search(&request).unwrap().hits.into_iter().map(|hit| hit.chunk.content).collect()
}

fn keyword(index: &LocalIndex, text: &str) -> Vec<String> {
    contents(index, &Ask { text, ..Ask::default() })
}

fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "{what} not within {within:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_running_reader_sees_commits_and_deletions_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let index = reader(dir.path());
    assert!(matches!(index.problem(), Some(RetrievalError::Missing)));
    let mut writer = writer(dir.path());
    writer.replace(source("a.md", 0, &["old apples", "old pears"])).unwrap();
    writer.commit().unwrap();
    let second = Duration::from_secs(1);
    eventually("the first commit", second, || index.chunk_count() == 2);
    let version = index.version();
    writer.replace(source("a.md", 0, &["new apples"])).unwrap();
    writer.commit().unwrap();
    eventually("the second commit", second, || index.version() != version);
    assert_eq!(keyword(&index, "apples pears"), ["new apples"]);
    assert_eq!(contents(&index, &Ask { mode: SearchMode::Vector, ..Ask::default() }), ["new apples"]);
    assert!(writer.remove("a.md"));
    writer.commit().unwrap();
    eventually("the removal", second, || index.chunk_count() == 0);
    for mode in SearchMode::ALL {
        assert!(contents(&index, &Ask { text: "apples", mode, ..Ask::default() }).is_empty());
    }
}

#[test]
fn what_is_not_committed_does_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = writer(dir.path());
    first.replace(source("a.md", 0, &["kept"])).unwrap();
    first.commit().unwrap();
    first.replace(source("a.md", 0, &["lost"])).unwrap();
    first.replace(source("b.md", 5, &["lost too"])).unwrap();
    drop(first);
    assert_eq!(
        std::fs::read_dir(dir.path().join("vectors")).unwrap().count(),
        2,
        "one file and one left over"
    );
    let second = writer(dir.path());
    assert_eq!(second.known_sources().keys().collect::<Vec<_>>(), ["a.md"]);
    assert_eq!(second.known_sources()["a.md"].document, "about a.md");
    assert_eq!(std::fs::read_dir(dir.path().join("vectors")).unwrap().count(), 1, "the left over is removed");
    assert_eq!(keyword(&reader(dir.path()), "kept lost"), ["kept"]);
}

#[test]
fn many_commits_and_deletions_end_in_few_files_and_right_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    for i in 0..30 {
        writer.replace(source(&format!("{i}.md"), i * 3, &[&format!("text {i}"), "filler"])).unwrap();
        writer.commit().unwrap();
    }
    (0..20).for_each(|i| assert!(writer.remove(&format!("{i}.md"))));
    writer.finish().unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("vectors")).unwrap().count(), 1);
    let index = reader(dir.path());
    assert_eq!(index.chunk_count(), 20);
    for i in 20..30 {
        let vector = vector(i * 3);
        let request = SearchRequest {
            text: "",
            vector: Some(&vector),
            mode: SearchMode::Vector,
            top: 1,
            filter: &Filter::default(),
            vector_weight: None,
        };
        let hits = index.search(&request).unwrap().hits;
        assert_eq!(hits[0].chunk.content, format!("text {i}"));
        let cosine = hits[0].cosine.unwrap();
        assert!((cosine - 1.0).abs() < 1e-5 && (hits[0].score - 1.0 / (2.0 - cosine)).abs() < 1e-6);
    }
}

#[test]
fn filters_restrict_every_mode() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.replace(source("a.md", 0, &["word one", "word two", "word three"])).unwrap();
    writer.replace(source("b's \"file\".md", 3, &["word four", "単語 word"])).unwrap();
    writer.finish().unwrap();
    let index = reader(dir.path());
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let pages = |min, max| Some(PageRange { min, max });
    for (filter, wanted) in [
        (Filter { source: list(&["b's \"file\".md"]), ..Filter::default() }, 2),
        (Filter { source: list(&["a.md", "b's \"file\".md", "c.md"]), ..Filter::default() }, 5),
        (Filter { source: list(&["a"]), ..Filter::default() }, 0),
        (Filter { tags: list(&["tag0"]), ..Filter::default() }, 2),
        (Filter { language: list(&["ja"]), ..Filter::default() }, 1),
        (Filter { page_number: pages(Some(2), None), ..Filter::default() }, 3),
        (Filter { page_number: pages(Some(2), Some(2)), ..Filter::default() }, 2),
        (Filter { page_number: pages(None, Some(1)), source: list(&["a.md"]), ..Filter::default() }, 1),
        (Filter { page_number: pages(None, None), ..Filter::default() }, 5),
    ] {
        for mode in SearchMode::ALL {
            let found = contents(&index, &Ask { text: "word", mode, filter: filter.clone() });
            assert_eq!(found.len(), wanted, "{mode:?} {filter:?}: {found:?}");
        }
    }
}

#[test]
fn no_text_is_syntax() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.replace(source("a.md", 0, &["plain words here"])).unwrap();
    writer.finish().unwrap();
    let index = reader(dir.path());
    for text in [
        "words AND",
        "\"words",
        "title: words^(",
        "words~9 *",
        "+words -words",
        "/words[/",
        "NOT words OR",
        "{words TO *]",
        "content: *",
        "\\words\\",
        "(((((words",
        "words\0\u{202e}",
        "' OR 1=1 -- words",
        "🎉 words",
    ] {
        assert_eq!(keyword(&index, text).len(), usize::from(text.contains("words")), "{text:?}");
    }
    assert!(keyword(&index, "").is_empty());
    assert!(keyword(&index, "?!*").is_empty());
}

#[test]
fn a_word_that_stands_twice_in_the_question_counts_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.replace(source("a.md", 0, &["pump valve valve", "pump pump valve"])).unwrap();
    writer.finish().unwrap();
    let index = reader(dir.path());
    assert_eq!(keyword(&index, "valve valve valve pump")[0], "pump valve valve");
    assert_eq!(keyword(&index, "pump valve pump pump")[0], "pump pump valve");
}

#[test]
fn japanese_and_chinese_are_found_by_word_and_by_single_character() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer
        .replace(source("a.md", 0, &["吾輩は猫である。", "犬が庭を走る。", "这是关于检索的文档。"]))
        .unwrap();
    writer.finish().unwrap();
    let index = reader(dir.path());
    assert_eq!(keyword(&index, "猫")[0], "吾輩は猫である。");
    assert_eq!(keyword(&index, "庭を走る犬")[0], "犬が庭を走る。");
    assert_eq!(keyword(&index, "检索")[0], "这是关于检索的文档。");
}

#[test]
fn the_vector_weight_moves_the_fusion() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.replace(source("near.md", 0, &["needle in a long text of many other words"])).unwrap();
    writer.replace(source("word.md", 9, &["needle needle"])).unwrap();
    writer.finish().unwrap();
    let index = reader(dir.path());
    let first = |weight| {
        let vector = vector(0);
        let request = SearchRequest {
            text: "needle",
            vector: Some(&vector),
            mode: SearchMode::Hybrid,
            top: 1,
            filter: &Filter::default(),
            vector_weight: Some(VectorWeight::parse(weight).unwrap()),
        };
        index.search(&request).unwrap().hits[0].chunk.source.clone()
    };
    assert_eq!(
        (first(0.0), first(0.5), first(10.0)),
        ("word.md".into(), "word.md".into(), "near.md".to_owned())
    );
}

#[test]
fn equal_scores_rank_alike_in_whatever_order_they_were_written() {
    let names: Vec<String> = (0..40).map(|i| format!("{i}.md")).collect();
    let orders = [names.clone(), names.iter().rev().cloned().collect()].map(|names| {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        for name in &names {
            writer.replace(source(name, 3, &["the same apples"])).unwrap();
            writer.commit().unwrap();
        }
        writer.finish().unwrap();
        let index = reader(dir.path());
        SearchMode::ALL.map(|mode| {
            let (vector, filter) = (vector(0), Filter::default());
            let request = SearchRequest {
                text: "apples",
                vector: Some(&vector),
                mode,
                top: 10,
                filter: &filter,
                vector_weight: None,
            };
            let hits = index.search(&request).unwrap().hits;
            hits.into_iter().map(|hit| hit.chunk.source).collect::<Vec<_>>()
        })
    });
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0][0].len(), 10);
}

#[test]
fn an_index_of_another_model_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    writer(dir.path()).finish().unwrap();
    let other = Fingerprint { weights_sha256: "other".into(), ..app::fingerprint() };
    let index = LocalIndex::open(dir.path(), other.clone()).unwrap();
    let problem = index.problem().unwrap().to_string();
    assert!(problem.contains("weights") && problem.contains("rebuild the index"), "{problem}");
    assert!(matches!(
        LocalWriter::open(dir.path(), &other, Duration::ZERO),
        Err(RetrievalError::Incompatible(_))
    ));
}

#[test]
fn a_second_writer_says_so_or_waits() {
    let dir = tempfile::tempdir().unwrap();
    let first = writer(dir.path());
    let Err(RetrievalError::Busy(holder)) =
        LocalWriter::open(dir.path(), &app::fingerprint(), Duration::ZERO)
    else {
        panic!("two writers at once");
    };
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| LocalWriter::open(dir.path(), &app::fingerprint(), Duration::from_secs(10)));
        std::thread::sleep(Duration::from_millis(300));
        drop(first);
        let holder = waiting.join().unwrap().unwrap();
        let Err(RetrievalError::Busy(said)) =
            LocalWriter::open(dir.path(), &app::fingerprint(), Duration::ZERO)
        else {
            panic!("two writers at once");
        };
        assert_eq!(said, format!(" (process {})", std::process::id()));
        drop(holder);
    });
}

#[test]
fn a_deletion_that_was_cut_short_leaves_a_folder_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = writer(dir.path());
    first.replace(source("a.md", 0, &["word"])).unwrap();
    first.finish().unwrap();
    // Killed after its first step, and then after the folder of words.
    std::fs::remove_file(dir.path().join("text/meta.json")).unwrap();
    let mut second = writer(dir.path());
    assert!(second.known_sources().is_empty());
    second.replace(source("b.md", 0, &["other"])).unwrap();
    second.finish().unwrap();
    assert_eq!(keyword(&reader(dir.path()), "word other"), ["other"]);
    std::fs::remove_dir_all(dir.path().join("text")).unwrap();
    assert!(rag_api::retrieval::local::delete(dir.path()).unwrap());
    assert!(!dir.path().join("vectors").exists(), "vectors are documents too");
}

#[test]
fn a_reload_that_fails_keeps_what_works_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    writer.replace(source("a.md", 0, &["word"])).unwrap();
    writer.commit().unwrap();
    let index = reader(dir.path());
    let version = index.version();
    writer.replace(source("b.md", 3, &["word again"])).unwrap();
    // A vector file that cannot be opened, as with too many open files.
    let vectors = dir.path().join("vectors");
    let before: Vec<_> = std::fs::read_dir(&vectors).unwrap().map(|file| file.unwrap().path()).collect();
    let hidden = dir.path().join("hidden");
    let first = before.iter().find(|path| path.extension().is_some_and(|end| end == "vec")).unwrap();
    std::fs::rename(first, &hidden).unwrap();
    writer.commit().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!((index.version(), keyword(&index, "word").len()), (version.clone(), 1));
    std::fs::rename(&hidden, first).unwrap();
    eventually("the second look", Duration::from_secs(2), || index.version() != version);
    assert_eq!(keyword(&index, "word").len(), 2);
}

#[test]
fn clearing_and_deleting_leave_nothing_to_find() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = writer(dir.path());
    first.replace(source("a.md", 0, &["word"])).unwrap();
    first.commit().unwrap();
    first.clear().unwrap();
    assert!(first.known_sources().is_empty());
    first.finish().unwrap();
    let index = reader(dir.path());
    assert_eq!((index.chunk_count(), index.problem().is_none()), (0, true));
    assert!(rag_api::retrieval::local::delete(dir.path()).unwrap());
    assert!(!rag_api::retrieval::local::delete(dir.path()).unwrap());
    eventually("the reader notices", Duration::from_secs(1), || index.problem().is_some());
}
