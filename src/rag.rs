//! Question to answer, on one screen.

mod events;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Instrument, Span};

use self::events::Listener;
pub use self::events::{Event, Events};
use crate::{
    config::RetrievalConfig,
    domain::{
        Answer, Embedding, Filter, Grounding, History, Hit, Question, Sampling, SearchMode, TopK, Usage,
        VectorWeight, Verdict,
    },
    embedding::{Embedder, MAX_TOKENS},
    generation::{self, Asked, LlmError, OpenAi, Written},
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

/// What rewriting a follow-up question may take of the time for its answer.
const REWRITING: Duration = Duration::from_secs(15);

/// What a caller asks, parsed.
#[derive(Debug, Clone)]
pub struct Query {
    pub question: Question,
    pub top_k: TopK,
    pub mode: SearchMode,
    pub vector_weight: Option<VectorWeight>,
    pub filter: Filter,
    pub history: History,
    /// The caller's own, for the model; it stands below the rules of the service.
    pub instructions: Option<String>,
    pub sampling: Sampling,
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
    /// Why an extractive answer is no generated one; `None`: it is generated, or there was no evidence.
    pub reason: Option<&'static str>,
    /// A question that was understood from the conversation before it.
    pub follow_up: Option<FollowUp>,
}

/// A question as it was asked, and as it was searched for.
#[derive(Debug, Clone)]
pub struct FollowUp {
    pub question: Question,
    pub rewritten: Question,
}

/// Vectors, and the tokens the model read for them.
#[derive(Debug, Clone)]
pub struct EmbeddedTexts {
    pub vectors: Vec<Embedding>,
    pub tokens: usize,
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
    /// The model broke off after the caller had seen a part of its answer.
    #[error("the answer broke off: {0}")]
    Generation(LlmError),
    #[error("text {index} holds {tokens} tokens, at most {limit} are read")]
    TextTooLong { index: usize, tokens: usize, limit: usize },
    #[error("the answer took longer than {} seconds", .0.as_secs_f64())]
    TooSlow(Duration),
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
    /// The whole of a streamed answer.
    pub stream_timeout: Duration,
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
        let deadline = Instant::now() + self.parts.llm_deadline;
        let span = spans::answer(query.mode.as_str(), query.top_k.get());
        let result = self.work_out(query, deadline, &Listener::Nobody).instrument(span.clone()).await;
        result.inspect_err(|error| spans::failure(&span, error))
    }

    /// The same for `listener`, who hears of the passages and of each piece of the answer.
    async fn work_out(
        &self,
        query: &Query,
        deadline: Instant,
        listener: &Listener,
    ) -> Result<Answered, RagError> {
        let start = Instant::now();
        let (rewritten, usage) = self.stand_alone(query, deadline).await;
        let question = rewritten.clone().unwrap_or_else(|| query.question.clone());
        let searched = &Query { question, ..query.clone() };
        let (found, vector) = self.retrieve(searched, true).await?;
        let generating = Instant::now();
        let evidence = generation::evidence(&searched.question, &found.hits);
        let (mut answer, reason) = if evidence >= self.parts.retrieval.min_cosine {
            listener.contexts(&found).await;
            match self.generate(query, &found.hits, deadline, listener).await? {
                Ok(answer) => (answer, None),
                Err(reason) => {
                    let answer = self.extract(searched, &found.hits, vector.as_ref()).await?;
                    listener.delta(answer.text.clone()).await;
                    (answer, Some(reason))
                }
            }
        } else {
            listener.contexts(&Found { hits: Vec::new(), ..found.clone() }).await;
            let answer = generation::no_evidence(&query.question);
            listener.delta(answer.text.clone()).await;
            (answer, None)
        };
        answer.usage = Usage::sum(answer.usage, usage);
        let mode = if answer.model.is_some() { "generative" } else { "extractive" };
        let outcome = outcome(mode, reason, &answer);
        self.parts.metrics.count_answer(&outcome);
        spans::answered(&Span::current(), outcome);
        let timings = Timings { generate: generating.elapsed(), total: start.elapsed(), ..found.timings };
        let follow_up = rewritten.map(|rewritten| FollowUp { question: query.question.clone(), rewritten });
        Ok(Answered { answer, timings, index_version: found.index_version, reason, follow_up })
    }

    /// The question with what it takes from the conversation before it, and what asking the LLM for it used.
    async fn stand_alone(&self, query: &Query, deadline: Instant) -> (Option<Question>, Option<Usage>) {
        if query.history.turns().is_empty() {
            return (None, None);
        }
        let deadline = deadline.min(Instant::now() + REWRITING);
        let llm = self.parts.llm.as_ref();
        let (rewritten, usage) =
            generation::stand_alone(llm, &query.question, &query.history, deadline).await;
        if let Some(usage) = usage {
            self.count_tokens(usage);
        }
        (rewritten, usage)
    }

    fn count_tokens(&self, usage: Usage) {
        let Usage { input_tokens, cached_input_tokens, output_tokens, cost_usd, .. } = usage;
        tracing::info!(input_tokens, cached_input_tokens, output_tokens, cost_usd, "llm answered");
        self.parts.metrics.count_llm_tokens(usage.input_tokens, usage.output_tokens);
        self.parts.metrics.add_llm_cost(usage.cost_usd.unwrap_or_default());
    }

    pub async fn search(&self, query: &Query) -> Result<Found, RagError> {
        let span = spans::passages(query.mode.as_str(), query.top_k.get());
        let found = self.retrieve(query, query.mode != SearchMode::Keyword).instrument(span.clone()).await;
        found.map(|(found, _)| found).inspect_err(|error| spans::failure(&span, error))
    }

    /// Vectors of texts, which must not be longer than the model reads. Many at once give way to questions.
    pub async fn embed_texts(&self, texts: Vec<String>) -> Result<EmbeddedTexts, RagError> {
        let embedder = &self.parts.embedder;
        let mut tokens = 0;
        for (index, text) in texts.iter().enumerate() {
            // Two more mark its ends.
            let count = embedder.tokenizer().count(text)? + 2;
            if count > MAX_TOKENS {
                return Err(RagError::TextTooLong { index, tokens: count, limit: MAX_TOKENS });
            }
            tokens += count;
            tokio::task::yield_now().await;
        }
        let vectors = match texts.len() {
            1 => self.embed("embed.texts", texts).await?,
            _ => embedder.embed_passages(texts).await?,
        };
        Ok(EmbeddedTexts { vectors, tokens })
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

    /// An answer by the LLM, or why there is none; a failure is logged here, where it is handled. Only one
    /// that the listener has heard a part of cannot be made good by other means.
    async fn generate(
        &self,
        query: &Query,
        hits: &[Hit],
        deadline: Instant,
        listener: &Listener,
    ) -> Result<Result<Answer, &'static str>, RagError> {
        let Some(llm) = &self.parts.llm else { return Ok(Err("llm_not_configured")) };
        let start = Instant::now();
        let asked = Asked {
            question: &query.question,
            history: &query.history,
            instructions: query.instructions.as_deref(),
            sampling: query.sampling,
        };
        let (result, heard) = if listener.streams() {
            let mut heard = false;
            let growing = generation::streamed(llm, asked, hits, deadline).await;
            let result = match growing {
                Ok(growing) => listener.hear(growing, &mut heard).await,
                Err(error) => Err(error),
            };
            (result, heard)
        } else {
            (generation::generative(llm, asked, hits, deadline).await, false)
        };
        let metrics = &self.parts.metrics;
        metrics.observe_llm(start.elapsed());
        match result {
            Ok(written) => {
                let answer = self.judged(written).await;
                if let Some(usage) = answer.usage {
                    self.count_tokens(usage);
                }
                metrics.count_llm_request("ok");
                Ok(Ok(answer))
            }
            Err(error) => {
                metrics.count_llm_request(&spans::kind(&error));
                metrics.count_error("llm", &spans::kind(&error));
                if heard {
                    return Err(RagError::Generation(error));
                }
                warn_of(&error, start.elapsed());
                Ok(Err(error.reason()))
            }
        }
    }

    /// The answer with its citations judged: what words leave open, by the similarity of sentence and quote.
    /// Without vectors words have the last say.
    async fn judged(&self, written: Written) -> Answer {
        let texts = written.texts();
        if texts.is_empty() {
            return written.judged(None);
        }
        match self.embed("embed.citations", texts).await {
            Ok(vectors) => {
                let (pairs, _) = vectors.as_chunks::<2>();
                let cosines: Vec<f32> = pairs.iter().map(|[claim, quote]| claim.cosine(quote)).collect();
                written.judged(Some(&cosines))
            }
            Err(_) => written.judged(None),
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

fn outcome(mode: &'static str, reason: Option<&'static str>, answer: &Answer) -> Outcome {
    let grounding = &answer.grounding;
    let count = |verdict| grounding.citations().iter().filter(|citation| citation.verdict == verdict).count();
    Outcome {
        mode,
        reason,
        grounded: answer.is_grounded(),
        evidence: *grounding != Grounding::NoEvidence,
        verdicts: [Verdict::Supported, Verdict::Weak, Verdict::Unsupported].map(count),
    }
}

fn warn_of(error: &LlmError, took: Duration) {
    tracing::warn!(error = %error, duration_ms = took.as_millis() as u64, "llm failed; answering extractively");
}
