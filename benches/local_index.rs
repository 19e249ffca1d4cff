//! Build, open and search times of the embedded index over synthetic chunks, and its scan beside a naive one.
//!
//! `cargo bench --profile release --bench local_index [-- CHUNKS]`; 100,000 chunks unless told otherwise.
//! Words are drawn as text has them, a few everywhere and most hardly ever; so are those of the questions.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

mod synthetic;
mod times;

use std::{
    error::Error,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rag_api::{
    app,
    domain::{EMBEDDING_DIMENSION, Embedding, Filter, SearchMode},
    retrieval::{
        SearchRequest,
        local::{LocalIndex, LocalWriter},
    },
};
use synthetic::{CHUNKS_OF_SOURCE, Corpus};
use times::Times;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// As often as an ingestion commits.
const CHUNKS_OF_COMMIT: usize = 4_000;
const QUESTIONS: usize = 500;
const CLIENTS: usize = 8;
/// The first argument of a run of this program that only scans, on as many cores as it was given.
const SCAN: &str = "scan";

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [SCAN, dir] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let index = LocalIndex::open(Path::new(dir), app::fingerprint())?;
        println!("{}", scan(&index, &Corpus::seeded(2).questions(QUESTIONS))?.median());
        return Ok(());
    }
    let count = arguments.first().map_or(Ok(100_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let live = build(dir.path(), count)?;
    let index = open(dir.path())?;
    let questions = Corpus::seeded(2).questions(QUESTIONS);
    let hybrid = search_all(&index, &questions)?;
    concurrent(&index, &questions)?;
    peers(dir.path(), &index, &live, &questions)?;
    println!("\nhybrid p95, no filter, top 10: {hybrid:.1} ms; {}", verdict(hybrid, 20.0));
    Ok(())
}

/// The index with `count` live chunks, a fiftieth more written and removed again; gives the live vectors.
fn build(dir: &Path, count: usize) -> Outcome<Vec<Embedding>> {
    let mut corpus = Corpus::seeded(1);
    let mut writer = LocalWriter::open(dir, &app::fingerprint(), Duration::ZERO)?;
    let (mut live, mut removed, mut time) = (Vec::new(), Vec::new(), Duration::ZERO);
    for number in 0.. {
        let doomed = number % 50 == 7;
        if !doomed && live.len() >= count {
            break;
        }
        let source = corpus.source(number);
        if doomed {
            removed.push(source.source.clone());
        } else {
            live.extend(source.chunks.iter().map(|(_, vector)| vector.clone()));
        }
        let start = Instant::now();
        writer.replace(source)?;
        if ((number + 1) * CHUNKS_OF_SOURCE).is_multiple_of(CHUNKS_OF_COMMIT) {
            writer.commit()?;
        }
        time += start.elapsed();
    }
    let start = Instant::now();
    writer.commit()?;
    removed.iter().for_each(|source| assert!(writer.remove(source)));
    writer.finish()?;
    time += start.elapsed();
    let megabytes = |part| size(&dir.join(part)).map(|bytes| bytes as f64 / 1e6);
    println!("{} live chunks, {} sources removed", live.len(), removed.len());
    println!("build: {:.1} s in the writer", time.as_secs_f64());
    println!("on disk: text {:.0} MB, vectors {:.0} MB", megabytes("text")?, megabytes("vectors")?);
    Ok(live)
}

fn open(dir: &Path) -> Outcome<LocalIndex> {
    let times = timed(0..5, |_| LocalIndex::open(dir, app::fingerprint()).map(drop))?;
    let verdict = verdict(times.median(), 1_000.0);
    println!("open, files in the page cache: median {:.0} ms; {verdict}\n", times.median());
    Ok(LocalIndex::open(dir, app::fingerprint())?)
}

/// The p95 of what most callers ask: hybrid, no filter, top 10.
fn search_all(index: &LocalIndex, questions: &[(String, Embedding)]) -> Outcome<f64> {
    let narrow = Filter { tags: vec!["tag3".into()], ..Filter::default() };
    let broad = Filter { language: vec!["en".into()], ..Filter::default() };
    let mut wanted = 0.0;
    println!("{:<8} {:<26} {:>4} {:>8} {:>8} {:>8}  ms", "mode", "filter", "top", "p50", "p95", "p99");
    for (name, filter) in
        [("none", Filter::default()), ("9 of 10 chunks (language)", broad), ("1 of 50 chunks (tag)", narrow)]
    {
        for mode in [SearchMode::Hybrid, SearchMode::Keyword, SearchMode::Vector] {
            for top in [3, 10] {
                let times = timed(questions, |question| search(index, question, mode, top, &filter))?;
                println!("{:<8} {name:<26} {top:>4} {times}", mode.as_str());
                if (mode, top, filter.is_empty()) == (SearchMode::Hybrid, 10, true) {
                    wanted = times.at(0.95);
                }
            }
        }
    }
    Ok(wanted)
}

fn concurrent(index: &LocalIndex, questions: &[(String, Embedding)]) -> Outcome<()> {
    let filter = Filter::default();
    let ask = |question| search(index, question, SearchMode::Hybrid, 10, &filter);
    let start = Instant::now();
    let times: Outcome<Vec<Vec<f64>>> = std::thread::scope(|scope| {
        let parts = questions.chunks(questions.len().div_ceil(CLIENTS));
        let clients: Vec<_> = parts.map(|part| scope.spawn(move || timed(part, ask))).collect();
        clients.into_iter().map(|client| Ok(client.join().map_err(|_| "a client panicked")??.0)).collect()
    });
    let times = Times::sorted(times?.concat());
    let rate = times.0.len() as f64 / start.elapsed().as_secs_f64();
    println!("\n{CLIENTS} clients at once, hybrid, top 10: p50 p95 p99 {times} ms, {rate:.0} searches/s");
    Ok(())
}

/// The same vectors and questions: a plain loop on one core, this index on one core and on all.
fn peers(
    dir: &Path,
    index: &LocalIndex,
    live: &[Embedding],
    questions: &[(String, Embedding)],
) -> Outcome<()> {
    let naive = timed(&questions[..50], |(_, question)| {
        let mut scored: Vec<(f32, usize)> =
            live.iter().map(|vector| question.cosine(vector)).zip(0..).collect();
        scored.select_nth_unstable_by(10, |a, b| b.0.total_cmp(&a.0));
        if scored[0].0.is_finite() { Ok(()) } else { Err("a vector is broken") }
    })?;
    let (naive, all) = (naive.median(), scan(index, questions)?.median());
    let bytes = (live.len() * EMBEDDING_DIMENSION * 4) as f64;
    let line = |name: &str, ms: f64| {
        println!("{name:<28} {ms:>8.2} ms {:>6.1} GB/s {:>6.1} x naive", bytes / ms / 1e6, naive / ms);
    };
    println!("\nvector search, top 10, median; {} cores:", std::thread::available_parallelism()?);
    line("naive loop, one core", naive);
    let program = std::env::current_exe()?;
    match Command::new("taskset").args(["-c", "0"]).arg(program).arg(SCAN).arg(dir).output() {
        Ok(child) => line("this index, one core", String::from_utf8(child.stdout)?.trim().parse()?),
        Err(error) => println!("SKIPPED: this index on one core needs taskset: {error}"),
    }
    line("this index, all cores", all);
    Ok(())
}

fn scan(index: &LocalIndex, questions: &[(String, Embedding)]) -> Outcome<Times> {
    timed(&questions[..100], |question| search(index, question, SearchMode::Vector, 10, &Filter::default()))
}

fn search(
    index: &LocalIndex,
    (text, vector): &(String, Embedding),
    mode: SearchMode,
    top: usize,
    filter: &Filter,
) -> Outcome<()> {
    let vector = (mode != SearchMode::Keyword).then_some(vector);
    let found = index.search(&SearchRequest { text, vector, mode, top, filter, vector_weight: None })?;
    // Every word is in the index and every filter leaves chunks, so that nothing found is no measurement.
    if found.hits.is_empty() { Err("a search found nothing".into()) } else { Ok(()) }
}

fn timed<T, E>(
    items: impl IntoIterator<Item = T>,
    mut work: impl FnMut(T) -> Result<(), E>,
) -> Result<Times, E> {
    let one = |item| {
        let start = Instant::now();
        work(item).map(|()| start.elapsed().as_secs_f64() * 1e3)
    };
    items.into_iter().map(one).collect::<Result<_, E>>().map(Times::sorted)
}

fn verdict(ms: f64, limit: f64) -> String {
    format!("target < {limit} ms {}", if ms < limit { "met" } else { "MISSED" })
}

fn size(dir: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(dir)?.map(|entry| entry?.metadata().map(|meta| meta.len())).sum()
}
