//! The bodies of `/query` and `/search` as they go over the wire.

use std::time::Duration;

use axum::{
    Json,
    http::HeaderName,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    domain::{Answer, Hit, Question, Usage},
    rag::{Answered, Found, Timings},
    telemetry::TraceId,
};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

#[derive(Serialize)]
pub struct QueryReply {
    answer: String,
    contexts: Vec<ContextFields>,
    #[serde(flatten)]
    tail: AnswerTail,
}

/// What is known of an answer only when it is complete.
#[derive(Serialize)]
pub struct AnswerTail {
    citations: Vec<CitationFields>,
    metadata: AnswerMetadata,
}

#[derive(Serialize)]
pub struct SearchReply {
    contexts: Vec<ContextFields>,
    metadata: SearchMetadata,
}

#[derive(Serialize)]
pub struct ContextFields {
    id: String,
    source: String,
    /// An `f32` written with the digits of an `f64`, as Azure AI Search writes scores.
    score: f64,
    content: String,
    page_number: Option<u32>,
    chunk_index: u32,
    title: Option<String>,
}

#[derive(Serialize)]
struct CitationFields {
    number: usize,
    context_id: String,
    source: String,
    page_number: Option<u32>,
    quote: String,
    start: usize,
    end: usize,
    verdict: &'static str,
}

#[derive(Serialize)]
struct AnswerMetadata {
    mode: &'static str,
    /// Why an extractive answer is no generated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    grounded: bool,
    /// Share of the answer's sentences that have a citation which holds.
    support: f64,
    /// Markers of the model that pointed nowhere.
    removed_markers: usize,
    /// Links, images, addresses and tags of the model that no passage has.
    removed_links: usize,
    model: Option<String>,
    finish_reason: Option<String>,
    /// As it was asked, where it was understood from the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<String>,
    /// As it was searched for then.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten_question: Option<String>,
    trace_id: String,
    index_version: String,
    usage: Option<UsageFields>,
    timings_ms: Milliseconds,
}

#[derive(Serialize)]
struct SearchMetadata {
    timings_ms: Milliseconds,
    trace_id: String,
    index_version: String,
}

#[derive(Serialize)]
struct UsageFields {
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
    cost_usd: Option<f64>,
}

#[derive(Serialize)]
struct Milliseconds {
    embed: f64,
    search: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<f64>,
    total: f64,
}

impl QueryReply {
    pub fn new(mut answered: Answered, trace_id: TraceId) -> Self {
        let answer = std::mem::take(&mut answered.answer.text);
        let contexts = answered.answer.contexts.clone();
        Self {
            answer,
            contexts: contexts.into_iter().map(ContextFields::from).collect(),
            tail: AnswerTail::new(answered, trace_id),
        }
    }
}

impl AnswerTail {
    pub fn new(answered: Answered, trace_id: TraceId) -> Self {
        let Answered { answer, timings, index_version, reason, follow_up } = answered;
        let text = |question: &Question| question.as_str().to_owned();
        Self {
            citations: citations(&answer),
            metadata: AnswerMetadata {
                mode: if answer.model.is_some() { "generative" } else { "extractive" },
                reason,
                grounded: answer.is_grounded(),
                support: (f64::from(answer.support) * 1e3).round() / 1e3,
                removed_markers: answer.removed.markers,
                removed_links: answer.removed.links,
                model: answer.model,
                finish_reason: answer.finish_reason,
                question: follow_up.as_ref().map(|follow_up| text(&follow_up.question)),
                rewritten_question: follow_up.as_ref().map(|follow_up| text(&follow_up.rewritten)),
                trace_id: trace_id.to_string(),
                index_version,
                usage: answer.usage.map(UsageFields::from),
                timings_ms: Milliseconds::of_answer(&timings),
            },
        }
    }
}

impl IntoResponse for QueryReply {
    fn into_response(self) -> Response {
        ([(SERVER_TIMING, self.tail.metadata.timings_ms.header())], Json(self)).into_response()
    }
}

impl SearchReply {
    pub fn new(found: Found, trace_id: TraceId) -> Self {
        Self {
            contexts: found.hits.into_iter().map(ContextFields::from).collect(),
            metadata: SearchMetadata {
                timings_ms: Milliseconds::of_search(&found.timings),
                trace_id: trace_id.to_string(),
                index_version: found.index_version,
            },
        }
    }
}

impl IntoResponse for SearchReply {
    fn into_response(self) -> Response {
        ([(SERVER_TIMING, self.metadata.timings_ms.header())], Json(self)).into_response()
    }
}

fn citations(answer: &Answer) -> Vec<CitationFields> {
    let fields = |citation: &crate::domain::Citation| {
        let chunk = &answer.contexts.get(citation.context)?.chunk;
        Some(CitationFields {
            number: citation.number,
            context_id: chunk.id.to_string(),
            source: chunk.source.clone(),
            page_number: chunk.page_number,
            quote: citation.quote.clone(),
            start: citation.start,
            end: citation.end,
            verdict: citation.verdict.as_str(),
        })
    };
    answer.grounding.citations().iter().filter_map(fields).collect()
}

impl From<Hit> for ContextFields {
    fn from(hit: Hit) -> Self {
        Self {
            id: hit.chunk.id.0,
            source: hit.chunk.source,
            score: f64::from(hit.score),
            content: hit.chunk.content,
            page_number: hit.chunk.page_number,
            chunk_index: hit.chunk.chunk_index,
            title: hit.chunk.title,
        }
    }
}

impl From<Usage> for UsageFields {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            total_tokens: usage.total_tokens,
            cost_usd: usage.cost_usd,
        }
    }
}

impl Milliseconds {
    fn of_search(timings: &Timings) -> Self {
        Self {
            embed: milliseconds(timings.embed),
            search: milliseconds(timings.search),
            generate: None,
            total: milliseconds(timings.total),
        }
    }

    fn of_answer(timings: &Timings) -> Self {
        Self { generate: Some(milliseconds(timings.generate)), ..Self::of_search(timings) }
    }

    /// As the Server-Timing specification of the W3C writes durations: milliseconds.
    fn header(&self) -> String {
        let generate = self.generate.map(|ms| format!("generate;dur={ms}, ")).unwrap_or_default();
        format!("embed;dur={}, search;dur={}, {generate}total;dur={}", self.embed, self.search, self.total)
    }
}

/// To the microsecond: more digits would be noise.
pub fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::{Chunk, ChunkId, Citation, Grounding, Removed, Verdict};

    fn hit() -> Hit {
        let chunk = Chunk {
            id: ChunkId("c-1".into()),
            source: "a.pdf".into(),
            title: Some("T".into()),
            content: "Tea is hot.".into(),
            page_number: Some(4),
            chunk_index: 2,
            content_hash: String::new(),
            language: None,
            tags: Vec::new(),
            created_at: String::new(),
        };
        Hit { chunk, score: 1.0 / 30.0, cosine: Some(0.5), caption: None }
    }

    fn timings() -> Timings {
        let ms = Duration::from_millis;
        Timings { embed: ms(9), search: Duration::from_nanos(1_234_567), generate: ms(0), total: ms(11) }
    }

    #[test]
    fn an_answer_has_exactly_the_fields_of_the_contract() {
        let citation = |context| Citation {
            number: 1,
            context,
            quote: "Tea is hot".into(),
            start: 0,
            end: 10,
            verdict: Verdict::Supported,
        };
        let answer = Answer {
            text: "Tea is hot.[1]".into(),
            contexts: vec![hit()],
            // The second points nowhere and must not take the reply down.
            grounding: Grounding::Cited(vec![citation(0), citation(9)]),
            support: 1.0,
            removed: Removed { markers: 1, links: 0 },
            model: None,
            finish_reason: None,
            usage: Some(Usage { input_tokens: 1, output_tokens: 2, total_tokens: 3, ..Usage::default() }),
        };
        let trace_id = TraceId::random();
        let answered = Answered {
            answer,
            timings: timings(),
            index_version: "v7".into(),
            reason: Some("llm_timeout"),
            follow_up: None,
        };
        let reply = serde_json::to_value(QueryReply::new(answered, trace_id)).unwrap();
        let expected = json!({
            "answer": "Tea is hot.[1]",
            "contexts": [{
                "id": "c-1", "source": "a.pdf", "score": f64::from(1.0_f32 / 30.0), "content": "Tea is hot.",
                "page_number": 4, "chunk_index": 2, "title": "T"
            }],
            "citations": [{
                "number": 1, "context_id": "c-1", "source": "a.pdf", "page_number": 4,
                "quote": "Tea is hot", "start": 0, "end": 10, "verdict": "supported"
            }],
            "metadata": {
                "mode": "extractive", "reason": "llm_timeout", "grounded": true, "support": 1.0, "removed_markers": 1, "removed_links": 0, "model": null, "finish_reason": null,
                "trace_id": trace_id.to_string(), "index_version": "v7",
                "usage": {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 2, "total_tokens": 3, "cost_usd": null},
                "timings_ms": {"embed": 9.0, "search": 1.235, "generate": 0.0, "total": 11.0}
            }
        });
        assert_eq!(reply, expected);
    }

    #[test]
    fn a_search_says_the_same_times_in_its_header_and_generates_nothing() {
        let found = Found { hits: vec![hit()], timings: timings(), index_version: "v7".into() };
        let reply = SearchReply::new(found, TraceId::random());
        let value = serde_json::to_value(&reply).unwrap();
        assert_eq!(value["metadata"]["timings_ms"], json!({"embed": 9.0, "search": 1.235, "total": 11.0}));
        let response = reply.into_response();
        assert_eq!(response.headers()[SERVER_TIMING], "embed;dur=9, search;dur=1.235, total;dur=11");
    }
}
