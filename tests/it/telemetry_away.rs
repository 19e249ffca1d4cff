//! Telemetry with other receivers: OpenTelemetry's, none, and Agents that refuse or hang.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::telemetry_agent::{
    WHO, documents,
    programs::{Agent, Server, free_port, program},
};

fn ingested(dir: &Path) -> PathBuf {
    let index = dir.join("index");
    let output = program(&index, &[("RUST_LOG", "warn")]).arg("ingest").arg(documents(dir)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    index
}

async fn serve(index: &Path, variables: &[(&str, &str)]) -> Server {
    let mut command = program(index, &[("RUST_LOG", "info")]);
    command.envs(WHO).envs(variables.iter().copied()).arg("serve");
    Server::start(command).await
}

fn question() -> Value {
    json!({"question": "How many days of annual leave do employees receive?"})
}

/// Takes connections, counts them, and never says a word.
async fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Relaxed);
            open.push(stream);
        }
    });
    (url, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opentelemetry_receiver_gets_traces_and_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let Some(agent) = Agent::start(dir.path()).await else { return };
    let index = ingested(dir.path());
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", agent.otlp_url.as_str()), ("DD_METRICS_OTEL_ENABLED", "true")];
    let mut server = serve(&index, &variables).await;
    let reply = server.ask("/query", question(), &[]).await;
    assert_eq!(reply.status, 200);
    let took = server.stop().await;
    assert!(took < Duration::from_secs(4), "stopping took {took:?}");
    let metrics = reqwest::get(format!("{}/test/session/metrics", agent.otlp_url)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for name in ["http_requests_total", "embedding_duration_seconds", "build_info", "rag-test"] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    let traces =
        reqwest::get(format!("{}/test/session/traces", agent.otlp_url)).await.unwrap().text().await.unwrap();
    for name in ["POST /query", "rag.answer", "embed.query", "search.hybrid", "embed.sentences"] {
        assert!(traces.contains(name), "{name} is not in {traces}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_refuses_or_hangs_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let index = ingested(dir.path());
    let refusing = format!("http://127.0.0.1:{}", free_port());
    let (hanging, connections) = silent().await;
    for url in [&refusing, &hanging] {
        for name in ["DD_TRACE_AGENT_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            let mut variables = vec![(name, url.as_str())];
            if name.starts_with("OTEL") {
                variables.push(("DD_METRICS_OTEL_ENABLED", "true"));
            }
            let mut server = serve(&index, &variables).await;
            // Long enough for a flush to fail, which takes the tracer three seconds.
            let start = Instant::now();
            let mut asked = 0;
            while start.elapsed() < Duration::from_secs(5) {
                assert_eq!(server.ask("/search", question(), &[]).await.status, 200);
                asked += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let took = server.stop().await;
            assert!(took < Duration::from_secs(5), "stopping took {took:?}");
            let lines = server.lines();
            let loud: Vec<_> = lines.iter().filter(|line| line["status"] != "info").collect();
            assert!(loud.is_empty(), "{loud:?}");
            let access = lines.iter().filter(|line| line["http"]["status_code"] == 200).count();
            assert_eq!(access, asked);
            println!("{name}={url}: {asked} requests, {} lines, stopped in {took:?}", lines.len());
        }
    }
    assert!(connections.load(Relaxed) > 0, "nobody called the one that hangs");
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_is_sent_and_the_log_keeps_its_ids() {
    let dir = tempfile::tempdir().unwrap();
    let index = ingested(dir.path());
    let (url, connections) = silent().await;
    let addresses = [("DD_TRACE_AGENT_URL", url.as_str()), ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    let mut variables = vec![("DD_TRACE_ENABLED", "false"), ("DD_METRICS_OTEL_ENABLED", "true")];
    variables.extend(addresses);
    variables.push(("TRACE_INCOMING", "new"));
    let mut server = serve(&index, &variables).await;
    let stranger = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = server.ask("/query", question(), &[("traceparent", stranger)]).await;
    assert_eq!(reply.status, 200);
    assert_ne!(reply.trace, stranger[3..35], "a stranger chose the trace");
    server.stop().await;
    assert_eq!(connections.load(Relaxed), 0);
    let lines = server.lines();
    let access: Vec<_> = lines.iter().filter(|line| line["http"]["status_code"] == 200).collect();
    assert_eq!(access.len(), 1);
    assert_eq!(access[0]["dd"]["trace_id"], reply.trace.as_str());
    assert!(access[0]["dd"]["span_id"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(
        (&access[0]["http"]["method"], &access[0]["http"]["route"]),
        (&json!("POST"), &json!("/query"))
    );
    assert!(access[0]["duration"].as_u64().unwrap() > 1_000);
}
