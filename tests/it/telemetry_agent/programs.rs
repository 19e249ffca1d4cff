//! The programs of these tests: Datadog's test agent, the server under test, an LLM that can fail.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::{Value, json};

use crate::support::model_dir;

/// Every check of the test agent that needs no particular tracer.
const CHECKS: &str = "trace_count_header,meta_tracer_version_header,trace_content_length,trace_stall,\
                      meta_events_is_valid_json";

/// Ends with its owner.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Datadog's own test agent, on ports of its own.
pub struct Agent {
    _process: Running,
    pub url: String,
    pub otlp_url: String,
}

impl Agent {
    /// `None`, said loudly, where it cannot be installed.
    pub async fn start(dir: &Path) -> Option<Self> {
        let program = tokio::task::spawn_blocking(installed).await.unwrap()?;
        let [port, otlp, grpc] = [free_port(), free_port(), free_port()].map(|port| port.to_string());
        let process = Command::new(program)
            .args(["-p", &port, "--otlp-http-port", &otlp, "--otlp-grpc-port", &grpc])
            .args(["--disable-llmobs-data-forwarding", "--web-ui-port", "0"])
            .env("ENABLED_CHECKS", CHECKS)
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let [url, otlp_url] = [port, otlp].map(|port| format!("http://127.0.0.1:{port}"));
        let agent = Self { _process: Running(process), url, otlp_url };
        let patience = Instant::now() + Duration::from_secs(60);
        while reqwest::get(format!("{}/info", agent.url)).await.is_err() {
            assert!(Instant::now() < patience, "the test agent does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(agent)
    }

    pub async fn get(&self, path: &str) -> Value {
        let reply = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        let text = reply.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    /// All spans received.
    pub async fn spans(&self) -> Vec<Value> {
        let traces = self.get("/test/session/traces").await;
        traces.as_array().unwrap().iter().flat_map(|trace| trace.as_array().unwrap().clone()).collect()
    }
}

/// The binary, over this index, with logs as JSON at their loudest.
pub fn program(index: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rag-api"));
    command
        .env("INDEX_DIR", index)
        .env("MODEL_DIR", model_dir())
        .env("LOG_FORMAT", "json")
        .env("RUST_LOG", "trace")
        .env("PORT", "0")
        .env("HOST", "127.0.0.1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

/// A server of ours and what it wrote so far.
pub struct Server {
    process: Running,
    pub url: String,
    written: Arc<Mutex<String>>,
}

impl Server {
    pub async fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let written = Arc::new(Mutex::new(String::new()));
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        for stream in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
            let written = Arc::clone(&written);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut written = written.lock().unwrap();
                    written.push_str(&line);
                    written.push('\n');
                }
            });
        }
        let mut server = Self { process: Running(process), url: String::new(), written };
        let patience = Instant::now() + Duration::from_secs(60);
        while server.url.is_empty() {
            assert!(Instant::now() < patience, "it does not start:\n{}", server.written());
            tokio::time::sleep(Duration::from_millis(50)).await;
            let lines = server.lines();
            let listening = lines.iter().find(|line| line["message"] == "listening");
            server.url = listening
                .map_or(String::new(), |line| format!("http://{}", line["address"].as_str().unwrap()));
        }
        server
    }

    pub fn written(&self) -> String {
        self.written.lock().unwrap().clone()
    }

    /// Each line must be one JSON object.
    pub fn lines(&self) -> Vec<Value> {
        let written = self.written();
        let whole = &written[..written.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    pub async fn ask(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Reply {
        let mut request = reqwest::Client::new().post(format!("{}{path}", self.url)).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = request.send().await.unwrap();
        let trace = reply.headers()["x-trace-id"].to_str().unwrap().to_owned();
        Reply { status: reply.status().as_u16(), trace, body: reply.json().await.unwrap() }
    }

    /// Asks and goes away before the reply; waits until the server saw that.
    pub async fn leave(&self, path: &str, body: Value) {
        let client = reqwest::Client::builder().timeout(Duration::from_millis(700)).build().unwrap();
        let gone = client.post(format!("{}{path}", self.url)).json(&body).send().await;
        assert!(gone.is_err(), "it answered");
        let patience = Instant::now() + Duration::from_secs(10);
        while !self.lines().iter().any(|line| line["message"] == "client went away") {
            assert!(Instant::now() < patience, "it did not see that the client went away");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it as a platform does; how long that took.
    pub async fn stop(&mut self) -> Duration {
        let start = Instant::now();
        let pid = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        while self.process.0.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(30), "it does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub trace: String,
    pub body: Value,
}

/// An LLM that fails or takes its time when the prompt says so, and keeps the headers it was sent.
pub async fn llm(answer: &'static str) -> (String, Arc<Mutex<Vec<HeaderMap>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let complete = move |headers: HeaderMap, body: String| async move {
        keep.lock().unwrap().push(headers);
        if body.contains("please wait") {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        if body.contains("please break") {
            return (StatusCode::BAD_REQUEST, Json(json!({"error": {"code": "model_not_found"}})));
        }
        let message = json!({"role": "assistant", "content": answer});
        (
            StatusCode::OK,
            Json(json!({
                "model": "answered-model",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
            })),
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(complete));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// From a virtual environment, made once and kept under `target`.
fn installed() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("ddapm-test-agent");
    let ready = dir.join("ready");
    // Several tests may come here at once, from several processes.
    let lock = File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&dir);
        let made = Command::new("python3").args(["-m", "venv"]).arg(&dir).output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: python3 makes no virtual environment");
            return None;
        }
        let pip = ["-m", "pip", "install", "--quiet", "ddapm-test-agent==1.69.1"];
        let output = Command::new(dir.join("bin/python")).args(pip).output().unwrap();
        if !output.status.success() {
            eprintln!(
                "SKIPPED: pip cannot install ddapm-test-agent: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            return None;
        }
        File::create(ready).unwrap();
    }
    Some(dir.join("bin/ddapm-test-agent"))
}
