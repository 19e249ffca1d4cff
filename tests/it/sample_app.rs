//! The shipped application over the sample documents, in this process, and how its streams are read.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use rag_api::{
    app,
    config::{Config, EnvReader},
    http::{router, serve},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{openai_server::Server, support::model_dir};

pub const QUESTION: &str = "How many characters may a question have?";

/// One event as a reader sees it, and when.
#[derive(Debug)]
pub struct Seen {
    pub name: String,
    pub data: Value,
    pub at: Instant,
}

pub struct App {
    pub url: String,
    _index: tempfile::TempDir,
}

impl App {
    /// The application over the sample documents, with this LLM.
    pub async fn start(llm: Option<&Server>, more: &[(&str, &str)]) -> Self {
        let index = tempfile::tempdir().unwrap();
        let path = index.path().to_str().unwrap().to_owned();
        tokio::task::spawn_blocking(move || ingest(Path::new(&path))).await.unwrap();
        let model = model_dir();
        let mut variables = vec![
            ("MODEL_DIR", model.to_str().unwrap()),
            ("INDEX_DIR", index.path().to_str().unwrap()),
            ("OPENAI_MODEL", "test-model"),
            ("OPENAI_MAX_RETRIES", "1"),
        ];
        variables.extend(llm.map(|llm| ("OPENAI_BASE_URL", llm.url.as_str())));
        variables.extend(more);
        let config = Config::read(EnvReader::from_pairs(variables)).unwrap();
        let state = app::state(&config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, router(state), std::future::pending(), Duration::from_secs(1)));
        Self { url, _index: index }
    }

    pub async fn post(&self, body: Value) -> reqwest::Response {
        reqwest::Client::new().post(format!("{}/query", self.url)).json(&body).send().await.unwrap()
    }

    pub async fn ask(&self) -> Vec<Seen> {
        read(self.post(json!({"question": QUESTION, "stream": true})).await).await
    }

    pub async fn metric(&self, line: &str) -> bool {
        let text = reqwest::get(format!("{}/metrics", self.url)).await.unwrap().text().await.unwrap();
        text.lines().any(|other| other == line)
    }
}

fn ingest(index: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let output = Command::new(env!("CARGO_BIN_EXE_rag-api"))
        .env("INDEX_DIR", index)
        .env("MODEL_DIR", model_dir())
        .arg("ingest")
        .arg(data)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub async fn read(response: reqwest::Response) -> Vec<Seen> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-cache");

    let (mut bytes, mut text, mut seen) = (response.bytes_stream(), String::new(), Vec::new());
    while let Some(chunk) = bytes.next().await {
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                let data = serde_json::from_str(data).unwrap();
                seen.push(Seen { name: name.to_owned(), data, at: Instant::now() });
            }
            text = rest.to_owned();
        }
    }
    seen
}

pub fn names(seen: &[Seen]) -> Vec<&str> {
    let mut names: Vec<&str> = seen.iter().map(|event| event.name.as_str()).collect();
    names.dedup();
    names
}

pub fn text(seen: &[Seen]) -> String {
    seen.iter().filter_map(|event| event.data["text"].as_str()).collect()
}
