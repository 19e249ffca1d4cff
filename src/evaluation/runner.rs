//! Builds a temporary index from a collection and asks it every question in every mode.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{
    abstention::{Abstention, Asked, Kind},
    dataset::{Corpus, Dataset, DatasetError, Query, Questions, documents},
    metrics::Measures,
};
use crate::{
    domain::{Filter, Hit, InvalidInput, Question, SearchMode, TopK, VectorWeight},
    embedding::{Embedder, EmbeddingError},
    generation,
    ingest::{IngestError, Ingestion, Plan, Shard},
    retrieval::{
        Fingerprint, IndexWriter, RetrievalError, Retriever, SearchRequest,
        local::{LocalIndex, LocalWriter},
    },
};

/// Chunks asked for, so that a hundred different documents are among them.
const DEPTH: usize = 500;
/// Chunks asked for when time is taken.
const TIMED_DEPTH: usize = 10;
/// Documents embedded side by side.
const DOCUMENTS_AT_ONCE: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    #[error("a question cannot be asked: {0}")]
    Question(#[from] InvalidInput),
    #[error("the run file cannot be written: {0}")]
    RunFile(io::Error),
}

/// What `evaluate --report` writes.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub dataset: String,
    pub documents: usize,
    pub chunks: u64,
    pub queries: usize,
    pub index_seconds: f64,
    pub modes: BTreeMap<&'static str, ModeReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstention: Option<Abstention>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct ModeReport {
    #[serde(flatten)]
    pub measures: Measures,
    pub latency_ms: Latency,
}

/// Embedding and search of ten hits, one question at a time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// A collection and the index that is asked.
pub struct Runner {
    dataset: Dataset,
    embedder: Embedder,
    index: Retriever,
    vector_weight: Option<VectorWeight>,
    documents: usize,
    index_seconds: f64,
}

impl Runner {
    /// Indexes the corpus in `dir`, which the caller removes. `progress` gets documents done and in all.
    pub async fn prepare(
        dataset: Dataset,
        dir: &Path,
        ingestion: &Ingestion,
        embedder: Embedder,
        fingerprint: Fingerprint,
        vector_weight: Option<VectorWeight>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Self, EvaluationError> {
        let start = Instant::now();
        let mut writer = IndexWriter::Local(LocalWriter::open(dir, &fingerprint, Duration::ZERO)?);
        let documents = match &dataset.corpus {
            Corpus::Folder { path, .. } => {
                let (mut done, mut all) = (0, 0);
                let count = |event: crate::ingest::Progress<'_>| {
                    match event {
                        crate::ingest::Progress::Found { files } => all = files,
                        crate::ingest::Progress::File(_) => done += 1,
                    }
                    progress(done, all);
                };
                let paths = [PathBuf::clone(path)];
                let plan = Plan { paths: &paths, prune: false, shard: Shard::default() };
                let report = ingestion.run(plan, writer, std::future::pending(), count).await?;
                report.files.len()
            }
            Corpus::Lines(path) => {
                let documents = documents(path)?;
                let all = documents.len();
                let mut embedded = stream::iter(&documents)
                    .map(|document| ingestion.document(document))
                    .buffer_unordered(DOCUMENTS_AT_ONCE);
                let mut done = 0;
                while let Some(source) = embedded.next().await {
                    writer.replace(source?).await?;
                    done += 1;
                    progress(done, all);
                }
                drop(embedded);
                writer.finish().await?;
                all
            }
        };
        let index = Retriever::Local(LocalIndex::open(dir, fingerprint)?);
        let index_seconds = start.elapsed().as_secs_f64();
        Ok(Self { dataset, embedder, index, vector_weight, documents, index_seconds })
    }

    /// Asks an index that is there already and holds the collection's documents under the names the
    /// judgments use.
    pub fn over(
        dataset: Dataset,
        index: Retriever,
        embedder: Embedder,
        vector_weight: Option<VectorWeight>,
    ) -> Self {
        Self { dataset, embedder, index, vector_weight, documents: 0, index_seconds: 0.0 }
    }

    /// Asks every judged question in every mode. `run_file` gets the ranked documents of each mode in
    /// TREC format, at `PATH.MODE`.
    pub async fn run(&self, run_file: Option<&Path>) -> Result<Report, EvaluationError> {
        let queries: Vec<&Query> = self
            .dataset
            .queries
            .iter()
            .filter(|query| self.dataset.judgments.contains_key(&query.id))
            .collect();
        let mut embedded = Vec::new();
        for query in &queries {
            let start = Instant::now();
            let vector = self.embedder.embed_now(vec![query.text.clone()]).await?.remove(0);
            embedded.push((vector, start.elapsed()));
        }
        let mut modes = BTreeMap::new();
        for mode in SearchMode::ALL {
            let mut lines = String::new();
            let (mut measures, mut times) = (Vec::new(), Vec::new());
            for (query, (vector, embedding_time)) in queries.iter().zip(&embedded) {
                let request = SearchRequest {
                    text: &query.text,
                    vector: (mode != SearchMode::Keyword).then_some(vector),
                    mode,
                    top: TIMED_DEPTH,
                    filter: &Filter::default(),
                    vector_weight: self.vector_weight,
                };
                let start = Instant::now();
                self.index.search(&request).await?;
                let embedding_time =
                    if mode == SearchMode::Keyword { Duration::ZERO } else { *embedding_time };
                times.push((start.elapsed() + embedding_time).as_secs_f64() * 1e3);
                let found = self.index.search(&SearchRequest { top: DEPTH, ..request }).await?;
                let ranked = self.by_document(&found.hits);
                for (rank, (id, score)) in ranked.iter().enumerate() {
                    lines.push_str(&format!("{}\tQ0\t{id}\t{}\t{score}\trag-api\n", query.id, rank + 1));
                }
                let ids: Vec<String> = ranked.into_iter().map(|(id, _)| id).collect();
                measures.extend(
                    self.dataset.judgments.get(&query.id).and_then(|judged| Measures::of(&ids, judged)),
                );
            }
            if let Some(path) = run_file {
                write_run(path, mode, &lines).map_err(EvaluationError::RunFile)?;
            }
            times.sort_by(f64::total_cmp);
            let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
            let latency_ms = Latency { p50: at(0.5), p99: at(0.99) };
            modes.insert(mode.as_str(), ModeReport { measures: Measures::mean(&measures), latency_ms });
        }
        Ok(Report {
            dataset: self.dataset.name.clone(),
            documents: self.documents,
            chunks: self.index.chunk_count(),
            queries: queries.len(),
            index_seconds: self.index_seconds,
            modes,
            abstention: None,
        })
    }

    /// Asks the collection's own questions, those of other collections, and where `held_out` is set its own
    /// once more as if the documents that answer them were not there.
    pub async fn abstention(
        &self,
        foreign: &[Questions],
        held_out: bool,
    ) -> Result<Abstention, EvaluationError> {
        let Dataset { name, queries, judgments, .. } = &self.dataset;
        let judged = || queries.iter().filter(|query| judgments.contains_key(&query.id));
        let mut asked = Vec::new();
        for query in judged() {
            asked.push(self.ask(Kind::Own, name, query).await?);
        }
        for Questions { name, queries } in foreign {
            for query in queries {
                asked.push(self.ask(Kind::Foreign, name, query).await?);
            }
        }
        for query in judged().filter(|_| held_out) {
            asked.push(self.ask(Kind::HeldOut, name, query).await?);
        }
        Ok(Abstention::new(asked))
    }

    async fn ask(&self, kind: Kind, set: &str, query: &Query) -> Result<Asked, EvaluationError> {
        let question = Question::parse(&query.text)?;
        let vector = self.embedder.embed_now(vec![query.text.clone()]).await?.remove(0);
        let top_k = TopK::default().get();
        let request = SearchRequest {
            text: question.as_str(),
            vector: Some(&vector),
            mode: SearchMode::Hybrid,
            top: if kind == Kind::HeldOut { DEPTH } else { top_k },
            filter: &Filter::default(),
            vector_weight: self.vector_weight,
        };
        let mut hits = self.index.search(&request).await?.hits;
        if kind == Kind::HeldOut {
            // Passed over and not left out of the index, so that one index serves all questions; the
            // lists that are fused keep gaps where they stood.
            let judged = self.dataset.judgments.get(&query.id);
            hits.retain(|hit| {
                judged.is_none_or(|judged| judged.get(&self.document(hit)).is_none_or(|&grade| grade == 0))
            });
            hits.truncate(top_k);
        }
        let signals = generation::signals(&question, &hits);
        Ok(Asked::new(kind, set, &signals, generation::evidence(&question, &hits)))
    }

    /// Documents by their best chunk; ties by id downwards, as trec_eval breaks them.
    fn by_document(&self, hits: &[Hit]) -> Vec<(String, f32)> {
        let mut best: BTreeMap<String, f32> = BTreeMap::new();
        for hit in hits {
            let score = best.entry(self.document(hit)).or_insert(hit.score);
            *score = score.max(hit.score);
        }
        let mut ranked: Vec<(String, f32)> = best.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        ranked.truncate(100);
        ranked
    }

    /// The id that the judgments use.
    fn document(&self, hit: &Hit) -> String {
        let pages = matches!(self.dataset.corpus, Corpus::Folder { pages: true, .. });
        match hit.chunk.page_number {
            Some(page) if pages => format!("{}#page={page}", hit.chunk.source),
            _ => hit.chunk.source.clone(),
        }
    }
}

fn write_run(path: &Path, mode: SearchMode, lines: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", mode.as_str()));
    std::fs::File::create(name)?.write_all(lines.as_bytes())
}
