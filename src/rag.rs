//! Question to answer, on one screen.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Instrument, Span};

use crate::{
    config::RetrievalConfig,
    domain::{
        Answer, Embedding, Filter, Grounding, History, Hit, Question, SearchMode, TopK, VectorWeight, Verdict,
    },
    embedding::Embedder,
    generation::{self, LlmError, OpenAi},
    retrieval::{Retriever, SearchRequest},
    telemetry::{
        Metrics,
        spans::{self, Outcome},
    },
};
// The errors pass through to those who sit above this room and must not reach below it.
pub use crate::{
    embedding::EmbeddingError,
    retrieval::{BreakerState, RetrievalError},
};

/// What a caller asks, parsed.
#[derive(Debug, Clone)]
pub struct Query {
    pub question: Question,
    pub top_k: TopK,
    pub mode: SearchMode,
    pub vector_weight: Option<VectorWeight>,
    pub filter: Filter,
    pub history: History,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    pub embed: Duration,
    pub search: Duration,
    /// Zero for a search.
    pub generate: Duration,
    pub total: Duration,
}

/// An answer with its circumstances.
#[derive(Debug, Clone)]
pub struct Answered {
    pub answer: Answer,
    pub timings: Timings,
    pub index_version: String,
}

/// Passages with their circumstances.
#[derive(Debug, Clone)]
pub struct Found {
    pub hits: Vec<Hit>,
    pub timings: Timings,
    pub index_version: String,
}

#[derive(Debug, thiserror::Error)]
pub enum RagError {
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    #[error("no answer could be generated: {0}")]
    Generation(String),
}

/// The service behind `/query` and `/search`. Cheap to clone.
#[derive(Clone)]
pub struct Rag {
    parts: Arc<Parts>,
}

/// What questions are answered with.
pub struct Parts {
    pub embedder: Embedder,
    pub index: Retriever,
    /// `None`: answers are extractive.
    pub llm: Option<OpenAi>,
    pub retrieval: RetrievalConfig,
    /// From the question on, all tries of one answer together.
    pub llm_deadline: Duration,
    pub metrics: Metrics,
}

impl Rag {
    pub fn new(parts: Parts) -> Self {
        parts.embedder.report_waits(parts.metrics.clone());
        Self { parts: Arc::new(parts) }
    }

    /// Retrieves, judges whether that is evidence, and answers from it: by the LLM, or by its sentences
    /// where there is no LLM or it fails.
    pub async fn answer(&self, query: &Query) -> Result<Answered, RagError> {
        let span = spans::answer(query.mode.as_str(), query.top_k.get());
        let result = self.work_out(query).instrument(span.clone()).await;
        if let Err(error) = &result {
            spans::failure(&span, error);
        }
        result
    }

    async fn work_out(&self, query: &Query) -> Result<Answered, RagError> {
        let start = Instant::now();
        let (found, vector) = self.retrieve(query, true).await?;
        let generating = Instant::now();
        let answer = if generation::evidence(&query.question, &found.hits) >= self.parts.retrieval.min_cosine
        {
            match self.generate(query, &found.hits, start + self.parts.llm_deadline).await {
                Some(answer) => answer,
                None => self.extract(query, &found.hits, vector.as_ref()).await?,
            }
        } else {
            generation::no_evidence(&query.question)
        };
        let mode = if answer.model.is_some() { "generative" } else { "extractive" };
        let outcome = outcome(mode, &answer);
        self.parts.metrics.count_answer(&outcome);
        spans::answered(&Span::current(), outcome);
        let timings = Timings { generate: generating.elapsed(), total: start.elapsed(), ..found.timings };
        Ok(Answered { answer, timings, index_version: found.index_version })
    }

    pub async fn search(&self, query: &Query) -> Result<Found, RagError> {
        Ok(self.retrieve(query, query.mode != SearchMode::Keyword).await?.0)
    }

    /// Embeds a short text, so that the first caller does not pay for cold pages; the time it took.
    pub async fn warm_up(&self) -> Result<Duration, RagError> {
        let start = Instant::now();
        self.parts.embedder.embed_now(vec!["warm up".into()]).await?;
        Ok(start.elapsed())
    }

    /// What is missing before questions can be answered; empty: ready. Embeds nothing.
    pub fn missing(&self) -> Vec<String> {
        let in_words = |problem: RetrievalError| match problem {
            // These may name files, and this text goes to whoever asks.
            RetrievalError::Index(_) | RetrievalError::Busy(_) => {
                "the index cannot be read; the log says why".to_owned()
            }
            _ => problem.to_string(),
        };
        self.parts.index.problem().map(in_words).into_iter().collect()
    }

    /// How requests to the search service are faring; `None` where there is none.
    pub fn search_breaker(&self) -> Option<BreakerState> {
        self.parts.index.breaker()
    }

    /// For `/metrics`: jobs waiting for the model, chunks indexed.
    pub fn gauges(&self) -> (usize, u64) {
        (self.parts.embedder.queue_depth(), self.parts.index.chunk_count())
    }

    /// Hits and, where `embed` asks for it, the question's vector. An answer wants it in every mode,
    /// because the cosine is what tells evidence from coincidence.
    async fn retrieve(&self, query: &Query, embed: bool) -> Result<(Found, Option<Embedding>), RagError> {
        let start = Instant::now();
        let mut timings = Timings::default();
        let vector = if embed {
            let texts = vec![query.question.as_str().to_owned()];
            let vector = self.embed("embed.query", texts).await?.pop();
            timings.embed = start.elapsed();
            self.parts.metrics.observe_embedding(timings.embed);
            vector
        } else {
            None
        };
        let searching = Instant::now();
        let request = SearchRequest {
            text: query.question.as_str(),
            vector: vector.as_ref(),
            mode: query.mode,
            top: query.top_k.get(),
            filter: &query.filter,
            vector_weight: query.vector_weight.or(self.parts.retrieval.vector_weight),
        };
        let span = spans::search(self.parts.index.name(), query.mode.as_str(), query.top_k.get());
        let found = self.parts.index.search(&request).instrument(span.clone()).await;
        let found = found.inspect_err(|error| self.note("search", &span, error))?;
        let top = found.hits.iter().filter_map(|hit| hit.cosine).reduce(f32::max);
        spans::found(&span, found.hits.len(), top);
        self.parts.metrics.observe_hits(found.hits.len(), top);
        drop(span);
        timings.search = searching.elapsed();
        timings.total = start.elapsed();
        self.parts.metrics.observe_search(query.mode.as_str(), timings.search);
        Ok((Found { hits: found.hits, timings, index_version: found.version }, vector))
    }

    async fn embed(&self, name: &'static str, texts: Vec<String>) -> Result<Vec<Embedding>, EmbeddingError> {
        let span = spans::embed(name, texts.len());
        let vectors = self.parts.embedder.embed_now(texts).instrument(span.clone()).await;
        vectors.inspect_err(|error| self.note("embed", &span, error))
    }

    /// A hop that failed, for its span and the metrics.
    fn note<E: std::error::Error>(&self, hop: &'static str, span: &Span, error: &E) {
        spans::failure(span, error);
        self.parts.metrics.count_error(hop, &spans::kind(error));
    }

    /// `None` when there is no LLM or it gave no answer; a failure is logged here, where it is handled.
    async fn generate(&self, query: &Query, hits: &[Hit], deadline: Instant) -> Option<Answer> {
        let llm = self.parts.llm.as_ref()?;
        let start = Instant::now();
        let result = generation::generative(llm, &query.question, &query.history, hits, deadline).await;
        self.parts.metrics.observe_llm(start.elapsed());
        match result {
            Ok(answer) => {
                if let Some(usage) = answer.usage {
                    self.parts.metrics.count_llm_tokens(usage.input_tokens, usage.output_tokens);
                    self.parts.metrics.add_llm_cost(usage.cost_usd.unwrap_or_default());
                }
                self.parts.metrics.count_llm_request("ok");
                Some(answer)
            }
            Err(error) => {
                self.parts.metrics.count_llm_request(&spans::kind(&error));
                self.parts.metrics.count_error("llm", &spans::kind(&error));
                warn_of(&error, start.elapsed());
                None
            }
        }
    }

    async fn extract(
        &self,
        query: &Query,
        hits: &[Hit],
        vector: Option<&Embedding>,
    ) -> Result<Answer, RagError> {
        let candidates = generation::candidates(&query.question, hits);
        let texts = candidates.iter().map(|candidate| candidate.text.clone()).collect();
        let vectors = self.embed("embed.sentences", texts).await?;
        let cosines: Vec<f32> =
            vectors.iter().map(|sentence| vector.map_or(0.0, |question| question.cosine(sentence))).collect();
        Ok(generation::compose(&query.question, hits, &candidates, &cosines))
    }
}

fn outcome(mode: &'static str, answer: &Answer) -> Outcome {
    let grounding = &answer.grounding;
    let count = |verdict| grounding.citations().iter().filter(|citation| citation.verdict == verdict).count();
    Outcome {
        mode,
        grounded: answer.is_grounded(),
        evidence: *grounding != Grounding::NoEvidence,
        verdicts: [Verdict::Supported, Verdict::Weak, Verdict::Unsupported].map(count),
    }
}

fn warn_of(error: &LlmError, took: Duration) {
    tracing::warn!(error = %error, duration_ms = took.as_millis() as u64, "llm failed; answering extractively");
}
