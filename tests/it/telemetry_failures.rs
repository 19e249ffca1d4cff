//! Streams, and hops that fail, as Datadog's own test agent receives them.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    openai_server::{Reply, Server as Llm},
    telemetry_agent::{
        WHO, assert_checks_passed, documents, named, of_trace,
        programs::{Agent, Server, program},
        tree,
    },
};

const QUESTION: &str = "How many days of annual leave do employees receive?";

fn variables<'a>(agent: &'a Agent, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut variables = WHO.to_vec();
    variables.push(("DD_TRACE_AGENT_URL", agent.url.as_str()));
    variables.extend(more);
    variables
}

async fn serve(index: &Path, variables: &[(&str, &str)]) -> Server {
    let mut command = program(index, variables);
    command.arg("serve");
    Server::start(command).await
}

async fn stream(server: &Server) -> reqwest::Response {
    let body = json!({"question": QUESTION, "stream": true});
    reqwest::Client::new().post(format!("{}/query", server.url)).json(&body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_one_trace_to_its_end_and_so_is_one_whose_reader_vanished() {
    let dir = tempfile::tempdir().unwrap();
    let Some(agent) = Agent::start(dir.path()).await else { return };
    let pause = Duration::from_millis(30);
    let words = ["Employees ", "receive ", "25 days [1]."];
    let endless = vec!["word "; 2_000];
    let mut broken = Reply { broken: true, pause, ..Reply::stream(&["Half an"]) };
    broken.pieces.truncate(1);
    let llm = Llm::start([
        Reply { pause, ..Reply::stream(&words) },
        broken,
        Reply { pause, ..Reply::stream(&endless) },
    ])
    .await;
    let index = dir.path().join("index");
    let all = variables(
        &agent,
        &[("OPENAI_BASE_URL", &llm.url), ("OPENAI_MODEL", "m"), ("OPENAI_PRICES", "*=1/10")],
    );
    let output = program(&index, &all).arg("ingest").arg(documents(dir.path())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut server = serve(&index, &all).await;

    let trace = |reply: &reqwest::Response| reply.headers()["x-trace-id"].to_str().unwrap().to_owned();
    let whole = stream(&server).await;
    let whole_trace = trace(&whole);
    assert!(whole.text().await.unwrap().contains("event: done"));
    let half = stream(&server).await;
    let half_trace = trace(&half);
    assert!(half.text().await.unwrap().contains("event: error"));
    let mut gone = stream(&server).await;
    let gone_trace = trace(&gone);
    gone.chunk().await.unwrap();
    drop(gone);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let took = server.stop().await;
    assert!(took < Duration::from_secs(4), "stopping took {took:?}");

    let spans = agent.spans().await;
    let hops = |answer: &str, error: &str| {
        format!(
            "http.server.request (web) POST /query{error}\n  rag.answer (custom) rag.answer{answer}\n    \
             embed.query (custom) embed.query\n    search.hybrid (db) search.hybrid\n    chat (llm) chat m{answer}\n"
        )
    };
    let of_whole = of_trace(&spans, &whole_trace);
    println!("{}", tree(&of_whole));
    assert_eq!(tree(&of_whole), hops("", ""));
    let chat = named(&of_whole, "chat")[0];
    let numbers = &chat["metrics"];
    assert!(numbers["gen_ai.response.time_to_first_chunk"].as_f64().unwrap() > 0.02, "{chat}");
    assert_eq!(numbers["gen_ai.usage.output_tokens"], 10.0);
    assert!((numbers["gen_ai.usage.cost_usd"].as_f64().unwrap() - 0.0002).abs() < 1e-9);
    let request = named(&of_whole, "http.server.request")[0];
    assert!(request["duration"].as_u64() >= chat["duration"].as_u64(), "the request ends with its stream");

    let of_half = of_trace(&spans, &half_trace);
    println!("{}", tree(&of_half));
    // Datadog judges requests by their status alone, and the head had said 200.
    assert_eq!(tree(&of_half), hops(" ERROR", ""));
    assert_eq!(named(&of_half, "http.server.request")[0]["meta"]["http.status_code"], "200");
    assert_eq!(named(&of_half, "rag.answer")[0]["meta"]["error.type"], "Generation");

    let of_gone = of_trace(&spans, &gone_trace);
    println!("{}", tree(&of_gone));
    assert_eq!(tree(&of_gone), hops("", ""));
    let request = named(&of_gone, "http.server.request")[0];
    assert_eq!(request["meta"]["http.status_code"], "499");
    assert_eq!(named(&of_gone, "rag.answer")[0]["meta"]["rag.cancelled"], "true");

    let lines = server.lines();
    let cost = lines.iter().find(|line| line["message"] == "llm answered").unwrap();
    assert_eq!(cost["dd"]["trace_id"], whole_trace.as_str());
    assert!((cost["cost_usd"].as_f64().unwrap() - 0.0002).abs() < 1e-9, "{cost}");
    for (trace, status) in [(&whole_trace, 200), (&half_trace, 200), (&gone_trace, 499)] {
        let access: Vec<&Value> = lines
            .iter()
            .filter(|line| {
                line["dd"]["trace_id"] == trace.as_str() && line["http"]["status_code"].is_number()
            })
            .collect();
        assert_eq!(access.len(), 1, "one access line a stream");
        assert_eq!(access[0]["http"]["status_code"], status);
    }
    assert_checks_passed(&agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_fails_and_a_question_that_is_shed_are_errors_of_their_hop() {
    let dir = tempfile::tempdir().unwrap();
    let Some(agent) = Agent::start(dir.path()).await else { return };
    let index = dir.path().join("index");
    let docs = documents(dir.path());
    std::fs::write(docs.join("broken.pdf"), b"%PDF-1.7\nnothing of the kind").unwrap();
    let all = variables(&agent, &[("EMBEDDING_QUEUE_CAPACITY", "1"), ("EMBEDDING_THREADS", "1")]);
    let output = program(&index, &all).arg("ingest").arg(&docs).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let mut server = serve(&index, &all).await;
    // A long question takes the model longer than a short one takes to arrive.
    let question = json!({"question": "leave ".repeat(600)});
    let asked = (0..48).map(|_| server.ask("/search", question.clone(), &[]));
    let replies = futures_util::future::join_all(asked).await;
    let shed = replies.iter().find(|reply| reply.status == 503).expect("a queue of one sheds some of 48");
    assert_eq!(shed.body["code"], "overloaded");
    server.stop().await;

    let spans = agent.spans().await;
    let failed = named(&spans, "ingest.document").into_iter().find(|span| span["error"] == 1).unwrap();
    assert_eq!(failed["meta"]["error.type"], "document_failed");
    assert!(!failed["meta"]["error.message"].as_str().unwrap().is_empty());
    let run = named(&spans, "ingest.run")[0];
    assert_eq!(
        (&run["metrics"]["ingest.files"], &run["metrics"]["ingest.failed"]),
        (&json!(3.0), &json!(1.0))
    );
    let ingest: Vec<Value> =
        spans.iter().filter(|span| span["trace_id"] == run["trace_id"]).cloned().collect();
    println!("{}", tree(&ingest));

    let search = of_trace(&spans, &shed.trace);
    println!("{}", tree(&search));
    assert_eq!(
        tree(&search),
        "http.server.request (web) POST /search ERROR\n\
         \x20 rag.search (custom) rag.search ERROR\n\
         \x20   embed.query (custom) embed.query ERROR\n"
    );
    assert_eq!(named(&search, "embed.query")[0]["meta"]["error.type"], "Overloaded");
    assert_checks_passed(&agent).await;
}
