//! What differs between servers and models: interface, credential, parameters, structure, and being ill.

use std::time::Duration;

use rag_api::{
    config::{LlmApi, LlmAuth, PriceTable},
    domain::{Grounding, History},
    generation::{Form, LlmError, OpenAi, generative},
};
use serde_json::{Value, json};

use crate::{
    openai_server::{KEY, Reply, Server, ask, messages, soon, success},
    passages::{asked, hit, question},
};

fn response(text: &str) -> Reply {
    Reply::json(
        200,
        json!({"id": "r", "object": "response", "status": "completed", "model": "gpt-5-2026-01-01", "error": null,
               "output": [{"type": "reasoning", "summary": []},
                          {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}],
               "usage": {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110,
                         "input_tokens_details": {"cached_tokens": 50}}}),
    )
}

#[tokio::test]
async fn the_responses_interface_is_asked_by_its_own_words() {
    let server = Server::start([response("Leave is 25 days [1].")]).await;
    let client = server.client(|config| {
        config.api = LlmApi::Responses;
        config.model = "gpt-5".into();
        config.max_output_tokens = Some(500);
        config.temperature = Some(0.2);
        config.reasoning_effort = Some("low".into());
        config.verbosity = Some("low".into());
        config.structured = true;
        config.prices = PriceTable::parse("gpt-5=1/0.1/10").unwrap();
    });
    let hits = [hit("a.md", "All employees get 25 days of leave.")];
    let answer = ask(&client, &hits).await.unwrap();
    assert_eq!(answer.text, "Leave is 25 days [1].");
    let usage = answer.usage.unwrap();
    assert!((usage.cost_usd.unwrap() - (50.0 + 5.0 + 100.0) / 1e6).abs() < 1e-12);
    assert_eq!(server.seen.lock().unwrap()[0].path, "/v1/responses");
    let mut body = server.bodies().remove(0);
    let input = body["input"].take();
    assert_eq!(input.as_array().unwrap().len(), 2);
    let schema = body["text"]["format"].take();
    assert_eq!((&schema["type"], &schema["strict"]), (&json!("json_schema"), &json!(true)));
    // A reasoning model takes no temperature, so none is sent.
    assert_eq!(
        body,
        json!({"model": "gpt-5", "input": null, "store": false, "max_output_tokens": 500,
               "reasoning": {"effort": "low"}, "text": {"verbosity": "low", "format": null}})
    );
}

#[tokio::test]
async fn a_key_goes_where_the_server_looks_for_it() {
    let server = Server::start([success("Yes.")]).await;
    let azure = server.client(|config| config.auth = LlmAuth::ApiKey(KEY.to_owned().into()));
    azure.complete(&messages(), Form::Text, soon()).await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].headers["api-key"], KEY);
    assert!(seen[0].headers.get("authorization").is_none());
}

#[tokio::test]
async fn sentences_by_a_schema_become_an_answer_with_citations() {
    let json = json!({"enough_evidence": true, "sentences": [
        {"text": "All employees get 25 days of leave.", "passages": [1]}, {"text": "Lunch is free.", "passages": [2, 7]}]});
    let server = Server::start([success(&json.to_string())]).await;
    let client = server.client(|config| config.structured = true);
    let hits = [hit("a.md", "All employees get 25 days of leave."), hit("b.md", "Lunch is free on Fridays.")];
    let answer = ask(&client, &hits).await.unwrap();
    assert_eq!(answer.text, "All employees get 25 days of leave. [1] Lunch is free. [2]");
    assert_eq!(answer.grounding.citations().len(), 2);
    let format = &server.bodies()[0]["response_format"];
    assert_eq!(format["json_schema"]["schema"]["required"], json!(["enough_evidence", "sentences"]));

    let none = success(r#"{"enough_evidence": false, "sentences": []}"#);
    server.script.lock().unwrap()[0] = none;
    let answer = ask(&client, &hits).await.unwrap();
    assert_eq!(answer.grounding, Grounding::NoEvidence);
    assert!(answer.text.starts_with("There is not enough evidence"), "{}", answer.text);
    assert_eq!((answer.model.is_some(), answer.contexts.len()), (true, 2));
}

#[tokio::test]
async fn a_server_without_schemas_is_asked_for_text_from_then_on() {
    let refusal = json!({"error": {"message": "Unsupported parameter: 'response_format' of type json_schema is not supported",
                                   "param": "response_format", "code": "unsupported_parameter"}});
    let server = Server::start([Reply::json(400, refusal), success("Yes [1]."), success("Yes [1].")]).await;
    let client = server.client(|config| config.structured = true);
    let hits = [hit("a.md", "Yes.")];
    for _ in 0..2 {
        assert_eq!(ask(&client, &hits).await.unwrap().text, "Yes [1].");
    }
    let with: Vec<bool> = server.bodies().iter().map(|body| body.get("response_format").is_some()).collect();
    assert_eq!(with, [true, false, false]);
}

#[tokio::test]
async fn broken_json_is_not_shown_but_asked_again_as_text() {
    let server =
        Server::start([success(r#"{"enough_evidence": true, "sentences": [{"te"#), success("Yes [1].")])
            .await;
    let client = server.client(|config| config.structured = true);
    assert_eq!(ask(&client, &[hit("a.md", "Yes.")]).await.unwrap().text, "Yes [1].");
    assert!(server.bodies()[1].get("response_format").is_none());
}

#[tokio::test]
async fn instructions_of_the_caller_stand_below_the_rules() {
    let server = Server::start([success("Yes.")]).await;
    let client = server.client(|_| {});
    let (question, history) = (question("Why?"), History::default());
    let mut asked = asked(&question, &history);
    asked.instructions = Some("Answer like a pirate.");
    asked.sampling.max_output_tokens = Some(9);
    generative(&client, asked, &[hit("a.md", "Yes.")], soon()).await.unwrap();
    let body = server.bodies().remove(0);
    let rules = body["messages"][0]["content"].as_str().unwrap();
    assert!(rules.ends_with("Answer like a pirate.") && rules.starts_with("You answer questions"));
    assert_eq!(body["max_completion_tokens"], 9);
}

#[tokio::test]
async fn a_server_that_is_ill_is_left_alone_and_asked_again_later() {
    let server = Server::start([Reply::json(503, json!({}))]).await;
    let client: OpenAi = server.client(|config| config.max_retries = 0);
    let complete = async || client.complete(&messages(), Form::Text, soon()).await;
    for _ in 0..5 {
        assert!(matches!(complete().await, Err(LlmError::Unavailable { .. })));
    }
    assert_eq!(complete().await, Err(LlmError::CircuitOpen));
    assert_eq!(server.count(), 5);
    server.script.lock().unwrap()[0] = success("Yes.");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(complete().await.unwrap().text, "Yes.");
    assert_eq!(complete().await.unwrap().text, "Yes.");
}

#[tokio::test]
async fn limits_and_refusals_are_no_illness() {
    let limited =
        Reply::json(429, json!({"error": {"code": "rate_limit_exceeded"}})).header("retry-after", "300");
    let server = Server::start([limited]).await;
    let client = server.client(|_| {});
    for _ in 0..8 {
        let error = client.complete(&messages(), Form::Text, soon()).await.unwrap_err();
        assert!(matches!(error, LlmError::Throttled { .. }), "{error:?}");
    }
    let filtered: Value =
        json!({"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}});
    server.script.lock().unwrap()[0] = Reply::json(400, filtered);
    let answer = ask(&client, &[hit("a.md", "Yes.")]).await.unwrap();
    assert_eq!(answer.finish_reason.as_deref(), Some("content_filter"));
}
