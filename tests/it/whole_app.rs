//! The shipped application over the sample documents: real model, real index, real HTTP.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Json, Router, routing::post};
use rag_api::{
    app,
    config::{Config, EnvReader},
    http::{router, serve},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::model_dir;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

fn binary(index: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rag-api"));
    command.env("INDEX_DIR", index).env("MODEL_DIR", model_dir()).stdin(Stdio::null());
    command
}

fn ingest(index: &Path) {
    let output = binary(index).arg("ingest").arg(data()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the application with these variables besides the places; its address.
async fn start(index: &Path, variables: &[(&str, &str)]) -> String {
    let model = model_dir();
    let places = [("MODEL_DIR", model.to_str().unwrap()), ("INDEX_DIR", index.to_str().unwrap())];
    let config =
        Config::read(EnvReader::from_pairs(places.into_iter().chain(variables.iter().copied()))).unwrap();
    let state = app::state(&config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(state), std::future::pending(), Duration::from_secs(1)));
    address
}

async fn ask(url: &str, path: &str, body: Value) -> (u16, Value) {
    let reply = reqwest::Client::new().post(format!("{url}{path}")).json(&body).send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

/// Every citation's quote stands in its context where the offsets say.
fn assert_citations_hold(body: &Value) {
    let contexts = body["contexts"].as_array().unwrap();
    for citation in body["citations"].as_array().unwrap() {
        let context = contexts.iter().find(|context| context["id"] == citation["context_id"]).unwrap();
        let content: Vec<char> = context["content"].as_str().unwrap().chars().collect();
        let (start, end) =
            (citation["start"].as_u64().unwrap() as usize, citation["end"].as_u64().unwrap() as usize);
        assert_eq!(content[start..end].iter().collect::<String>(), citation["quote"].as_str().unwrap());
        let marker = format!("[{}]", citation["number"]);
        assert!(body["answer"].as_str().unwrap().contains(&marker), "{marker} is not in the answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_documents_answer_with_citations_that_hold() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path());
    let url = start(dir.path(), &[]).await;
    assert_eq!(reqwest::get(format!("{url}/ready")).await.unwrap().status(), 200);
    for (question, wanted) in [
        ("How many characters may a question have?", "4,000"),
        ("Which exit code means wrong usage?", "2"),
        ("質問は最大で何文字ですか", "4000"),
        ("一个问题最多可以有多少个字符？", "4000"),
    ] {
        let (status, body) = ask(&url, "/query", json!({"question": question})).await;
        assert_eq!(status, 200);
        let answer = body["answer"].as_str().unwrap();
        assert!(answer.contains(wanted), "{question}: {answer}");
        assert_eq!(
            (&body["metadata"]["grounded"], &body["metadata"]["mode"]),
            (&json!(true), &json!("extractive"))
        );
        assert!(!body["citations"].as_array().unwrap().is_empty());
        assert_eq!(body["contexts"].as_array().unwrap().len(), 3);
        assert_citations_hold(&body);
    }
    let paged = json!({"question": "How long may requests take to finish after SIGTERM?", "top_k": 5,
                       "filter": {"source": ["operations-guide.pdf"], "page_number": {"min": 1}}});
    let (_, body) = ask(&url, "/query", paged).await;
    assert!(body["citations"][0]["page_number"].as_u64().is_some(), "{body}");
    assert!(
        body["contexts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|context| context["source"] == "operations-guide.pdf")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_evidence_is_not_answered_and_search_shows_every_mode() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path());
    let url = start(dir.path(), &[]).await;
    for (question, start) in [
        ("What is the boundary layer thickness of a slender wing?", "There is not enough evidence"),
        ("梅雨はいつ始まりますか", "登録"),
        ("谁发明了电话？", "已收录"),
    ] {
        let (status, body) = ask(&url, "/query", json!({"question": question})).await;
        assert_eq!((status, &body["metadata"]["grounded"]), (200, &json!(false)), "{body}");
        assert!(body["answer"].as_str().unwrap().starts_with(start), "{body}");
        assert!(body["citations"].as_array().unwrap().is_empty());
    }
    for mode in ["hybrid", "vector", "keyword"] {
        let (status, body) =
            ask(&url, "/search", json!({"question": "reciprocal rank fusion", "mode": mode, "top_k": 4}))
                .await;
        assert_eq!(status, 200);
        let scores: Vec<f64> =
            body["contexts"].as_array().unwrap().iter().map(|c| c["score"].as_f64().unwrap()).collect();
        assert_eq!(scores.len(), 4);
        assert!(scores.is_sorted_by(|a, b| a >= b), "{mode}: {scores:?}");
        assert!(body["metadata"]["index_version"].as_str().unwrap().starts_with("local-"));
    }
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    for name in [
        "http_requests_total",
        "http_request_duration_seconds",
        "search_duration_seconds",
        "embedding_duration_seconds",
        "llm_duration_seconds",
        "llm_tokens_total",
        "process_resident_memory_bytes",
        "embedding_queue_depth",
        "index_chunks",
    ] {
        assert!(metrics.contains(name), "{name} is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_becomes_ready_when_another_process_ingests() {
    let dir = tempfile::tempdir().unwrap();
    let url = start(dir.path(), &[]).await;
    let ready = reqwest::get(format!("{url}/ready")).await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("rag-api ingest"));
    let (status, body) = ask(&url, "/query", json!({"question": "anything?"})).await;
    assert_eq!((status, &body["code"]), (503, &json!("retrieval_unavailable")));
    ingest(dir.path());
    for _ in 0..50 {
        if reqwest::get(format!("{url}/health/ready")).await.unwrap().status() == 200 {
            let (status, _) =
                ask(&url, "/query", json!({"question": "How many passages can I ask for?"})).await;
            assert_eq!(status, 200);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not ready within 5 s of the ingestion");
}

/// An OpenAI-compatible server that always says `text`.
async fn llm(text: &'static str) -> String {
    let reply = move || async move {
        Json(
            json!({"model": "fake-1", "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}),
        )
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(reply));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_answers_and_its_citations_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path());
    let base =
        llm("A question may have at most 4,000 characters [1]. It was invented on the moon [9].").await;
    let variables =
        [("OPENAI_BASE_URL", base.as_str()), ("OPENAI_MODEL", "fake"), ("OPENAI_PRICES", "*=1/10")];
    let url = start(dir.path(), &variables).await;
    let (_, body) =
        ask(&url, "/query", json!({"question": "How many characters may a question have?"})).await;
    assert_eq!(
        (&body["metadata"]["mode"], &body["metadata"]["model"]),
        (&json!("generative"), &json!("fake-1"))
    );
    assert_eq!(body["metadata"]["usage"]["total_tokens"], 120);
    assert!((body["metadata"]["usage"]["cost_usd"].as_f64().unwrap() - 0.0003).abs() < 1e-9);
    assert!(!body["answer"].as_str().unwrap().contains("[9]"), "a marker that points nowhere stays: {body}");
    assert_eq!(body["citations"][0]["verdict"], "supported");
    assert_citations_hold(&body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_language_model_out_of_reach_leaves_an_extractive_answer() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path());
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let base = format!("http://{nobody}/v1");
    let variables =
        [("OPENAI_BASE_URL", base.as_str()), ("OPENAI_MODEL", "fake"), ("OPENAI_MAX_RETRIES", "0")];
    let url = start(dir.path(), &variables).await;
    let (status, body) =
        ask(&url, "/query", json!({"question": "How many characters may a question have?"})).await;
    assert_eq!((status, &body["metadata"]["mode"]), (200, &json!("extractive")), "{body}");
    assert!(body["answer"].as_str().unwrap().contains("4,000"));
}

#[test]
fn the_server_process_serves_stops_and_keeps_questions_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let log = dir.path().join("log");
    let mut server = binary(dir.path())
        .arg("serve")
        .env("PORT", &port)
        .env("HOST", "127.0.0.1")
        .env("LOG_FORMAT", "json")
        .env("RUST_LOG", "trace")
        .stdout(std::fs::File::create(&log).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let healthy =
        || binary(dir.path()).arg("healthcheck").env("PORT", &port).output().unwrap().status.success();
    let up = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        healthy()
    });
    if up {
        let body = json!({"question": "How many zanzibar characters may a question have?"}).to_string();
        let curl = Command::new("curl")
            .args(["-s", "--max-time", "20", "-H", "content-type: application/json", "-d", &body])
            .arg(format!("http://127.0.0.1:{port}/query"))
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&curl.stdout).contains("4,000"));
    }
    Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    let status = server.wait().unwrap();
    let output = server.wait_with_output().unwrap();
    assert!(up, "the server did not come up: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(status.code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    assert!(log.contains("question_hash") && !log.contains("zanzibar"), "the question is in the log");
}

#[test]
fn commands_print_results_to_stdout_and_check_names_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let check = binary(dir.path()).arg("check").output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains("failed  index"));
    ingest(dir.path());
    assert!(binary(dir.path()).arg("check").output().unwrap().status.success());
    let run = |arguments: &[&str]| {
        let output = binary(dir.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["query", "How many passages can I ask for?"]).contains("50"));
    let body: Value =
        serde_json::from_str(&run(&["query", "How many passages can I ask for?", "--json"])).unwrap();
    assert_citations_hold(&body);
    let found: Value =
        serde_json::from_str(&run(&["search", "exit codes", "--mode", "keyword", "--json"])).unwrap();
    assert_eq!(found["contexts"].as_array().unwrap().len(), 3);
    let status: Value = serde_json::from_str(&run(&["index", "status", "--json"])).unwrap();
    assert!(status["chunks"].as_u64().unwrap() > 20);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let report = dir.path().join("quality.json");
    let lines = run(&[
        "evaluate",
        golden.to_str().unwrap(),
        "--report",
        report.to_str().unwrap(),
        "--min-ndcg10",
        "0.85",
    ]);
    assert!(lines.contains("hybrid"));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert!(report["modes"]["hybrid"]["ndcg@10"].as_f64().unwrap() > 0.85);
    run(&["index", "clear"]);
    assert!(run(&["index", "delete"]).contains("removed"));
}
