//! The chat client by its wire: exact request, refusal, silence, rubbish.

use std::time::{Duration, Instant};

use axum::http::Method;
use rag_api::{
    config::{LlmAuth, LlmConfig, PriceTable},
    domain::{Grounding, History, Hit, Role, Turn, Verdict},
    generation::{Form, LlmError, OpenAi, generative},
};
use serde_json::json;

use crate::{
    openai_server::{KEY, Reply, Server, ask, messages, soon, success},
    passages::{asked, hit, llm, metrics, question},
};

#[tokio::test]
async fn the_request_is_exactly_this_and_the_answer_is_checked() {
    let server = Server::start([success("Employees get 25 days of leave [1]. See 【1】 and [7].")]).await;
    let client = server.client(|config| {
        config.max_output_tokens = Some(500);
        config.reasoning_effort = Some("low".into());
        config.verbosity = Some("low".into());
        config.prices = PriceTable::parse("test-model=2/1/10").unwrap();
    });
    let history = History::parse(vec![
        Turn { role: Role::User, content: "Hi".into() },
        Turn { role: Role::Assistant, content: "Hello".into() },
    ])
    .unwrap();
    let hits = [hit("handbook.pdf", "All employees get 25 days of annual leave. Lunch is free.")];
    let answer = generative(&client, asked(&question("How many days?"), &history), &hits, soon())
        .await
        .unwrap()
        .judged(None);

    assert_eq!(answer.text, "Employees get 25 days of leave [1]. See [1] and.");
    assert_eq!(
        (answer.model.as_deref(), answer.finish_reason.as_deref()),
        (Some("test-model-2026"), Some("stop"))
    );
    let usage = answer.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.total_tokens), (100, 10, 110));
    assert!((usage.cost_usd.unwrap() - 0.000_276).abs() < 1e-9);
    let citation = &answer.grounding.citations()[0];
    assert_eq!((citation.number, citation.start, citation.end), (1, 0, 42));
    assert_eq!(citation.quote, "All employees get 25 days of annual leave.");
    assert_eq!(citation.verdict, Verdict::Supported);

    let seen = server.seen.lock().unwrap();
    let [request] = seen.as_slice() else { panic!("{} requests", seen.len()) };
    assert_eq!((&request.method, request.path.as_str()), (&Method::POST, "/v1/chat/completions"));
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("authorization"), Some(format!("Bearer {KEY}")));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(header("accept").as_deref(), Some("application/json"));
    assert_eq!(header("user-agent"), Some(format!("rag-api/{}", env!("CARGO_PKG_VERSION"))));
    let mut body = request.body.clone();
    let sent = body["messages"].take();
    assert_eq!(
        body,
        json!({"model": "test-model", "messages": null, "max_completion_tokens": 500,
               "reasoning_effort": "low", "verbosity": "low"})
    );
    let roles: Vec<_> =
        sent.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    let user = sent[3]["content"].as_str().unwrap();
    assert!(
        user.contains("| source: handbook.pdf | page: 3\nAll employees")
            && user.ends_with("Question: How many days?")
    );
}

#[tokio::test]
async fn only_what_is_configured_is_sent_and_the_smallest_reply_is_enough() {
    let server = Server::start([Reply::new(200, r#"{"choices":[{"message":{"content":"Yes."}}]}"#)]).await;
    let client = server.client(|config| config.auth = LlmAuth::None);
    let answer = ask(&client, &[hit("a.md", "Text.")]).await.unwrap();
    assert_eq!((answer.text.as_str(), &answer.grounding), ("Yes.", &Grounding::Uncited));
    assert_eq!(
        (answer.model.as_deref(), answer.finish_reason, answer.usage),
        (Some("test-model"), None, None)
    );
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].headers.get("authorization").is_none());
    assert_eq!(seen[0].body.as_object().unwrap().keys().collect::<Vec<_>>(), ["messages", "model"]);
}

#[tokio::test]
async fn retry_after_is_honoured_without_hammering() {
    for (name, value, least) in [("retry-after", "1", 1_000), ("retry-after-ms", "300", 300)] {
        let limited = Reply::json(429, json!({"error": {"code": "429", "message": "slow down"}}));
        let server = Server::start([limited.header(name, value), success("Yes.")]).await;
        let completion = server.client(|_| {}).complete(&messages(), Form::Text, soon()).await.unwrap();
        assert_eq!(completion.text, "Yes.");
        let seen = server.seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        let waited = seen[1].at - seen[0].at;
        assert!(waited >= Duration::from_millis(least), "{name}: {waited:?}");
        assert!(waited < Duration::from_millis(least * 2), "{name}: {waited:?}");
    }
}

#[tokio::test]
async fn waits_that_are_too_long_or_pointless_end_the_request_at_once() {
    let limited = |after: &str| {
        Reply::json(429, json!({"error": {"code": "rate_limit_exceeded"}})).header("retry-after", after)
    };
    let quota =
        Reply::json(429, json!({"error": {"code": "insufficient_quota", "type": "insufficient_quota"}}));
    let stop = Reply::json(503, json!({})).header("x-should-retry", "false");
    let throttled = |seconds| LlmError::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
    for (reply, expected) in [
        (limited("300"), throttled(300)),
        (limited("60"), throttled(60)), // Longer than the deadline.
        (quota, LlmError::QuotaExceeded),
        (stop, LlmError::Unavailable { reason: "503".into() }),
    ] {
        let server = Server::start([reply]).await;
        let begun = Instant::now();
        assert_eq!(server.client(|_| {}).complete(&messages(), Form::Text, soon()).await, Err(expected));
        assert!(begun.elapsed() < Duration::from_millis(500));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn failing_servers_are_asked_as_often_as_configured() {
    let broken = Reply::new(500, "<html>sk-upstream</html>").header("content-type", "text/html");
    let server = Server::start([broken]).await;
    let error = server.client(|_| {}).complete(&messages(), Form::Text, soon()).await.unwrap_err();
    assert_eq!(error, LlmError::Unavailable { reason: "500".into() });
    assert!(!error.to_string().contains("sk-"));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(250));
    assert!(seen[2].at - seen[1].at >= Duration::from_millis(500));
}

#[tokio::test]
async fn what_will_not_pass_is_asked_once() {
    for (status, code, expected) in [
        (401, "invalid_api_key", LlmError::Unauthorized { status: 401 }),
        (403, "forbidden", LlmError::Unauthorized { status: 403 }),
        (404, "model_not_found", LlmError::Rejected { reason: "404, model_not_found".into() }),
        (400, "context_length_exceeded", LlmError::TooLong),
        (501, "not_implemented", LlmError::Unavailable { reason: "501, not_implemented".into() }),
    ] {
        let message = format!("Incorrect API key provided: {KEY}");
        let server =
            Server::start([Reply::json(status, json!({"error": {"code": code, "message": message}}))]).await;
        let error = server.client(|_| {}).complete(&messages(), Form::Text, soon()).await.unwrap_err();
        assert_eq!(error, expected);
        assert!(!format!("{error} {error:?}").contains(KEY));
        assert_eq!(server.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_timeout_of_a_try_and_at_the_deadline() {
    let silent = Reply { delay: Duration::from_secs(30), ..success("late") };
    let server = Server::start([silent.clone(), success("Yes.")]).await;
    let client = server.client(|config| config.timeout = Duration::from_millis(300));
    assert_eq!(client.complete(&messages(), Form::Text, soon()).await.unwrap().text, "Yes.");
    assert_eq!(server.count(), 2);

    let server = Server::start([silent]).await;
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(400);
    assert_eq!(
        server.client(|_| {}).complete(&messages(), Form::Text, deadline).await,
        Err(LlmError::Timeout)
    );
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(server.client(|_| {}).complete(&messages(), Form::Text, begun).await, Err(LlmError::Timeout));
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config =
        LlmConfig { max_retries: 1, ..llm(format!("http://{}", listener.local_addr().unwrap()), KEY) };
    drop(listener);
    let error =
        OpenAi::new(&config, metrics()).unwrap().complete(&messages(), Form::Text, soon()).await.unwrap_err();
    assert_eq!(error, LlmError::Unavailable { reason: "no connection".into() });
}

#[tokio::test]
async fn rubbish_is_malformed_and_not_asked_for_again() {
    let malformed = |reason| Err(LlmError::Malformed { reason });
    let cut = r#"{"choices":[{"message":{"content":"Ye"#;
    for (body, expected) in [
        ("<html>Welcome to nginx</html>", malformed("it is not JSON")),
        (cut, malformed("it is not JSON")),
        ("", malformed("it is not JSON")),
        ("[]", malformed("it is not a JSON object")),
        (r#"{"choices":[]}"#, malformed("it has no choices")),
        (r#"{"choices":[{"message":{"content":null},"finish_reason":"stop"}]}"#, malformed("it has no text")),
        (r#"{"choices":[{"message":{"content":""},"finish_reason":"length"}]}"#, Err(LlmError::OutOfTokens)),
    ] {
        let server = Server::start([Reply::new(200, body)]).await;
        assert_eq!(server.client(|_| {}).complete(&messages(), Form::Text, soon()).await, expected, "{body}");
        assert_eq!(server.count(), 1, "{body}");
    }
    let odd = success("Yes.").header("content-type", "text/plain; charset=latin-9");
    let server = Server::start([odd]).await;
    assert_eq!(server.client(|_| {}).complete(&messages(), Form::Text, soon()).await.unwrap().text, "Yes.");
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_asked_for_again() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = llm(format!("http://{}", listener.local_addr().unwrap()), KEY);
    let accepted = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":[").await;
        }
    });
    let error =
        OpenAi::new(&config, metrics()).unwrap().complete(&messages(), Form::Text, soon()).await.unwrap_err();
    assert_eq!(error, LlmError::Unavailable { reason: "the reply broke off".into() });
    accepted.await.unwrap();
}

#[tokio::test]
async fn a_huge_body_is_not_read_to_its_end() {
    let server = Server::start([Reply::new(200, vec![b' '; 9 << 20])]).await;
    let error = server.client(|_| {}).complete(&messages(), Form::Text, soon()).await.unwrap_err();
    assert_eq!(error, LlmError::Malformed { reason: "it is larger than 8 MiB" });
}

#[tokio::test]
async fn redirects_are_not_followed_and_carry_no_key_away() {
    let other = Server::start([success("stolen")]).await;
    let server = Server::start([Reply::new(307, "").header("location", other.url.clone())]).await;
    let error = server.client(|_| {}).complete(&messages(), Form::Text, soon()).await.unwrap_err();
    assert!(matches!(&error, LlmError::Rejected { reason } if reason.contains("redirect")), "{error}");
    assert_eq!((server.count(), other.count()), (1, 0));
}

#[tokio::test]
async fn refused_parameters_are_left_out_and_that_is_remembered() {
    let refusal = |parameter: &str| {
        let message = format!("Unsupported parameter: '{parameter}' is not supported with this model.");
        Reply::json(
            400,
            json!({"error": {"message": message, "param": parameter, "code": "unsupported_parameter"}}),
        )
    };
    let strict = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]});
    let script =
        [Reply::json(422, strict), refusal("verbosity"), refusal("reasoning_effort"), success("Yes.")];
    let server = Server::start(script).await;
    let client = server.client(|config| {
        config.max_output_tokens = Some(9);
        config.reasoning_effort = Some("high".into());
        config.verbosity = Some("low".into());
        config.max_retries = 0;
    });
    assert_eq!(client.complete(&messages(), Form::Text, soon()).await.unwrap().text, "Yes.");
    assert_eq!(client.clone().complete(&messages(), Form::Text, soon()).await.unwrap().text, "Yes.");
    let bodies = server.bodies();
    let parameters: Vec<Vec<&str>> = bodies
        .iter()
        .map(|body| {
            body.as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .filter(|key| !["messages", "model"].contains(key))
                .collect()
        })
        .collect();
    assert_eq!(
        parameters,
        [
            vec!["max_completion_tokens", "reasoning_effort", "verbosity"],
            vec!["max_tokens", "reasoning_effort", "verbosity"],
            vec!["max_tokens", "reasoning_effort"],
            vec!["max_tokens"],
            vec!["max_tokens"],
        ]
    );
    assert_eq!(bodies[4]["max_tokens"], 9);
}

#[tokio::test]
async fn a_server_that_refuses_for_ever_is_not_asked_for_ever() {
    let refusal = Reply::json(
        400,
        json!({"error": {"message": "unknown: max_completion_tokens max_tokens verbosity"}}),
    );
    let server = Server::start([refusal]).await;
    let client = server.client(|config| {
        config.max_output_tokens = Some(9);
        config.verbosity = Some("low".into());
    });
    assert_eq!(
        client.complete(&messages(), Form::Text, soon()).await,
        Err(LlmError::Rejected { reason: "400".into() })
    );
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn refusals_and_filters_are_answers_in_the_language_of_the_question() {
    let refused =
        json!({"choices": [{"finish_reason": "stop", "message": {"content": null, "refusal": "I cannot."}}]});
    let cut = json!({"choices": [{"finish_reason": "content_filter", "message": {"content": "How to"}}]});
    let azure =
        json!({"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    for (status, body, reason) in
        [(200, refused, "refusal"), (200, cut, "content_filter"), (400, azure, "content_filter")]
    {
        let server = Server::start([Reply::json(status, body)]).await;
        let hits = [hit("a.md", "Text.")];
        let client = server.client(|_| {});
        let answer =
            generative(&client, asked(&question("年假有多少天？"), &History::default()), &hits, soon())
                .await
                .unwrap()
                .judged(None);
        assert_eq!(answer.text, "语言模型拒绝回答这个问题。");
        assert_eq!((answer.finish_reason.as_deref(), &answer.grounding), (Some(reason), &Grounding::Uncited));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_shortened_until_it_fits() {
    let long = || {
        let error =
            json!({"code": 400, "type": "exceed_context_size_error", "message": "too long", "n_ctx": 2048});
        Reply::json(400, json!({"error": error}))
    };
    let server = Server::start([long(), long(), success("It is so [1].")]).await;
    let hits: Vec<Hit> = (0..8).map(|i| hit(&format!("{i}.md"), &"It is so. ".repeat(20))).collect();
    let answer = ask(&server.client(|_| {}), &hits).await.unwrap();
    assert_eq!(answer.contexts.len(), 2);
    assert_eq!(server.count(), 3);

    let server = Server::start([long()]).await;
    assert_eq!(ask(&server.client(|_| {}), &hits).await, Err(LlmError::TooLong));
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn clients_that_cannot_work_are_refused_at_the_start_without_their_secrets() {
    let bad_key =
        OpenAi::new(&llm("http://localhost".into(), "sk-te\nst"), metrics()).unwrap_err().to_string();
    assert!(bad_key.contains("OPENAI_API_KEY") && !bad_key.contains("sk-te"), "{bad_key}");
    assert!(
        OpenAi::new(&llm("http://".into(), KEY), metrics())
            .unwrap_err()
            .to_string()
            .contains("OPENAI_BASE_URL")
    );
    let client = OpenAi::new(&llm("http://localhost".into(), KEY), metrics()).unwrap();
    assert!(!format!("{client:?}").contains(KEY));
}
