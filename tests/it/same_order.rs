//! Local and emulated give the same hits in the same order, for every question of two collections.

use std::{path::Path, time::Duration};

use futures_util::{StreamExt, stream};
use rag_api::{
    app,
    config::{Config, EnvReader},
    domain::{Filter, SearchMode},
    ingest::{Document, Ingestion, extract::WorkerCommand},
    retrieval::{
        IndexWriter, Retriever, SearchRequest, SourceChunks,
        local::{LocalIndex, LocalWriter},
    },
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    emulated::Emulator,
    support::{embedder, shared},
};

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    title: Option<String>,
    text: String,
}

#[derive(Deserialize)]
struct Query {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

/// Of a collection, at most.
const QUESTIONS: usize = 225;

fn lines<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn abstracts_in_english() {
    same_order("cranfield").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paragraphs_in_japanese() {
    same_order("jsquad-ja").await;
}

async fn same_order(collection: &str) {
    let Some(folder) = shared(&format!("eval/{collection}")) else { return };
    let (local, remote) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let emulator = Emulator::start(remote.path(), &[]);
    let service = emulator.service(&[]);
    let mut writers = vec![
        IndexWriter::Local(LocalWriter::open(local.path(), &app::fingerprint(), Duration::ZERO).unwrap()),
        IndexWriter::Azure(service.writer().await),
    ];
    let config = Config::read(EnvReader::from_pairs([])).unwrap();
    let worker = WorkerCommand::new(env!("CARGO_BIN_EXE_rag-api"));
    let ingestion = Ingestion::new(embedder(), &config.ingest, worker);
    let documents: Vec<Document> = lines::<Line>(&folder.join("corpus.jsonl"))
        .into_iter()
        .map(|Line { id, title, text }| Document { source: id, title, text })
        .collect();
    let mut embedded = stream::iter(&documents).map(|document| ingestion.document(document)).buffered(8);
    while let Some(source) = embedded.next().await {
        let SourceChunks { source, chunks, document } = source.unwrap();
        // Embedded once: a vector's last bits depend on what was computed beside it.
        for writer in &mut writers {
            let (source, chunks, document) = (source.clone(), chunks.clone(), document.clone());
            writer.replace(SourceChunks { source, chunks, document }).await.unwrap();
        }
    }
    drop(embedded);
    for writer in writers {
        writer.finish().await.unwrap();
    }
    let indexes = [
        Retriever::Local(LocalIndex::open(local.path(), app::fingerprint()).unwrap()),
        Retriever::Azure(service.index().await),
    ];
    assert_eq!(indexes[0].chunk_count(), indexes[1].chunk_count());
    let queries = lines::<Query>(&folder.join("queries.jsonl"));
    let (mut compared, mut different) = (0, Vec::new());
    for Query { id, text } in queries.iter().take(QUESTIONS) {
        let vector = embedder().embed_now(vec![text.clone()]).await.unwrap().remove(0);
        for mode in SearchMode::ALL {
            let filter = Filter::default();
            let vector = (mode != SearchMode::Keyword).then_some(&vector);
            let request = SearchRequest { text, vector, mode, top: 50, filter: &filter, vector_weight: None };
            let mut lists = Vec::new();
            for index in &indexes {
                let hits = index.search(&request).await.unwrap().hits;
                lists.push(hits.into_iter().map(|hit| (hit.chunk.id.0, hit.score)).collect::<Vec<_>>());
            }
            compared += 1;
            if let Some(rank) = (0..50).find(|&rank| lists[0].get(rank) != lists[1].get(rank)) {
                different.push(format!(
                    "question {id} {mode:?} from rank {rank}: {:?} and {:?}",
                    lists[0].get(rank),
                    lists[1].get(rank)
                ));
            }
        }
    }
    println!("{collection}: {compared} lists of 50 hits compared, {} differ", different.len());
    assert!(compared > 100 && different.is_empty(), "{} of {compared}: {different:#?}", different.len());
}
