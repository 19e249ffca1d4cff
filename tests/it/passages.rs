//! Hits and configurations for tests of the generation room.

use std::time::Duration;

use rag_api::{
    config::{LlmApi, LlmAuth, LlmConfig, PriceTable},
    domain::{Chunk, ChunkId, History, Hit, Question, Sampling},
    generation::Asked,
    telemetry::Metrics,
};

pub fn hit(source: &str, content: &str) -> Hit {
    let chunk = Chunk {
        id: ChunkId(source.to_owned()),
        source: source.to_owned(),
        title: None,
        content: content.to_owned(),
        page_number: Some(3),
        chunk_index: 0,
        content_hash: String::new(),
        language: Some("en".to_owned()),
        tags: Vec::new(),
        created_at: "2026-01-01T00:00:00Z".to_owned(),
    };
    Hit { chunk, score: 0.03, cosine: Some(0.6), caption: None }
}

pub fn question(text: &str) -> Question {
    Question::parse(text).unwrap()
}

pub fn llm(base_url: String, api_key: &str) -> LlmConfig {
    LlmConfig {
        base_url,
        api: LlmApi::Chat,
        auth: LlmAuth::Bearer(api_key.to_owned().into()),
        model: "test-model".to_owned(),
        prompt_tokens: LlmConfig::DEFAULT_PROMPT_TOKENS,
        max_output_tokens: None,
        temperature: None,
        reasoning_effort: None,
        verbosity: None,
        structured: false,
        timeout: Duration::from_secs(5),
        max_retries: 2,
        prices: PriceTable::default(),
    }
}

pub fn metrics() -> Metrics {
    Metrics::new("0", "0", None).unwrap()
}

/// A question and its conversation, with nothing else said.
pub fn asked<'a>(question: &'a Question, history: &'a History) -> Asked<'a> {
    Asked { question, history, instructions: None, sampling: Sampling::default() }
}
