//! What surrounds a handler, over real connections, with handlers that misbehave on purpose.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    Ended, assemble, body::Strict, middleware::Gate, problem::Problem, query::note_question,
    request::QueryRequest, serve::serve_with,
};
use crate::{
    config::{Config, EnvReader, ServerConfig, ServiceInfo},
    telemetry::{Metrics, logs::JsonLines},
};

struct Server {
    address: SocketAddr,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn config() -> Config {
    Config::read(EnvReader::from_pairs([])).unwrap()
}

async fn start(server: ServerConfig, grace: Duration, head_timeout: Duration) -> Server {
    let metrics = Metrics::new("0", "0", None).unwrap();
    let light = Router::new().route("/health", get(|| async { "ok" })).route(
        "/panic",
        get(|| async {
            if true {
                panic!("on purpose")
            }
        }),
    );
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        "done"
    };
    let heavy = Router::new()
        .route("/slow", get(slow))
        .route("/forever", get(|| async { std::future::pending::<()>().await }))
        .route(
            "/ask",
            post(|Strict(request): Strict<QueryRequest>| async {
                let query = request.parse()?;
                note_question(&query.question);
                Err::<(), _>(Problem::internal(Some("the disk is gone".into())))
            }),
        );
    let router = assemble(light, heavy, Gate::new(&server, metrics.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let ended = tokio::spawn(serve_with(listener, router, shutdown, grace, head_timeout));
    Server { address, metrics, stop, ended }
}

async fn default_server() -> Server {
    start(config().server, Duration::from_secs(5), Duration::from_secs(5)).await
}

#[tokio::test]
async fn one_request_too_many_is_shed_at_once_while_health_answers() {
    let server = start(
        ServerConfig { max_concurrency: 2, ..config().server },
        Duration::from_secs(5),
        Duration::from_secs(5),
    )
    .await;
    let client = reqwest::Client::new();
    let running: Vec<_> = (0..2).map(|_| tokio::spawn(client.get(server.url("/slow")).send())).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    let shed = client.get(server.url("/slow")).send().await.unwrap();
    assert_eq!((shed.status().as_u16(), &shed.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(shed.json::<Value>().await.unwrap()["code"], "overloaded");
    let health = client.get(server.url("/health")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    for request in running {
        assert_eq!(request.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(client.get(server.url("/slow")).send().await.unwrap().status(), 200, "places come back");
}

#[tokio::test]
async fn a_request_without_end_is_answered_504() {
    let server = ServerConfig { request_timeout: Duration::from_millis(150), ..config().server };
    let server = start(server, Duration::from_secs(5), Duration::from_secs(5)).await;
    let reply = reqwest::get(server.url("/forever")).await.unwrap();
    assert_eq!(reply.status(), 504);
    assert_eq!(reply.json::<Value>().await.unwrap()["code"], "timeout");
}

#[tokio::test]
async fn a_panic_ends_its_request_alone() {
    let server = default_server().await;
    for _ in 0..3 {
        let reply = reqwest::get(server.url("/panic")).await.unwrap();
        assert_eq!(reply.status(), 500);
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        let body = reply.text().await.unwrap();
        assert!(body.contains("\"internal\"") && !body.contains("on purpose"), "{body}");
    }
    assert_eq!(reqwest::get(server.url("/health")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_shutdown_lets_the_running_request_finish_and_takes_no_new_one() {
    let server = default_server().await;
    // An idle connection must not hold the shutdown up.
    let _idle = TcpStream::connect(server.address).await.unwrap();
    let client = reqwest::Client::new();
    let running = tokio::spawn(client.get(server.url("/slow")).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "no longer listening");
    let reply = running.await.unwrap().unwrap();
    assert_eq!(reply.text().await.unwrap(), "done");
    assert_eq!(server.ended.await.unwrap(), Ended::Finished);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_grace_has_an_end() {
    let server = start(config().server, Duration::from_millis(200), Duration::from_secs(5)).await;
    let request = tokio::spawn(reqwest::get(server.url("/forever")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    server.stop.send(()).unwrap();
    assert_eq!(server.ended.await.unwrap(), Ended::Cut(1));
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_off() {
    let server = start(config().server, Duration::from_secs(5), Duration::from_millis(200)).await;
    for start_of_head in [&b""[..], b"G", b"PRI * HTTP/2.0\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start_of_head).await.unwrap();
        let mut reply = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut reply)).await;
        assert!(end.is_ok(), "still open after {start_of_head:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place_and_is_counted() {
    let server = ServerConfig { max_concurrency: 1, ..config().server };
    let server = start(server, Duration::from_secs(5), Duration::from_secs(5)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /forever HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reqwest::get(server.url("/slow")).await.unwrap().status(), 503);
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reqwest::get(server.url("/slow")).await.unwrap().status(), 200);
    let text = server.metrics.render().unwrap();
    assert!(text.contains(r#"http_requests_total{method="GET",route="/forever",status="499"} 1"#), "{text}");
    assert!(text.contains("http_requests_in_flight 0"), "{text}");
}

#[tokio::test]
async fn the_log_has_hash_length_and_cause_but_never_the_question() {
    let sink = Arc::new(Mutex::new(Vec::new()));
    let service = ServiceInfo { env: "test".into(), ..config().service };
    let writer = sink.clone();
    let layer = JsonLines::new(&service, move || Tee(writer.clone()));
    // This runtime has one thread, so that the server's tasks log to the same subscriber.
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let server = default_server().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for body in [
        r#"{"question": "Xylophone plans?"}"#,
        r#"{"question": {"Xylophone": 1}}"#,
        r#"{"question": 3, "Xylophone": 1}"#,
        r#"{"question": "q", "mode": "Xylophone"}"#,
        "Xylophone",
    ] {
        let reply = reqwest::Client::new()
            .post(server.url("/ask"))
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(reply.headers()["x-trace-id"], trace);
    }
    let log = String::from_utf8(sink.lock().unwrap().clone()).unwrap();
    assert!(!log.to_lowercase().contains("xylophone"), "{log}");
    let ours = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours: Vec<Value> =
        ours.filter(|line| line["trace_id"] == trace && line["http"]["status_code"].is_number()).collect();
    assert_eq!(ours.len(), 5, "one line a request:\n{log}");
    let failed = ours.iter().find(|line| line["http"]["status_code"] == 500).unwrap();
    assert_eq!(failed["status"], "error");
    assert_eq!(failed["error"], serde_json::json!({"kind": "internal", "message": "the disk is gone"}));
    assert_eq!((&failed["http"]["route"], &failed["dd"]["trace_id"]), (&"/ask".into(), &trace.into()));
    assert_eq!(failed["question_chars"], 16);
    assert_eq!(failed["question_hash"].as_str().unwrap().len(), 16);
    assert!(failed["duration_ms"].is_number());
}

struct Tee(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
