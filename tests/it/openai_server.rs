//! A server that speaks the chat completions wire and says what it is told to, and what was asked of it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
};
use rag_api::{
    config::LlmConfig,
    domain::{Answer, History, Hit},
    generation::{LlmError, Message, OpenAi, generative},
};
use serde_json::{Value, json};

use crate::passages::{llm, question};

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
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.into(), delay: Duration::ZERO }
    }

    pub fn json(status: u16, body: Value) -> Self {
        Self::new(status, body.to_string())
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
}

impl Server {
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}/v1", listener.local_addr().unwrap()),
            seen: Arc::default(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
        };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub fn client(&self, change: impl FnOnce(&mut LlmConfig)) -> OpenAi {
        let mut config = llm(self.url.clone(), KEY);
        change(&mut config);
        OpenAi::new(&config).unwrap()
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
    response.body(Body::from(reply.body)).unwrap()
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
    generative(client, &question("How many days of leave?"), &History::default(), hits, soon()).await
}
