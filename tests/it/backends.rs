//! One suite for every place passages can live: the local index, the emulator over HTTP, and a real
//! service where `AZURE_SEARCH_TEST_ENDPOINT` and `AZURE_SEARCH_TEST_API_KEY` name one.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rag_api::{
    app,
    domain::{
        Chunk, ChunkId, EMBEDDING_DIMENSION, Embedding, Filter, Hit, PageRange, SearchMode, VectorWeight,
    },
    retrieval::{
        IndexWriter, Retriever, SearchRequest, SourceChunks,
        local::{LocalIndex, LocalWriter},
    },
};
use tempfile::TempDir;

use crate::emulated::{Emulator, Service};

/// An empty index of one kind.
pub struct Backend {
    pub name: &'static str,
    dir: TempDir,
    remote: Option<(Service, Option<Emulator>)>,
}

impl Backend {
    pub fn local() -> Self {
        Self { name: "local", dir: tempfile::tempdir().unwrap(), remote: None }
    }

    pub fn emulated(faults: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(dir.path(), faults);
        let service = emulator.service(&[]);
        Self { name: "emulated", dir, remote: Some((service, Some(emulator))) }
    }

    /// `None`, said loudly, where no service is named.
    async fn real() -> Option<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(endpoint), Some(key)) =
            (variable("AZURE_SEARCH_TEST_ENDPOINT"), variable("AZURE_SEARCH_TEST_API_KEY"))
        else {
            eprintln!("SKIPPED: AZURE_SEARCH_TEST_ENDPOINT and AZURE_SEARCH_TEST_API_KEY are not set");
            return None;
        };
        let variables = [
            ("AZURE_SEARCH_ENDPOINT", endpoint.as_str()),
            ("AZURE_SEARCH_API_KEY", &key),
            ("AZURE_SEARCH_INDEX_NAME", "rag-api-tests"),
        ];
        let service = Service::new(variables.into_iter());
        service.admin().create().await.unwrap();
        service.admin().clear().await.unwrap();
        Some(Self { name: "real", dir: tempfile::tempdir().unwrap(), remote: Some((service, None)) })
    }

    /// Every backend there is here.
    async fn all() -> Vec<Self> {
        let mut all = vec![Self::local(), Self::emulated(&[])];
        all.extend(Self::real().await);
        all
    }

    pub async fn writer(&self) -> IndexWriter {
        match &self.remote {
            None => {
                let writer = LocalWriter::open(self.dir.path(), &app::fingerprint(), Duration::ZERO);
                IndexWriter::Local(writer.unwrap())
            }
            Some((service, _)) => IndexWriter::Azure(service.writer().await),
        }
    }

    pub async fn reader(&self) -> Retriever {
        match &self.remote {
            None => Retriever::Local(LocalIndex::open(self.dir.path(), app::fingerprint()).unwrap()),
            Some((service, _)) => Retriever::Azure(service.index().await),
        }
    }

    /// Writes sources in one run.
    pub async fn write(&self, sources: Vec<SourceChunks>) {
        let mut writer = self.writer().await;
        for source in sources {
            writer.replace(source).await.unwrap();
        }
        writer.finish().await.unwrap();
    }

    /// Waits until the index holds so many chunks: a real service shows its writes late.
    async fn settle(&self, chunks: u64) -> Retriever {
        let start = Instant::now();
        loop {
            let reader = self.reader().await;
            if reader.chunk_count() == chunks {
                return reader;
            }
            let count = reader.chunk_count();
            assert!(start.elapsed() < Duration::from_secs(30), "{}: {count} chunks, not {chunks}", self.name);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A unit vector that points mostly along one axis.
pub fn vector(axis: usize) -> Embedding {
    let mut values = vec![0.01; EMBEDDING_DIMENSION];
    values[axis % EMBEDDING_DIMENSION] = 1.0;
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    Embedding::new(values.iter().map(|v| v / norm).collect()).unwrap()
}

/// A source whose chunks hold `texts`, the first at `axis` and the others behind it.
pub fn source(name: &str, axis: usize, texts: &[&str]) -> SourceChunks {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let chunk = |index: usize, content: &str| Chunk {
        id: ChunkId(format!("{hex}-{index}")),
        source: name.into(),
        title: (index > 0).then(|| "Heading".into()),
        content: content.into(),
        page_number: name.ends_with(".pdf").then_some(index as u32 + 1),
        chunk_index: index as u32,
        content_hash: format!("{index:064}"),
        language: Some(if content.is_ascii() { "en" } else { "ja" }.into()),
        tags: vec![format!("tag{index}"), "it's".into()],
        created_at: "2026-01-01T00:00:00Z".into(),
    };
    let chunks = texts.iter().enumerate().map(|(i, text)| (chunk(i, text), vector(axis + i))).collect();
    SourceChunks { source: name.into(), chunks, document: format!("about {name}") }
}

struct Ask {
    text: &'static str,
    mode: SearchMode,
    filter: Filter,
    weight: Option<f64>,
    top: usize,
}

impl Default for Ask {
    fn default() -> Self {
        Self { text: "", mode: SearchMode::Keyword, filter: Filter::default(), weight: None, top: 50 }
    }
}

async fn ask(index: &Retriever, ask: Ask) -> Vec<Hit> {
    let vector = vector(0);
    let request = SearchRequest {
        text: ask.text,
        vector: Some(&vector),
        mode: ask.mode,
        top: ask.top,
        filter: &ask.filter,
        vector_weight: ask.weight.map(|weight| VectorWeight::parse(weight).unwrap()),
    };
    index.search(&request).await.unwrap().hits
}

async fn contents(index: &Retriever, request: Ask) -> Vec<String> {
    ask(index, request).await.into_iter().map(|hit| hit.chunk.content).collect()
}

fn sample() -> Vec<SourceChunks> {
    vec![
        source("fruit.pdf", 0, &["ripe apples fall", "green pears hang", "apples and pears and apples"]),
        source("o'hara's.md", 5, &["the quick brown fox", "a slow red fox"]),
        source("日本.txt", 9, &["東京都の天気は晴れです", "猫が好きです"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_comes_out_whole_in_every_mode() {
    for backend in Backend::all().await {
        backend.write(sample()).await;
        let index = backend.settle(7).await;
        assert!(index.problem().is_none(), "{}: {:?}", backend.name, index.problem());
        let wanted =
            source("fruit.pdf", 0, &["ripe apples fall", "green pears hang", "apples and pears and apples"]);
        let hits = ask(&index, Ask { text: "apples", ..Ask::default() }).await;
        let found: Vec<u32> = hits.iter().map(|hit| hit.chunk.chunk_index).collect();
        assert_eq!(found, [2, 0], "{}", backend.name);
        assert_eq!(hits[1].chunk, wanted.chunks[0].0, "{}", backend.name);
        assert_eq!(hits[0].chunk, wanted.chunks[2].0, "{}", backend.name);
        assert!(hits[0].score > hits[1].score && (hits[1].cosine.unwrap() - 1.0).abs() < 1e-3);

        let hits = ask(&index, Ask { mode: SearchMode::Vector, top: 3, ..Ask::default() }).await;
        assert_eq!((hits.len(), hits[0].chunk.content.as_str()), (3, "ripe apples fall"), "{}", backend.name);
        assert!((hits[0].score - 1.0).abs() < 1e-3, "{}", backend.name);

        let hits = ask(&index, Ask { text: "apples", mode: SearchMode::Hybrid, ..Ask::default() }).await;
        assert_eq!(hits.len(), 7, "{}: hybrid gives the union", backend.name);
        assert_eq!(hits[0].chunk.content, "ripe apples fall");
        assert_eq!(hits[0].score, 1.0 / 61.0 + 1.0 / 60.0, "{}: ranks count from 0", backend.name);
        assert!(!index.version().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn japanese_is_found_by_its_words() {
    // What a real service finds depends on its analyzer; the two that are ours agree.
    for backend in [Backend::local(), Backend::emulated(&[])] {
        backend.write(sample()).await;
        let index = backend.settle(7).await;
        for (text, wanted) in [("天気", "東京都の天気は晴れです"), ("猫", "猫が好きです")]
        {
            assert_eq!(contents(&index, Ask { text, ..Ask::default() }).await, [wanted], "{}", backend.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_restrict_every_mode_and_are_no_syntax() {
    let sources =
        |names: &[&str]| Filter { source: names.iter().map(|&n| n.into()).collect(), ..Filter::default() };
    let tags = |tags: &[&str]| Filter { tags: tags.iter().map(|&t| t.into()).collect(), ..Filter::default() };
    let pages = |min, max| Filter { page_number: Some(PageRange { min, max }), ..Filter::default() };
    let cases = [
        (sources(&["o'hara's.md"]), 2),
        (sources(&["o'hara's.md", "日本.txt"]), 4),
        (sources(&["x' or source ne 'y"]), 0),
        (tags(&["tag1"]), 3),
        (tags(&["tag1", "tag2"]), 4),
        (tags(&["it's"]), 7),
        (pages(Some(2), None), 2),
        (pages(None, Some(1)), 1),
        (pages(Some(2), Some(2)), 1),
        (Filter { language: vec!["ja".into()], ..Filter::default() }, 2),
        (Filter { tags: vec!["tag0".into()], language: vec!["en".into()], ..Filter::default() }, 2),
    ];
    for backend in Backend::all().await {
        backend.write(sample()).await;
        let index = backend.settle(7).await;
        for (filter, count) in &cases {
            for mode in [SearchMode::Vector, SearchMode::Hybrid] {
                let found =
                    contents(&index, Ask { text: "fox", mode, filter: filter.clone(), ..Ask::default() })
                        .await;
                assert_eq!(found.len(), *count, "{} {mode:?} {filter:?}", backend.name);
            }
        }
        let none = Ask { text: "apples", filter: sources(&["o'hara's.md"]), ..Ask::default() };
        assert!(contents(&index, none).await.is_empty(), "{}", backend.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_is_syntax() {
    let questions = [
        "-apples",
        "apples -ripe",
        "+pears +fox",
        "\"apples",
        "(apples",
        "apples)",
        "app*",
        "a|b&c",
        "apples\\",
        "'apples'",
        "title:apples",
        "apples~2",
        "/apples/",
        "apples OR 1 eq 1",
        "*",
        "**",
        "-",
        "apples AND NOT pears",
        "{}[]^?!",
    ];
    for backend in Backend::all().await {
        backend.write(sample()).await;
        let index = backend.settle(7).await;
        for text in questions {
            for mode in SearchMode::ALL {
                let found = contents(&index, Ask { text, mode, ..Ask::default() }).await;
                let words = text.split(|c: char| !c.is_alphanumeric()).collect::<Vec<_>>();
                if mode == SearchMode::Keyword && words.contains(&"apples") && !text.contains(':') {
                    assert!(
                        found.iter().any(|content| content == "ripe apples fall"),
                        "{} {text}",
                        backend.name
                    );
                }
                if mode == SearchMode::Keyword && text == "app*" {
                    assert!(found.is_empty(), "{}: a star is no wildcard: {found:?}", backend.name);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_source_replaces_all_its_chunks_and_a_removed_one_is_gone() {
    for backend in Backend::all().await {
        backend.write(sample()).await;
        backend.settle(7).await;
        backend.write(vec![source("fruit.pdf", 0, &["plums"])]).await;
        let index = backend.settle(5).await;
        assert!(
            contents(&index, Ask { text: "apples pears", ..Ask::default() }).await.is_empty(),
            "{}",
            backend.name
        );
        let hits = ask(&index, Ask { text: "plums", ..Ask::default() }).await;
        assert_eq!(
            hits[0].chunk,
            source("fruit.pdf", 0, &["plums"]).chunks[0].0,
            "{}: no value of before stays",
            backend.name
        );
        backend.write(vec![source("fruit.pdf", 0, &["plums", "figs", "dates", "limes"])]).await;
        backend.settle(8).await;
        let mut writer = backend.writer().await;
        assert!(writer.remove("o'hara's.md").await.unwrap());
        assert!(!writer.remove("never there").await.unwrap());
        writer.finish().await.unwrap();
        let index = backend.settle(6).await;
        assert!(contents(&index, Ask { text: "fox", ..Ask::default() }).await.is_empty(), "{}", backend.name);
        assert_eq!(contents(&index, Ask { mode: SearchMode::Vector, ..Ask::default() }).await.len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_known_and_writing_it_again_changes_nothing() {
    for backend in Backend::all().await {
        backend.write(sample()).await;
        let empty =
            SourceChunks { source: "scan.pdf".into(), chunks: Vec::new(), document: "unreadable".into() };
        backend.write(vec![empty]).await;
        backend.settle(7).await;
        let writer = backend.writer().await;
        let known: BTreeSet<(String, String)> = writer
            .known_sources()
            .iter()
            .map(|(source, known)| (source.clone(), known.document.clone()))
            .collect();
        let wanted = [
            ("fruit.pdf", "about fruit.pdf"),
            ("o'hara's.md", "about o'hara's.md"),
            ("scan.pdf", "unreadable"),
            ("日本.txt", "about 日本.txt"),
        ];
        let wanted = wanted.map(|(source, document)| (source.to_owned(), document.to_owned()));
        assert_eq!(known, BTreeSet::from(wanted), "{}", backend.name);
        drop(writer);
        backend.write(sample()).await;
        let index = backend.settle(7).await;
        let hits = ask(&index, Ask { text: "", mode: SearchMode::Vector, ..Ask::default() }).await;
        let ids: BTreeSet<String> = hits.iter().map(|hit| hit.chunk.id.0.clone()).collect();
        assert_eq!((hits.len(), ids.len()), (7, 7), "{}", backend.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weight_of_the_vector_list_moves_the_fusion() {
    for backend in Backend::all().await {
        backend
            .write(vec![source("near.md", 0, &["nothing of the kind"]), source("far.md", 100, &["apples"])])
            .await;
        let index = backend.settle(2).await;
        let hybrid = |weight| Ask { text: "apples", mode: SearchMode::Hybrid, weight, ..Ask::default() };
        for weight in [0.1, 5.0] {
            let hits = ask(&index, hybrid(Some(weight))).await;
            let near = hits.iter().find(|hit| hit.chunk.source == "near.md").unwrap();
            assert_eq!(near.score, weight as f32 / 60.0, "{}", backend.name);
        }
        let keywords_only = ask(&index, hybrid(Some(0.0))).await;
        assert_eq!((keywords_only.len(), keywords_only[0].score), (1, 1.0 / 60.0), "{}", backend.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_leaves_an_index_that_takes_documents_again() {
    for backend in Backend::all().await {
        let many: Vec<SourceChunks> = (0..130)
            .map(|i| {
                source(
                    &format!("{i}.md"),
                    i,
                    &["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
                )
            })
            .collect();
        backend.write(many).await;
        backend.settle(1_170).await;
        let mut writer = backend.writer().await;
        assert_eq!(writer.known_sources().len(), 130, "{}", backend.name);
        writer.clear().await.unwrap();
        writer.finish().await.unwrap();
        let index = backend.settle(0).await;
        assert!(
            contents(&index, Ask { mode: SearchMode::Vector, ..Ask::default() }).await.is_empty(),
            "{}",
            backend.name
        );
        assert!(backend.writer().await.known_sources().is_empty(), "{}", backend.name);
        backend.write(sample()).await;
        backend.settle(7).await;
    }
}
