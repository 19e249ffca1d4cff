//! The real weights against reference vectors, and the worker under load.

use rag_api::embedding::{Embedder, EmbeddingError, MiniLm};
use serde::Deserialize;

use crate::support::{embedder, model_dir, shared};

#[derive(Deserialize)]
struct Reference {
    text: String,
    token_ids: Vec<u32>,
    vector: Vec<f32>,
}

fn references() -> Option<Vec<Reference>> {
    let text = std::fs::read_to_string(shared("eval/minilm-vectors/vectors.jsonl")?).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test]
async fn vectors_match_the_reference_alone_and_in_mixed_batches() {
    let Some(references) = references() else { return };
    let embedder = embedder();
    let texts: Vec<String> = references.iter().map(|r| r.text.clone()).collect();
    let together = embedder.embed_now(texts.clone()).await.unwrap();
    let in_background = embedder.embed_passages(texts.clone()).await.unwrap();
    let mut cosines = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        assert_eq!(embedder.tokenizer().encode(&reference.text).unwrap(), reference.token_ids);
        let alone = embedder.embed_now(vec![reference.text.clone()]).await.unwrap();
        for vector in [&alone[0], &together[index], &in_background[index]] {
            cosines.push(cosine(vector.as_slice(), &reference.vector));
        }
    }
    let smallest = cosines.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    println!(
        "cosine to the reference over {} vectors: smallest {smallest:.7}, mean {mean:.7}",
        cosines.len()
    );
    // The default precision may round to bf16; `embedding_kernels` holds f32 to more.
    assert!(smallest >= 0.9999, "smallest cosine {smallest}");
}

#[tokio::test]
async fn no_texts_give_no_vectors() {
    assert!(embedder().embed_now(Vec::new()).await.unwrap().is_empty());
}

fn own_worker(capacity: usize) -> Embedder {
    Embedder::start(MiniLm::load(&model_dir()).unwrap(), capacity).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sheds_questions_and_serves_the_others() {
    let embedder = own_worker(4);
    let text = "a question of a few words that somebody waits for";
    let asked: Vec<_> = (0..60)
        .map(|i| {
            let embedder = embedder.clone();
            tokio::spawn(async move { embedder.embed_now(vec![format!("{text} {i}")]).await })
        })
        .collect();
    let (mut served, mut shed) = (0, 0);
    for answer in asked {
        match answer.await.unwrap() {
            Ok(vectors) => served += vectors.len(),
            Err(EmbeddingError::Overloaded) => shed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(served >= 4 && shed > 0 && served + shed == 60, "{served} served, {shed} shed");
    assert_eq!(embedder.queue_depth(), 0);
    assert!(embedder.embed_now(vec![text.into()]).await.is_ok(), "it goes on afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_overtakes_the_passages_of_an_ingestion() {
    let embedder = own_worker(4);
    let passages: Vec<String> = (0..8).map(|i| format!("passage {i} ").repeat(60)).collect();
    let ingestion: Vec<_> = (0..8)
        .map(|_| {
            let (embedder, passages) = (embedder.clone(), passages.clone());
            tokio::spawn(async move { embedder.embed_passages(passages).await.map(|vectors| vectors.len()) })
        })
        .collect();
    // Some texts are being computed, the others wait.
    while embedder.queue_depth() < 4 && !ingestion.iter().all(|job| job.is_finished()) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    embedder.embed_now(vec!["who is first?".into()]).await.unwrap();
    let waiting = ingestion.iter().filter(|job| !job.is_finished()).count();
    assert!(waiting > 0, "the question waited for the whole ingestion");
    for job in ingestion {
        assert_eq!(job.await.unwrap().unwrap(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_costs_no_computation_and_no_place() {
    let embedder = own_worker(4);
    for _ in 0..50 {
        let asking = embedder.embed_now(vec!["nobody waits for this ".repeat(50)]);
        let _ = tokio::time::timeout(std::time::Duration::from_micros(10), asking).await;
    }
    assert!(embedder.embed_now(vec!["still here".into()]).await.is_ok());
}
