//! OpenAI's own clients against the shipped application.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    openai_server::{Reply, Server, success},
    programs::{node, python},
    sample_app::{App, QUESTION},
};

fn passed(output: std::process::Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    assert!(last.ends_with("calls passed, 0 failed"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_works_unmodified() {
    let Some(python) = python("openai-python", &[&["openai==3.54.0"]]) else { return };
    let app = App::start(None, &[]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openai_client.py");
    let url = format!("{}/v1", app.url);
    let run = move || Command::new(python).arg(script).arg(url).output().unwrap();
    passed(tokio::task::spawn_blocking(run).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_node_client_fetch_and_eventsource_work_unmodified() {
    let Some(dir) = node("openai-node", &["openai@7.57.0", "eventsource@5.1.5"]) else { return };
    let app = App::start(None, &[]).await;
    // Node looks for packages beside the script.
    let script = dir.join("openai_client.mjs");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openai_client.mjs"), &script).unwrap();
    let url = app.url.clone();
    let run = move || Command::new("node").arg(script).arg(url).output().unwrap();
    passed(tokio::task::spawn_blocking(run).await.unwrap());
}

async fn complete(app: &App, body: Value) -> reqwest::Response {
    let url = format!("{}/v1/chat/completions", app.url);
    reqwest::Client::new().post(url).json(&body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_says_reaches_the_model_and_its_tokens_are_told() {
    let llm = Server::start([success("A question may have 4,000 characters [1].")]).await;
    let more = [("OPENAI_STRUCTURED_OUTPUT", "off"), ("OPENAI_PRICES", "*=1/10")];
    let app = App::start(Some(&llm), &more).await;
    let messages = json!([{"role": "system", "content": "Speak plainly."}, {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"}, {"role": "user", "content": QUESTION}]);
    let body = json!({"model": "any", "messages": messages, "max_tokens": 77, "temperature": 0.5});
    let reply: Value = complete(&app, body).await.json().await.unwrap();
    assert_eq!(reply["model"], "test-model-2026");
    assert_eq!(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 48, "rewriting counts too");
    assert_eq!(
        (&reply["usage"]["total_tokens"], &reply["choices"][0]["finish_reason"]),
        (&json!(220), &json!("stop"))
    );
    assert!((reply["rag"]["metadata"]["usage"]["cost_usd"].as_f64().unwrap() - 0.0004).abs() < 1e-9);
    assert!(reply["rag"].get("answer").is_none());
    let sent = llm.bodies().pop().unwrap();
    assert_eq!((&sent["max_completion_tokens"], &sent["temperature"]), (&json!(77), &json!(0.5)));
    let text = sent["messages"].to_string();
    assert!(text.contains("Speak plainly.") && text.contains("Hello"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_says_so_as_openai_does_and_has_no_done() {
    let mut reply = Reply { broken: true, ..Reply::stream(&["Half an"]) };
    reply.pieces.truncate(1);
    let llm = Server::start([reply]).await;
    let app = App::start(Some(&llm), &[]).await;
    let body = json!({"model": "any", "stream": true, "messages": [{"role": "user", "content": QUESTION}]});
    let text = complete(&app, body).await.text().await.unwrap();
    let last: Value = serde_json::from_str(text.trim().rsplit("data: ").next().unwrap()).unwrap();
    assert_eq!(
        (&last["error"]["type"], &last["error"]["code"]),
        (&json!("server_error"), &json!("generation_failed"))
    );
    assert!(!text.contains("[DONE]"));
}
