//! Streamed answers of the shipped application: order, speed, failures, readers that are slow or gone.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    openai_server::{Reply, Server},
    sample_app::{App, QUESTION, Seen, names, read, text},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_the_model_arrive_as_they_come_and_the_citations_at_the_end() {
    let words = ["A question", " may have 4,000", " characters [1].", " More [9]."];
    let pause = Duration::from_millis(150);
    let llm = Server::start([Reply { pause, ..Reply::stream(&words) }]).await;
    let app = App::start(Some(&llm), &[("OPENAI_PRICES", "test-model-2026=1/10")]).await;
    let seen = app.ask().await;
    assert_eq!(names(&seen), ["contexts", "delta", "done"]);
    assert_eq!(seen[0].data["contexts"].as_array().unwrap().len(), 3);
    assert!(text(&seen).starts_with("A question may have 4,000 characters [1]."), "{}", text(&seen));
    assert!(!text(&seen).contains("[9]"), "{}", text(&seen));
    let deltas: Vec<&Seen> = seen.iter().filter(|event| event.name == "delta").collect();
    assert!(deltas[0].at - seen[0].at >= pause / 2, "the passages came no sooner than the words");
    assert!(deltas[1].at - deltas[0].at >= pause / 2, "the words came together");
    let done = &seen.last().unwrap().data;
    assert_eq!(done["citations"][0]["number"], 1);
    let metadata = &done["metadata"];
    assert_eq!((&metadata["mode"], &metadata["model"]), (&json!("generative"), &json!("test-model-2026")));
    assert_eq!(metadata["finish_reason"], "stop");
    assert!((metadata["usage"]["cost_usd"].as_f64().unwrap() - 0.0002).abs() < 1e-9);
    let sent = &llm.bodies()[0];
    assert_eq!((&sent["stream"], &sent["stream_options"]["include_usage"]), (&json!(true), &json!(true)));

    // The same answer whole.
    llm.script.lock().unwrap()[0] = crate::openai_server::success(&words.concat());
    let whole: Value = app.post(json!({"question": QUESTION})).await.json().await.unwrap();
    assert_eq!(whole["answer"], text(&seen).trim_end());
    assert_eq!(whole["citations"], done["citations"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_asks_for_events_and_an_eventsource_can_get_them_once() {
    let app = App::start(None, &[]).await;
    let client = reqwest::Client::new();
    let accept = |request: reqwest::RequestBuilder| request.header("accept", "text/event-stream");
    let posted = accept(client.post(format!("{}/query", app.url)).json(&json!({"question": QUESTION})));
    let seen = read(posted.send().await.unwrap()).await;
    assert_eq!(names(&seen), ["contexts", "delta", "done"]);
    assert_eq!(seen.last().unwrap().data["metadata"]["reason"], "llm_not_configured");

    let get = |query: &str| accept(client.get(format!("{}/query?{query}", app.url)));
    let seen = read(
        get("question=How%20many%20characters%20may%20a%20question%20have%3F&top_k=2").send().await.unwrap(),
    )
    .await;
    assert_eq!(seen[0].data["contexts"].as_array().unwrap().len(), 2);
    let again = get("question=x").header("last-event-id", "0123").send().await.unwrap();
    assert_eq!(again.status(), 204);
    for wrong in ["", "question=", "question=x&topk=3", "question=x&top_k=99"] {
        let refused = get(wrong).send().await.unwrap();
        assert_eq!(refused.status(), 422, "{wrong}");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "invalid_request");
    }
    let plain =
        client.post(format!("{}/query", app.url)).json(&json!({"question": QUESTION, "stream": false}));
    let plain = accept(plain).send().await.unwrap();
    assert_eq!(plain.headers()["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_evidence_and_one_without_an_index_end_as_they_do_without_a_stream() {
    let llm = Server::start([Reply::stream(&["x"])]).await;
    let app = App::start(Some(&llm), &[]).await;
    let body = json!({"question": "What is the boundary layer thickness of a slender wing?", "stream": true});
    let seen = read(app.post(body).await).await;
    assert_eq!(names(&seen), ["contexts", "delta", "done"]);
    assert!(text(&seen).starts_with("There is not enough evidence"), "{}", text(&seen));
    assert_eq!((&seen[2].data["metadata"]["grounded"], llm.count()), (&json!(false), 0));

    let nowhere = App::start(None, &[("INDEX_DIR", "/nonexistent")]).await;
    let head = app.post(json!({"question": QUESTION, "stream": true})).await;
    assert_eq!(head.headers()["x-accel-buffering"], "no");
    let refused = nowhere.post(json!({"question": QUESTION, "stream": true})).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_first_word_is_tried_again_and_then_answered_by_sentences() {
    let busy = Reply::json(503, json!({"error": {"message": "busy"}}));
    let early = Reply { pieces: vec![], broken: true, ..Reply::stream(&[]) };
    let within = Reply {
        pieces: vec!["data: {\"error\":{\"code\":503,\"message\":\"x\"}}\n\n".into()],
        ..Reply::stream(&[])
    };
    for first in [busy.clone(), early, within] {
        let llm = Server::start([first, Reply::stream(&["Yes [1]."])]).await;
        let app = App::start(Some(&llm), &[]).await;
        let seen = app.ask().await;
        assert_eq!((text(&seen).as_str(), llm.count()), ("Yes [1].", 2));
    }
    let llm = Server::start([busy]).await;
    let app = App::start(Some(&llm), &[]).await;
    let seen = app.ask().await;
    assert!(text(&seen).contains("4,000"), "{}", text(&seen));
    let metadata = &seen.last().unwrap().data["metadata"];
    assert_eq!((&metadata["mode"], &metadata["reason"]), (&json!("extractive"), &json!("llm_unavailable")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_ends_with_an_error_and_is_not_tried_again() {
    let mut reply = Reply { broken: true, pause: Duration::from_millis(20), ..Reply::stream(&["Half an"]) };
    reply.pieces.truncate(1);
    let llm = Server::start([reply]).await;
    let app = App::start(Some(&llm), &[]).await;
    let seen = app.ask().await;
    assert_eq!(names(&seen), ["contexts", "delta", "error"]);
    let problem = &seen.last().unwrap().data["problem"];
    assert_eq!((&problem["code"], &problem["status"]), (&json!("generation_failed"), &json!(502)));
    assert_eq!(llm.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_limit_and_a_silent_model_at_its_own() {
    let endless = Reply { pause: Duration::from_millis(50), ..Reply::stream(&["word "; 400]) };
    let llm = Server::start([endless]).await;
    let app = App::start(Some(&llm), &[("STREAM_TIMEOUT_SECONDS", "2")]).await;
    let begun = Instant::now();
    let seen = app.ask().await;
    assert_eq!(seen.last().unwrap().name, "error", "{:?}", seen.last());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    let mut silent = Reply { pause: Duration::from_millis(10), ..Reply::stream(&["word "]) };
    silent.pieces.truncate(1);
    silent.pieces.push(String::new());
    let slow = Server::start([Reply { delay: Duration::from_secs(30), ..silent }]).await;
    let app = App::start(Some(&slow), &[("OPENAI_TIMEOUT_SECONDS", "1"), ("OPENAI_MAX_RETRIES", "0")]).await;
    let seen = app.ask().await;
    assert_eq!(seen.last().unwrap().data["metadata"]["reason"], "llm_timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_leaves_stops_the_model_and_frees_its_place() {
    let endless = Reply { pause: Duration::from_millis(20), ..Reply::stream(&["word "; 5_000]) };
    let llm = Server::start([endless]).await;
    let app = App::start(Some(&llm), &[("MAX_CONCURRENT_REQUESTS", "20")]).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut response = app.post(json!({"question": QUESTION, "stream": true})).await;
        response.chunk().await.unwrap();
        readers.push(response);
    }
    let full = app.post(json!({"question": QUESTION, "stream": true})).await;
    assert_eq!(full.status().as_u16(), 503);
    // The contexts arrive before the model is asked.
    let deadline = Instant::now() + Duration::from_secs(5);
    while llm.open.load(Ordering::SeqCst) < 20 {
        assert!(Instant::now() < deadline, "{} streams are open", llm.open.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(readers);
    let deadline = Instant::now() + Duration::from_secs(5);
    while llm.open.load(Ordering::SeqCst) > 0 {
        assert!(Instant::now() < deadline, "{} streams go on", llm.open.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gone = r#"http_requests_total{method="POST",route="/query",status="499"} 20"#;
    while !app.metric(gone).await || !app.metric("http_requests_in_flight 1").await {
        assert!(Instant::now() < deadline, "the requests are not over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut again = app.post(json!({"question": QUESTION, "stream": true})).await;
    assert_eq!(again.status(), 200);
    again.chunk().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_does_not_read_makes_the_model_wait() {
    let word = "word ".repeat(2_000);
    let many = vec![word.as_str(); 2_000];
    let llm = Server::start([Reply::stream(&many)]).await;
    let app = App::start(Some(&llm), &[]).await;
    let mut response = app.post(json!({"question": QUESTION, "stream": true})).await;
    response.chunk().await.unwrap();
    let sent = async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        llm.sent.load(Ordering::SeqCst)
    };
    let mut before = sent().await;
    loop {
        let now = sent().await;
        if now == before {
            break;
        }
        before = now;
    }
    // 10 kB a piece: what is under way stays in the buffers of three sockets.
    assert!(before < 1_500, "{before} pieces are somewhere on the way");
}
