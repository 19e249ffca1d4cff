//! Milliseconds a text and tokens a second of the embedding path, tokenizing included.
//!
//! `cargo bench --profile release --bench embedding`; needs `rag-api model fetch`.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rag_api::embedding::{Embedder, MiniLm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = MiniLm::load(Path::new(&std::env::var("MODEL_DIR").unwrap_or_else(|_| "model".into())))?;
    println!("kernel {}, {} threads, {:?}", model.kernel_name(), model.threads(), model.load_times());
    let sentence =
        "The operator drains a revision before the next one takes its traffic, and watches the errors. ";
    for (name, text, repeat) in [
        ("short", "How do I reset it?".to_owned(), 300),
        ("medium", sentence.repeat(2), 50),
        ("full", sentence.repeat(20), 15),
    ] {
        let tokens = model.tokenizer().encode(&text)?.len();
        let start = Instant::now();
        for _ in 0..repeat {
            std::hint::black_box(model.tokenizer().encode(&text)?);
        }
        let tokenizing_us = start.elapsed().as_secs_f64() * 1e6 / repeat as f64;
        let mut times = Vec::new();
        for _ in 0..repeat {
            let start = Instant::now();
            model.embed(std::slice::from_ref(&text))?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{name}: {tokens} tokens, median {:.3} ms, p90 {:.3} ms, of which tokenizing {tokenizing_us:.0} us",
            times[repeat / 2],
            times[repeat * 9 / 10]
        );
    }
    let texts: Vec<String> = (0..128).map(|i| sentence.repeat(2 + i % 12)).collect();
    let tokens = texts
        .iter()
        .map(|text| model.tokenizer().encode(text).map(|ids| ids.len()))
        .sum::<Result<usize, _>>()?;
    let start = Instant::now();
    model.embed(&texts)?;
    println!("bulk: {:.0} tokens/s", tokens as f64 / start.elapsed().as_secs_f64());
    questions_during_ingestion(model, &texts)
}

/// How long a question waits while passages keep every thread at work, against idle.
fn questions_during_ingestion(model: MiniLm, passages: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let embedder = Embedder::start(model, 64)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for busy in [false, true] {
            let ingestions: Vec<_> = (0..if busy { 8 } else { 0 })
                .map(|_| {
                    let (embedder, passages) = (embedder.clone(), passages.to_vec());
                    tokio::spawn(async move {
                        loop {
                            if embedder.embed_passages(passages.clone()).await.is_err() {
                                return;
                            }
                        }
                    })
                })
                .collect();
            let mut times = Vec::new();
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_millis(7)).await;
                let start = Instant::now();
                embedder.embed_now(vec!["How do I reset it?".to_owned()]).await?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            ingestions.iter().for_each(|ingestion| ingestion.abort());
            times.sort_by(f64::total_cmp);
            let when = if busy { "during ingestion" } else { "idle" };
            println!("question, {when}: p50 {:.2} ms, p99 {:.2} ms", times[100], times[198]);
        }
        Ok(())
    })
}
