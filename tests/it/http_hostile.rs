//! Bodies and bytes that a server on the open internet gets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::http_app::{App, problem};

#[tokio::test]
async fn what_is_wrong_with_a_body_is_named() {
    let app = App::start(&[]).await;
    let long = format!(r#"{{"question": "{}"}}"#, "é".repeat(4_001));
    let deep = format!(r#"{{"filter": {}"#, "[".repeat(100_000));
    let deep_objects = r#"{"filter":"#.repeat(20_000);
    for (body, named) in [
        ("", "empty"),
        ("{", "not JSON"),
        ("nonsense", "JSON object"),
        ("[]", "JSON object"),
        ("{}", "question"),
        (r#"{"question": "q"} trailing"#, "not JSON"),
        (r#"{"question": null}"#, "question"),
        (r#"{"question": ""}"#, "question must not be empty"),
        (r#"{"question": " \n\t "}"#, "question must not be empty"),
        (long.as_str(), "4001"),
        (r#"{"question": 7}"#, "question"),
        (r#"{"question": "\ud800"}"#, "JSON"),
        (r#"{"question": "q", "top_k": 0}"#, "top_k"),
        (r#"{"question": "q", "top_k": 51}"#, "top_k"),
        (r#"{"question": "q", "top_k": 99999999999999999999}"#, "top_k"),
        (r#"{"question": "q", "Question": "q"}"#, "Question"),
        (r#"{"question": "q", "mode": "fuzzy"}"#, "mode"),
        (r#"{"question": "q", "filter": {"colour": ["red"]}}"#, "colour"),
        (r#"{"question": "q", "filter": {"page_number": {"min": -1}}}"#, "filter.page_number.min"),
        (deep.as_str(), "filter"),
        (deep_objects.as_str(), "filter"),
    ] {
        for path in ["/query", "/search"] {
            let problem = problem(app.post(path, body.to_owned()).await, 422, "invalid_request").await;
            let detail = problem["detail"].as_str().unwrap();
            let shown: String = body.chars().take(80).collect();
            assert!(detail.contains(named), "{path} {shown}: {detail}");
            assert!(detail.chars().count() <= 401, "{detail}");
        }
    }
    let bytes = b"{\"question\": \"\xff\xfe\"}".to_vec();
    let problem = problem(app.post("/query", bytes).await, 422, "invalid_request").await;
    assert!(problem["detail"].as_str().unwrap().contains("UTF-8"));
}

#[tokio::test]
async fn a_filter_and_a_history_have_bounds() {
    let app = App::start(&[]).await;
    let many: Vec<String> = (0..101).map(|n| format!("\"{n}\"")).collect();
    let body = format!(r#"{{"question": "q", "filter": {{"tags": [{}]}}}}"#, many.join(","));
    let filter = problem(app.post("/search", body).await, 422, "invalid_request").await;
    assert!(filter["detail"].as_str().unwrap().contains("filter"));
    let turns = vec![r#"{"role": "user", "content": "c"}"#; 21].join(",");
    let body = format!(r#"{{"question": "q", "history": [{turns}]}}"#);
    let history = problem(app.post("/query", body).await, 422, "invalid_request").await;
    assert!(history["detail"].as_str().unwrap().contains("history"));
}

#[tokio::test]
async fn the_type_of_the_body_may_be_absent_but_not_wrong() {
    let app = App::start(&[]).await;
    let request = || app.client.post(app.url("/query")).body(r#"{"question": ""}"#);
    let absent = problem(request().send().await.unwrap(), 422, "invalid_request").await;
    assert!(absent["detail"].as_str().unwrap().contains("question"), "{absent}");
    let form = request().header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let form = problem(form, 422, "invalid_request").await;
    assert!(form["detail"].as_str().unwrap().contains("Content-Type: application/json"), "{form}");
    let packed = request().header("content-encoding", "gzip").send().await.unwrap();
    problem(packed, 422, "invalid_request").await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_and_the_refusal_arrives() {
    let app = App::start(&[("MAX_BODY_BYTES", "2048")]).await;
    for bytes in [2_049, 100_000, 8 << 20] {
        let body = format!(r#"{{"question": "{}"}}"#, "a".repeat(bytes));
        problem(app.post("/query", body).await, 413, "payload_too_large").await;
    }
    // Without an announced length, too.
    let chunks = (0..64).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 1_024]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    problem(app.post("/search", body).await, 413, "payload_too_large").await;
    // At the limit it is read, and judged for what it says.
    let mut body = r#"{"question": ""}"#.to_owned();
    body.push_str(&" ".repeat(2_048 - body.len()));
    problem(app.post("/query", body).await, 422, "invalid_request").await;
}

#[tokio::test]
async fn a_sender_that_asks_first_is_refused_before_it_sends() {
    let app = App::start(&[("MAX_BODY_BYTES", "2048")]).await;
    let head = "POST /query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n";
    let reply = raw(&app, head.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
}

#[tokio::test]
async fn malformed_bytes_end_the_connection_and_nothing_else() {
    let app = App::start(&[]).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n\r\nrubbish\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /query HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let reply = raw(&app, bytes).await;
        let refused = reply.is_empty() || reply.starts_with("HTTP/1.1 4") || reply.starts_with("HTTP/1.0 4");
        assert!(refused, "{:?} got {reply}", String::from_utf8_lossy(bytes));
    }
    let mut head = b"GET /health HTTP/1.1\r\nHost: x\r\n".to_vec();
    for n in 0..20_000 {
        head.extend_from_slice(format!("x-{n}: aaaaaaaaaaaaaaaa\r\n").as_bytes());
    }
    let reply = raw(&app, &head).await;
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 431"), "{reply}");
    assert_eq!(app.get("/health").await.status(), 200);
}

/// Sends bytes as they are; what comes back until the server closes or half a second passes.
async fn raw(app: &App, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    // The server may have closed before everything is written.
    let _ = stream.write_all(bytes).await;
    let mut reply = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut reply)).await;
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test]
async fn a_body_limit_above_the_frameworks_own_holds() {
    let app = App::start(&[("MAX_BODY_BYTES", "8388608")]).await;
    let body = serde_json::json!({"question": "x".repeat(3 << 20)}).to_string();
    let problem = problem(app.post("/query", body).await, 422, "invalid_request").await;
    assert!(problem["detail"].as_str().unwrap().contains("characters"), "{problem}");
}
