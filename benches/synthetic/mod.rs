//! Chunks, vectors and questions of any number, the same for the same seed.

use fastrand::Rng;
use rag_api::{
    domain::{Chunk, ChunkId, EMBEDDING_DIMENSION, Embedding},
    retrieval::SourceChunks,
};

pub const CHUNKS_OF_SOURCE: usize = 50;

/// Draws from 50,000 words, the n-th most frequent 1/n as likely as the first: Zipf's law.
pub struct Corpus {
    rng: Rng,
    /// Sums of the likelihoods, by rank.
    sums: Vec<f64>,
}

impl Corpus {
    pub fn seeded(seed: u64) -> Self {
        let sums = (1..=50_000).scan(0.0, |sum, rank| {
            *sum += 1.0 / f64::from(rank);
            Some(*sum)
        });
        Self { rng: Rng::with_seed(seed), sums: sums.collect() }
    }

    /// Texts of 4 to 12 words with a vector each.
    pub fn questions(&mut self, count: usize) -> Vec<(String, Embedding)> {
        (0..count)
            .map(|_| {
                let length = self.rng.usize(4..=12);
                (self.text(length), self.unit_vector())
            })
            .collect()
    }

    /// Chunks of 120 words; 9 of 10 sources are English, each tag is on one chunk of a source.
    pub fn source(&mut self, number: usize) -> SourceChunks {
        let source = format!("folder/{number}.md");
        let chunk = |index: usize| Chunk {
            id: ChunkId(format!("{number}-{index}")),
            source: source.clone(),
            title: Some(self.text(3)),
            content: self.text(120),
            page_number: Some(index as u32 / 3 + 1),
            chunk_index: index as u32,
            content_hash: format!("{number:032x}{index:032x}"),
            language: Some(if number.is_multiple_of(10) { "ja" } else { "en" }.into()),
            tags: vec![format!("tag{index}")],
            created_at: "2026-01-01T00:00:00Z".into(),
        };
        let chunks: Vec<Chunk> = (0..CHUNKS_OF_SOURCE).map(chunk).collect();
        let chunks = chunks.into_iter().map(|chunk| (chunk, self.unit_vector())).collect();
        SourceChunks { source, chunks, document: String::new() }
    }

    fn text(&mut self, length: usize) -> String {
        let words: Vec<String> = (0..length).map(|_| self.word()).collect();
        words.join(" ")
    }

    fn word(&mut self) -> String {
        /// No stemmer takes them for an ending.
        const SYLLABLES: &[&str] = &["ko", "ta", "mu", "ri", "ba", "no", "vu", "za", "pi", "ga"];
        let drawn = self.rng.f64() * self.sums.last().copied().unwrap_or_default();
        let mut rank = self.sums.partition_point(|sum| *sum < drawn);
        let mut word = String::new();
        while rank > 0 || word.is_empty() {
            word.push_str(SYLLABLES[rank % SYLLABLES.len()]);
            rank /= SYLLABLES.len();
        }
        word
    }

    fn unit_vector(&mut self) -> Embedding {
        loop {
            let values: Vec<f32> = (0..EMBEDDING_DIMENSION).map(|_| self.rng.f32() - 0.5).collect();
            let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            if let Some(vector) = Embedding::new(values.into_iter().map(|value| value / norm).collect()) {
                return vector;
            }
        }
    }
}
