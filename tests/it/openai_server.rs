//! A server that speaks the chat completions wire and says what it is told to, and what was asked of it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
};
use futures_util::{StreamExt, stream};
use rag_api::{
    config::LlmConfig,
    domain::{Answer, History, Hit},
    generation::{LlmError, Message, OpenAi, generative},
};
use serde_json::{Value, json};

use crate::passages::{asked, llm, metrics, question};

pub const KEY: &str = "sk-test-4711";

/// One request as the server saw it.
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
    pub at: Instant,
}

/// One reply of the script; the last one is given for ever.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
    /// Sent behind the body one by one, each after this pause.
    pub pieces: Vec<String>,
    pub pause: Duration,
    /// The connection breaks instead of ending.
    pub broken: bool,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        let (delay, pause) = (Duration::ZERO, Duration::ZERO);
        Self { status, headers, body: body.into(), delay, pieces: Vec::new(), pause, broken: false }
    }

    pub fn json(status: u16, body: Value) -> Self {
        Self::new(status, body.to_string())
    }

    /// A stream of chat completions: these words, then the reason, the usage and `[DONE]`.
    pub fn stream(words: &[&str]) -> Self {
        let chunk = |choices: Value| {
            let chunk = json!({"object": "chat.completion.chunk", "model": "test-model-2026", "choices": choices, "usage": null});
            format!("data: {chunk}\n\n")
        };
        let delta = |delta: Value, reason: Value| {
            chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]))
        };
        let first = delta(json!({"role": "assistant", "content": null}), Value::Null);
        let mut pieces: Vec<String> =
            words.iter().map(|word| delta(json!({"content": word}), Value::Null)).collect();
        pieces.push(delta(json!({}), json!("stop")));
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}});
        pieces.push(format!("data: {usage}\n\n"));
        pieces.push("data: [DONE]\n\n".to_owned());
        Self { pieces, ..Self::new(200, first) }.header("content-type", "text/event-stream")
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Clone)]
pub struct Server {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub script: Arc<Mutex<VecDeque<Reply>>>,
    /// Streams under way, and pieces of streams sent.
    pub open: Arc<AtomicUsize>,
    pub sent: Arc<AtomicUsize>,
}

/// Counts a stream for as long as somebody listens.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}/v1", listener.local_addr().unwrap()),
            seen: Arc::default(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            open: Arc::default(),
            sent: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub fn client(&self, change: impl FnOnce(&mut LlmConfig)) -> OpenAi {
        let mut config = llm(self.url.clone(), KEY);
        change(&mut config);
        OpenAi::new(&config, metrics()).unwrap()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn bodies(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|seen| seen.body.clone()).collect()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    server.seen.lock().unwrap().push(Seen {
        method,
        path: uri.to_string(),
        headers,
        body,
        at: Instant::now(),
    });
    let reply = {
        let mut script = server.script.lock().unwrap();
        if script.len() > 1 { script.pop_front().unwrap() } else { script[0].clone() }
    };
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    if reply.pieces.is_empty() && !reply.broken {
        return response.body(Body::from(reply.body)).unwrap();
    }
    server.open.fetch_add(1, Ordering::SeqCst);
    let first = stream::once(async move { Ok(Bytes::from(reply.body)) });
    let state = (Open(server.open), server.sent, reply.pieces.into_iter(), reply.broken);
    let rest = stream::unfold(state, move |(open, sent, mut pieces, broken)| async move {
        tokio::time::sleep(reply.pause).await;
        sent.fetch_add(1, Ordering::SeqCst);
        match pieces.next() {
            Some(piece) => Some((Ok(Bytes::from(piece)), (open, sent, pieces, broken))),
            None if broken => Some((Err(std::io::Error::other("broken")), (open, sent, pieces, false))),
            None => None,
        }
    });
    response.body(Body::from_stream(first.chain(rest))).unwrap()
}

pub fn success(text: &str) -> Reply {
    Reply::json(
        200,
        json!({"id": "c", "object": "chat.completion", "model": "test-model-2026", "timings": {"x": 1},
               "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
               "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
                         "prompt_tokens_details": {"cached_tokens": 24}}}),
    )
}

pub fn messages() -> Vec<Message> {
    vec![Message { role: "user", content: "Hello".to_owned() }]
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub async fn ask(client: &OpenAi, hits: &[Hit]) -> Result<Answer, LlmError> {
    let question = question("How many days of leave?");
    let written = generative(client, asked(&question, &History::default()), hits, soon()).await;
    written.map(|written| written.judged(None))
}
