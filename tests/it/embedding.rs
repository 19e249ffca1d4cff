//! The real weights against reference vectors, and the worker under load.

use serde::Deserialize;

use crate::support::{embedder, shared};

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
    assert!(smallest >= 0.999_99, "smallest cosine {smallest}");
}

#[tokio::test]
async fn no_texts_give_no_vectors() {
    assert!(embedder().embed_now(Vec::new()).await.unwrap().is_empty());
}
