//! What it costs to clean and check an answer: a typical one, one in single characters, and hostile ones.
//!
//! `cargo bench --profile release --bench citations`
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::time::{Duration, Instant};

use rag_api::{
    domain::{Chunk, ChunkId, Hit},
    generation::{Cleaner, check},
};

const REPEATS: u32 = 200;
const HOSTILE_CHARS: usize = 100_000;

fn main() {
    let hits: Vec<Hit> = (0..5).map(passage).collect();
    let answer: String = (0..5)
        .map(|n| format!("Depot {n} opens at {n}:30 and holds about {n}50 crates of \"dry goods\" for two weeks [{}]. ", n + 1))
        .collect();
    let each = repeated(|| drop(check(&answer, &hits)));
    println!("check, 5 sentences, 5 passages      {:>10.1} us an answer", micros(each));
    let each = repeated(|| {
        let mut cleaner = Cleaner::new(&hits);
        answer.chars().for_each(|c| drop(cleaner.push(c.encode_utf8(&mut [0; 4]))));
        drop(cleaner.finish());
    });
    println!("cleaned in single characters        {:>10.1} us an answer", micros(each));
    for unit in [
        "[",
        "![",
        "[a](",
        "<a ",
        "`",
        "~",
        "<!--",
        "https://a.b/",
        "a [1]. ",
        "[1][2][3]",
        "Depot 3 opens. ",
        "\"a",
        "3 ",
        "\u{5341}",
    ] {
        let begun = Instant::now();
        drop(check(&unit.repeat(HOSTILE_CHARS / unit.chars().count()), &hits));
        println!("100,000 characters of {unit:<14} {:>8.3} s", begun.elapsed().as_secs_f64());
    }
}

fn repeated(mut work: impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..REPEATS).for_each(|_| work());
    begun.elapsed() / REPEATS
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// About 256 tokens.
fn passage(n: usize) -> Hit {
    let sentence = format!(
        "Depot {n} opens at {n}:30 every weekday and holds {n}50 crates of \"dry goods\" for two weeks. "
    );
    let chunk = Chunk {
        id: ChunkId(n.to_string()),
        source: format!("depot-{n}.md"),
        title: None,
        content: sentence.repeat(11),
        page_number: None,
        chunk_index: 0,
        content_hash: String::new(),
        language: Some("en".to_owned()),
        tags: Vec::new(),
        created_at: String::new(),
    };
    Hit { chunk, score: 0.03, cosine: Some(0.6), caption: None }
}
