//! Every fault the emulator can inject × query, ingestion and clearing: what comes out is whole, and how long it took.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use rag_api::{
    domain::{Filter, SearchMode},
    retrieval::{RetrievalError, SearchRequest, SourceChunks, azure::AzureIndex},
};
use tempfile::TempDir;

use crate::{
    backends::{source, vector},
    emulated::{Emulator, Service},
};

/// Specifications for `--fault`; what they do goes by in all of them.
const PASSING: &[&str] = &[
    "status=503,first=2",
    "status=503,retry-after=1,first=1",
    "status=429,first=2",
    "status=429,retry-after=1,first=1",
    "status=500,every=3",
    "items=503,first=1",
    "items=409,first=2",
    "items=422,first=1",
    "413-over=60000",
    "delay-ms=1500,first=1",
    "cut,first=2",
    "visibility-delay-ms=1500",
];

const SOURCES: usize = 12;
const CHUNKS: usize = 9;

/// `version` shows in every text.
fn corpus(version: &str) -> Vec<SourceChunks> {
    (0..SOURCES)
        .map(|number| {
            let texts: Vec<String> =
                (0..CHUNKS).map(|i| format!("{version} words of part {i} in document {number}")).collect();
            source(
                &format!("{number}.md"),
                number * CHUNKS,
                &texts.iter().map(String::as_str).collect::<Vec<_>>(),
            )
        })
        .collect()
}

async fn write(service: &Service, sources: Vec<SourceChunks>) -> Result<(), RetrievalError> {
    let mut writer = service.try_writer().await?;
    for source in sources {
        writer.replace(source).await?;
        writer.commit().await?;
    }
    writer.finish().await
}

/// Contents and ids of everything that can be found.
async fn everything(index: &AzureIndex) -> Result<Vec<(String, String)>, RetrievalError> {
    let (vector, filter) = (vector(0), Filter::default());
    let request = SearchRequest {
        text: "",
        vector: Some(&vector),
        mode: SearchMode::Vector,
        top: 500,
        filter: &filter,
        vector_weight: None,
    };
    let hits = index.search(&request).await?.hits;
    Ok(hits.into_iter().map(|hit| (hit.chunk.id.0, hit.chunk.content)).collect())
}

/// Looks without faults, after `delay` for what is seen late, and demands `count` chunks of `version`, none twice.
async fn assert_whole(dir: &TempDir, version: &str, count: usize) {
    let emulator = Emulator::start(dir.path(), &[]);
    let service = emulator.service(&[]);
    let found = everything(&service.index().await).await.unwrap();
    let ids: BTreeSet<&String> = found.iter().map(|(id, _)| id).collect();
    assert_eq!((found.len(), ids.len()), (count, count), "documents lost or doubled");
    assert!(found.iter().all(|(_, content)| content.starts_with(version)), "a stale chunk stayed");
    assert_eq!(service.writer().await.known_sources().len(), count / CHUNKS);
}

fn retries(service: &Service) -> u64 {
    let text = service.metrics.render().unwrap();
    let line = text.lines().find(|line| line.starts_with("upstream_retries_total"));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0)
        as u64
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Query,
    Ingest,
    Clear,
}

/// One cell of the matrix; the line that says how it went.
async fn cell(fault: &'static str, act: Act) -> String {
    let dir = tempfile::tempdir().unwrap();
    {
        let emulator = Emulator::start(dir.path(), &[]);
        write(&emulator.service(&[]), corpus("old")).await.unwrap();
    }
    let (took, count, version) = {
        let emulator = Emulator::start(dir.path(), &[fault]);
        let service = emulator.service(&[("AZURE_SEARCH_TIMEOUT_SECONDS", "1")]);
        let start = Instant::now();
        let expected = match act {
            Act::Query => {
                let found = everything(&service.index().await).await.unwrap();
                assert_eq!(found.len(), SOURCES * CHUNKS, "{fault}");
                (SOURCES * CHUNKS, "old")
            }
            Act::Ingest => {
                write(&service, corpus("new")).await.unwrap();
                (SOURCES * CHUNKS, "new")
            }
            Act::Clear => {
                service.admin().clear().await.unwrap();
                (0, "")
            }
        };
        let took = start.elapsed();
        let line =
            format!("{fault:<34} {act:<8?} ok, {} retries, {:>6.2} s", retries(&service), took.as_secs_f64());
        (line, expected.0, expected.1)
    };
    assert_whole(&dir, version, count).await;
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_faults_lose_and_double_nothing() {
    let cells =
        PASSING.iter().flat_map(|&fault| [Act::Query, Act::Ingest, Act::Clear].map(|act| (fault, act)));
    let lines: Vec<String> =
        stream::iter(cells).map(|(fault, act)| cell(fault, act)).buffered(4).collect().await;
    println!("fault                              act      outcome");
    lines.iter().for_each(|line| println!("{line}"));
    assert_eq!(lines.len(), PASSING.len() * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stays_broken_is_said_to_be_and_left_alone_and_the_next_run_completes_the_work() {
    let dir = tempfile::tempdir().unwrap();
    {
        let emulator = Emulator::start(dir.path(), &[]);
        write(&emulator.service(&[]), corpus("old")).await.unwrap();
    }
    {
        let emulator = Emulator::start(dir.path(), &["status=503"]);
        let service = emulator
            .service(&[("AZURE_SEARCH_TIMEOUT_SECONDS", "2"), ("AZURE_SEARCH_DEADLINE_SECONDS", "3")]);
        let index = service.index().await;
        let begun = Instant::now();
        while index.breaker().as_str() != "open" {
            let start = Instant::now();
            let error = everything(&index).await.unwrap_err();
            assert!(matches!(error, RetrievalError::Unavailable { .. }), "{error}");
            assert!(start.elapsed() < Duration::from_secs(5), "the deadline was passed");
            assert!(begun.elapsed() < Duration::from_secs(30), "the breaker did not open");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let start = Instant::now();
        assert!(everything(&index).await.is_err());
        assert!(start.elapsed() < Duration::from_millis(200), "an open breaker answers at once");
        assert!(index.problem().is_some());
    }
    // Every run dies at the same place until the fault is gone: what was there stays, nothing doubles.
    {
        let emulator = Emulator::start(dir.path(), &["status=400,on=index,every=4"]);
        assert!(write(&emulator.service(&[]), corpus("new")).await.is_err());
    }
    let emulator = Emulator::start(dir.path(), &[]);
    write(&emulator.service(&[]), corpus("new")).await.unwrap();
    drop(emulator);
    assert_whole(&dir, "new", SOURCES * CHUNKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_key_reads_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(dir.path(), &[]);
    write(&emulator.service(&[]), corpus("old")).await.unwrap();
    let reader = emulator.service(&[("AZURE_SEARCH_API_KEY", "")]);
    assert_eq!(everything(&reader.index().await).await.unwrap().len(), SOURCES * CHUNKS);
    let Err(error) = write(&reader, corpus("new")).await else { panic!("it wrote") };
    assert!(error.to_string().contains("AZURE_SEARCH_API_KEY"), "{error}");
    let wrong = emulator
        .service(&[("AZURE_SEARCH_API_KEY", "no-such-key"), ("AZURE_SEARCH_QUERY_KEY", "no-such-key")]);
    let error = wrong.index().await.problem().unwrap();
    assert!(matches!(error, RetrievalError::Unauthorized { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("no-such-key"));
}
