//! The routes as a well-behaved client sees them.

use std::time::Duration;

use serde_json::Value;

use super::http_app::{App, problem};

#[tokio::test]
async fn health_says_who_is_alive() {
    let app = App::start(&[("SERVICE_NAME", "svc"), ("BUILD_SHA", "abc"), ("ENV_NAME", "test")]).await;
    let reply = app.get("/health").await;
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let body: Value = reply.json().await.unwrap();
    assert_eq!((&body["status"], &body["service"]), (&"ok".into(), &"svc".into()));
    assert_eq!((&body["build_sha"], &body["env"]), (&"abc".into(), &"test".into()));
    assert!(body["version"].is_string() && body["image_tag"].is_string());
}

#[tokio::test]
async fn the_healthcheck_command_believes_it() {
    let address = App::start(&[]).await.address;
    let ask = move || rag_api::cli::healthcheck::ask(address.ip(), address.port(), Duration::from_secs(2));
    tokio::task::spawn_blocking(ask).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_root_names_the_model() {
    let body: Value = App::start(&[]).await.get("/").await.json().await.unwrap();
    assert_eq!(body["embedding_model"], "sentence-transformers/all-MiniLM-L6-v2");
    assert_eq!(body["embedding_dimension"], 384);
}

#[tokio::test]
async fn an_unknown_route_is_a_problem() {
    let app = App::start(&[]).await;
    for path in ["/nope", "/search/", "/%ff", "//health", "/health/../etc"] {
        problem(app.get(path).await, 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let app = App::start(&[("MAX_CONCURRENT_REQUESTS", "1")]).await;
    let reply = app.get("/search").await;
    assert_eq!(reply.headers()["allow"], "POST");
    let body = problem(reply, 405, "method_not_allowed").await;
    assert!(body["detail"].as_str().unwrap().contains("Allow"));
    problem(app.post("/health", "{}").await, 405, "method_not_allowed").await;
    let head = app.client.head(app.url("/health")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.text().await.unwrap(), "");
    let head = app.client.head(app.url("/search")).send().await.unwrap();
    assert_eq!(head.status(), 405);
}

#[tokio::test]
async fn a_trace_id_comes_from_the_caller_or_is_made() {
    let app = App::start(&[]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let sent = |value: String| app.client.get(app.url("/nope")).header("traceparent", value).send();
    let body =
        problem(sent(format!("00-{trace}-00f067aa0ba902b7-01")).await.unwrap(), 404, "not_found").await;
    assert_eq!(body["trace_id"], trace);
    let body = problem(sent(format!("00-{trace}-xyz-01")).await.unwrap(), 404, "not_found").await;
    assert_ne!(body["trace_id"], trace);
    assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn metrics_count_by_route_and_not_by_path() {
    let app = App::start(&[]).await;
    app.get("/health").await;
    for path in ["/a", "/b", "/c?d=e"] {
        app.get(path).await;
    }
    let reply = app.get("/metrics").await;
    assert!(reply.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = reply.text().await.unwrap();
    for line in [
        r#"http_requests_total{method="GET",route="/health",status="200"} 1"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"} 3"#,
        "embedding_queue_depth 0",
        "index_chunks 0",
        "process_resident_memory_bytes",
        "http_request_duration_seconds_count",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
