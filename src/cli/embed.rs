//! `rag-api embed`: vectors of lines, or how fast they come.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::{
    config::Config,
    embedding::{MiniLm, ModelOptions},
};

/// Print the vector of each line, or with --stats how fast this machine computes them
///
/// Reads FILE or standard input, one text a line, and prints one JSON array of 384 numbers for each, in order.
/// What lies behind the first 256 tokens of a line is not read.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  echo 'how do I reset my password' | rag-api embed\n  rag-api embed questions.txt > vectors.jsonl\n  \
                        rag-api embed questions.txt --stats --repeat 100 --threads 2\n\n\
                        --stats computes each line N times alone, on two threads if there are, then all lines together on all threads, \
                        tokenizing included:\n  \
                        {\"kernel\", \"threads\", \"texts\": [{\"tokens\", \"median_ms\", \"p90_ms\"}], \"bulk_tokens_per_second\"}"
)]
pub(super) struct Embed {
    /// The texts, one a line; standard input when absent
    file: Option<PathBuf>,
    /// Print times instead of vectors
    #[arg(long)]
    stats: bool,
    /// How often each text is computed for --stats
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000), requires = "stats")]
    repeat: u32,
    /// Texts computed at once, 1 to 256; EMBEDDING_THREADS, or one a core, when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Compute with this kernel, for comparisons; a wrong name lists those of this CPU
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
}

#[derive(Serialize)]
struct Stats {
    kernel: &'static str,
    threads: usize,
    texts: Vec<Times>,
    bulk_tokens_per_second: f64,
}

#[derive(Serialize)]
struct Times {
    tokens: usize,
    median_ms: f64,
    p90_ms: f64,
}

impl Embed {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let mut options = ModelOptions::from(&config.embedding);
        options.threads = self.threads.map(usize::from).or(options.threads);
        options.kernel = self.kernel;
        let model = MiniLm::load_with(&config.embedding.model_dir, &options)?;
        let lines: Box<dyn BufRead> = match &self.file {
            None => Box::new(io::stdin().lock()),
            Some(path) => {
                let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        let lines = lines.lines().map(|line| line.context("the texts cannot be read as UTF-8 lines"));
        if self.stats {
            let texts = lines.collect::<Result<Vec<_>>>()?;
            ensure!(!texts.is_empty(), "there are no texts; give at least one line");
            say!("{}", serde_json::to_string(&measure(&model, &texts, self.repeat)?)?);
        } else {
            print(&model, lines)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Goes in batches, so that a large file takes no more memory than a small one.
fn print(model: &MiniLm, mut lines: impl Iterator<Item = Result<String>>) -> Result<()> {
    let batch = model.threads() * 32;
    loop {
        let texts = lines.by_ref().take(batch).collect::<Result<Vec<_>>>()?;
        if texts.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        for vector in model.embed(&texts)? {
            serde_json::to_writer(&mut out, vector.as_slice())?;
            out.push(b'\n');
        }
        match io::stdout().write_all(&out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write the vectors")?,
        }
    }
}

fn measure(model: &MiniLm, texts: &[String], repeat: u32) -> Result<Stats> {
    // Caches and memory as in a service that has been asked before.
    model.embed(texts)?;
    let mut times = Vec::with_capacity(texts.len());
    for text in texts {
        let tokens = model.tokenizer().encode(text)?.len();
        let mut runs = Vec::new();
        model.embed_one(text)?;
        for _ in 0..repeat {
            let start = Instant::now();
            model.embed_one(text)?;
            runs.push(start.elapsed().as_secs_f64() * 1e3);
        }
        runs.sort_by(f64::total_cmp);
        let at = |share: f64| runs[((runs.len() - 1) as f64 * share).round() as usize];
        times.push(Times { tokens, median_ms: at(0.5), p90_ms: at(0.9) });
    }
    let tokens: usize = times.iter().map(|text| text.tokens).sum();
    let start = Instant::now();
    // A few texts are over before a clock can tell: as many rounds as make a tenth of a second.
    let mut rounds = 0;
    while start.elapsed().as_millis() < 100 {
        model.embed(texts)?;
        rounds += 1;
    }
    let bulk_tokens_per_second = (tokens * rounds) as f64 / start.elapsed().as_secs_f64();
    Ok(Stats { kernel: model.kernel_name(), threads: model.threads(), texts: times, bulk_tokens_per_second })
}
