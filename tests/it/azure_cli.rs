//! The commands against the emulated service, as an operator types them.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use rag_api::{
    app,
    config::{Config, EnvReader},
    http::{router, serve},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{emulated::Emulator, support::model_dir};

fn run(emulator: &Emulator, index: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rag-api"));
    command.args(arguments).env("MODEL_DIR", model_dir()).envs(emulator.variables());
    command.env("AZURE_SEARCH_INDEX_NAME", index).output().unwrap()
}

/// The output of a command that must succeed.
fn done(emulator: &Emulator, index: &str, arguments: &[&str]) -> String {
    let output = run(emulator, index, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The complaint of a command that must fail.
fn refused(emulator: &Emulator, index: &str, arguments: &[&str]) -> String {
    let output = run(emulator, index, arguments);
    assert!(!output.status.success(), "{arguments:?} did not fail");
    String::from_utf8(output.stderr).unwrap()
}

fn status(emulator: &Emulator, index: &str) -> Value {
    serde_json::from_str(&done(emulator, index, &["index", "status", "--json"])).unwrap()
}

fn data() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").to_string_lossy().into_owned()
}

#[test]
fn every_verb_works_with_nothing_but_the_variables() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(dir.path(), &[]);
    assert!(refused(&emulator, "ragdocs", &["index", "status"]).contains("there is no index"));
    let check = run(&emulator, "ragdocs", &["check"]);
    assert!(
        !check.status.success()
            && String::from_utf8_lossy(&check.stdout).contains("failed  index: ragdocs at")
    );
    assert!(done(&emulator, "ragdocs", &["index", "create"]).contains("made the index ragdocs"));
    assert!(done(&emulator, "ragdocs", &["index", "create"]).contains("already"));
    done(&emulator, "ragdocs", &["ingest", &data()]);
    let first = status(&emulator, "ragdocs");
    assert!(first["chunks"].as_u64().unwrap() > 50 && first["problem"].is_null(), "{first}");

    let again = run(&emulator, "ragdocs", &["ingest", &data()]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("(10 unchanged), 0 new chunks"));
    assert_eq!(status(&emulator, "ragdocs")["version"], first["version"], "nothing was written");
    assert!(done(&emulator, "ragdocs", &["check"]).contains("ok      index: ragdocs at http://127.0.0.1"));
    let answer = done(&emulator, "ragdocs", &["query", "Which exit code means wrong usage?"]);
    assert!(answer.contains("Exit code 2"), "{answer}");
    let hits =
        done(&emulator, "ragdocs", &["search", "exit codes", "--source", "operations-guide.pdf", "--json"]);
    let hits: Value = serde_json::from_str(&hits).unwrap();
    assert!(hits["contexts"].as_array().unwrap().iter().all(|hit| hit["source"] == "operations-guide.pdf"));

    done(&emulator, "ragdocs", &["index", "clear"]);
    assert_eq!(status(&emulator, "ragdocs")["chunks"], 0);
    assert!(done(&emulator, "ragdocs", &["index", "delete"]).contains("removed"));
    assert!(done(&emulator, "ragdocs", &["index", "delete"]).contains("there is no index"));
}

#[test]
fn shards_together_are_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(dir.path(), &[]);
    done(&emulator, "whole", &["ingest", &data()]);
    for shard in ["1/3", "2/3", "3/3"] {
        done(&emulator, "parts", &["ingest", &data(), "--shard", shard]);
        // A shard that prunes leaves the others' sources alone.
        done(&emulator, "parts", &["ingest", &data(), "--shard", shard, "--prune"]);
    }
    assert_eq!(status(&emulator, "whole")["chunks"], status(&emulator, "parts")["chunks"]);
}

#[test]
fn a_rebuild_switches_the_alias_when_the_new_index_is_good_and_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(dir.path(), &[]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").to_string_lossy().into_owned();
    let rebuild = ["index", "rebuild", &data(), "--evaluate", &golden, "--min-ndcg10"];
    let target = || status(&emulator, "live")["alias_of"].as_str().map(str::to_owned);

    let said = done(&emulator, "live", &[rebuild.as_slice(), &["0.85"]].concat());
    assert!(said.contains("hybrid") && said.contains("the alias live now points to live-"), "{said}");
    let first = target().unwrap();
    std::thread::sleep(Duration::from_millis(1_100));

    let said = refused(&emulator, "live", &[rebuild.as_slice(), &["0.999"]].concat());
    assert!(said.contains("below 0.999") && said.contains("is unchanged"), "{said}");
    assert_eq!(target().unwrap(), first);
    std::thread::sleep(Duration::from_millis(1_100));

    let said = done(&emulator, "live", &["index", "rebuild", &data()]);
    let second = target().unwrap();
    assert!(second != first && said.contains(&format!("index switch {first}")), "{said}");
    assert!(refused(&emulator, "live", &["index", "delete", "--name", &second]).contains("in use"));
    done(&emulator, "live", &["index", "switch", &first]);
    assert_eq!(target().unwrap(), first);
    assert!(refused(&emulator, "live", &["index", "switch", "no-such-index"]).contains("not switched"));
    done(&emulator, "live", &["index", "delete", "--name", &second]);
    assert!(
        done(&emulator, "live", &["query", "Which exit code means wrong usage?"]).contains("Exit code 2")
    );

    done(&emulator, "plain", &["index", "create"]);
    assert!(refused(&emulator, "plain", &["index", "rebuild", &data()]).contains("plain-live"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_the_service_says_how_it_fares() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(dir.path(), &[]);
    let endpoint = emulator.endpoint.clone();
    let model = model_dir().to_string_lossy().into_owned();
    let variables = [
        ("AZURE_SEARCH_ENDPOINT", endpoint.as_str()),
        // Reading is all it needs.
        ("AZURE_SEARCH_QUERY_KEY", crate::emulated::QUERY_KEY),
        ("AZURE_SEARCH_DEADLINE_SECONDS", "2"),
        ("AZURE_SEARCH_TIMEOUT_SECONDS", "1"),
        ("MODEL_DIR", &model),
    ];
    let config = Config::read(EnvReader::from_pairs(variables)).unwrap();
    let state = app::state(&config).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router(state), std::future::pending(), Duration::from_secs(1)));
    let ready = || async {
        let reply = reqwest::get(format!("{url}/ready")).await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let ask = || async {
        let body = json!({"question": "Which exit code means wrong usage?"});
        let reply = reqwest::Client::new().post(format!("{url}/query")).json(&body).send().await.unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    assert_eq!(ready().await.0, 503);
    tokio::task::block_in_place(|| done(&emulator, "ragdocs", &["ingest", &data()]));
    let mut now = ready().await;
    for _ in 0..100 {
        if now.0 == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        now = ready().await;
    }
    assert!(now.0 == 200 && now.1.contains(r#""azure_search":"closed""#), "{now:?}");
    let (status, body) = ask().await;
    assert_eq!((status, &body["metadata"]["grounded"]), (200, &json!(true)), "{body}");
    assert!(body["metadata"]["index_version"].as_str().unwrap().starts_with("azure-ragdocs-"));

    drop(emulator);
    for _ in 0..4 {
        let (status, body) = ask().await;
        assert_eq!((status, &body["code"]), (503, &json!("retrieval_unavailable")), "{body}");
        assert!(!body.to_string().contains("127.0.0.1"), "{body}");
    }
    let (status, text) = ready().await;
    assert!(status == 503 && text.contains("search service is unavailable"), "{text}");
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"upstream_breaker_state{upstream="azure_search"} 2"#), "{metrics}");
}
