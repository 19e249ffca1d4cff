//! Milliseconds a text and tokens a second of the embedding path, tokenizing included.
//!
//! `cargo bench --profile release --bench embedding`; needs `rag-api model fetch`.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rag_api::embedding::{Embedder, MiniLm};

/// Of one token: two for each weight of six layers of 12 * 384 * 384.
const LINEAR_FLOP: f64 = 2.0 * 6.0 * 12.0 * 384.0 * 384.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::var("MODEL_DIR").unwrap_or_else(|_| "model".into());
    let model = MiniLm::load(Path::new(&dir))?;
    let mut library = tokenizers::Tokenizer::from_file(Path::new(&dir).join("tokenizer.json"))
        .map_err(|e| e.to_string())?;
    library.with_padding(None).with_truncation(None).map_err(|e| e.to_string())?;
    println!("kernel {}, {} threads, {:?}", model.kernel_name(), model.threads(), model.load_times());
    let sentence =
        "The operator drains a revision before the next one takes its traffic, and watches the errors. ";
    for (name, text, repeat) in [
        ("short", "How do I reset it?".to_owned(), 300),
        ("medium", sentence.repeat(2), 50),
        ("full", sentence.repeat(20), 15),
    ] {
        let tokens = model.tokenizer().encode(&text)?.len();
        let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..repeat {
            let start = Instant::now();
            std::hint::black_box(model.tokenizer().encode(&text)?);
            ours += start.elapsed();
            let start = Instant::now();
            std::hint::black_box(library.encode_fast(text.as_str(), true).map_err(|e| e.to_string())?);
            theirs += start.elapsed();
        }
        let [ours, theirs] = [ours, theirs].map(|time| time.as_secs_f64() * 1e6 / repeat as f64);
        let mut times = Vec::new();
        for _ in 0..repeat {
            let start = Instant::now();
            model.embed(std::slice::from_ref(&text))?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{name}: {tokens} tokens, median {:.3} ms, p90 {:.3} ms, of which tokenizing {ours:.1} us (the library alone {theirs:.1} us)",
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
    let speed = tokens as f64 / start.elapsed().as_secs_f64();
    println!(
        "bulk: {speed:.0} tokens/s, {:.0} GFLOP/s in the linear layers alone",
        speed * LINEAR_FLOP / 1e9
    );
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
