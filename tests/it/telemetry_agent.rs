//! Real runs of the binary, as Datadog's own test agent receives them.

pub mod programs;

use std::{path::Path, time::Duration};

use programs::{Agent, Running, Server, free_port, llm, program};
use serde_json::{Value, json};

/// Words that must turn up nowhere but in replies: one for each place where secrets are.
const QUESTION: &str = "quagmirecanary";
const PASSAGE: &str = "pangolincanary";
const ANSWER: &str = "armadillocanary";
const KEY: &str = "sk-kestrelcanary";
const HEADER: &str = "heroncanary";
const BAGGAGE: &str = "badgercanary";

pub const WHO: [(&str, &str); 3] = [("DD_SERVICE", "rag-test"), ("DD_ENV", "ci"), ("DD_VERSION", "9.9.9")];

pub fn documents(dir: &Path) -> std::path::PathBuf {
    let docs = dir.join("docs");
    std::fs::create_dir_all(&docs).unwrap();
    let text = format!(
        "# Annual leave\n\nFull-time employees receive 25 days of annual leave in each year. \
         The {PASSAGE} form is handed to the manager before the leave begins.\n"
    );
    std::fs::write(docs.join("leave.md"), text).unwrap();
    std::fs::write(docs.join("lunch.txt"), "Lunch is free on Fridays for everybody in the house.").unwrap();
    docs
}

pub fn named<'a>(spans: &'a [Value], name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

/// The spans of a trace, by the 128-bit id in hex.
pub fn of_trace(spans: &[Value], trace: &str) -> Vec<Value> {
    let low = u64::from_str_radix(&trace[16..], 16).unwrap();
    spans.iter().filter(|span| span["trace_id"] == low).cloned().collect()
}

/// `name type resource`, indented by depth, in the order of starting.
pub fn tree(spans: &[Value]) -> String {
    fn below(spans: &[Value], parent: &Value, depth: usize, text: &mut String) {
        let mut children: Vec<_> = spans.iter().filter(|span| &span["parent_id"] == parent).collect();
        children.sort_by_key(|span| span["start"].as_u64());
        for span in children {
            let word = |field: &str| span[field].as_str().unwrap_or("-").to_owned();
            let error = if span["error"] == 1 { " ERROR" } else { "" };
            let line = format!("{} ({}) {}{error}\n", word("name"), word("type"), word("resource"));
            text.push_str(&"  ".repeat(depth));
            text.push_str(&line);
            below(spans, &span["span_id"], depth + 1, text);
        }
    }
    let mut text = String::new();
    let inside = |id: &Value| spans.iter().any(|span| &span["span_id"] == id);
    let mut roots: Vec<_> =
        spans.iter().map(|span| span["parent_id"].clone()).filter(|id| !inside(id)).collect();
    roots.dedup();
    roots.into_iter().take(1).for_each(|root| below(spans, &root, 0, &mut text));
    text
}

/// The agent checked every trace, and found nothing.
pub async fn assert_checks_passed(agent: &Agent) {
    let summary = agent.get("/test/trace_check/summary?return_all=true").await;
    let checks = summary.as_object().unwrap();
    assert!(checks.len() >= 5, "{summary}");
    for (name, counts) in checks {
        assert_eq!(counts["Failed_Checks"], 0, "{name}");
        assert!(counts["Passed_Checks"].as_u64().unwrap() > 0, "{name} looked at nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_receives_every_hop_and_nobody_reads_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let Some(agent) = Agent::start(dir.path()).await else { return };
    let (llm_url, sent) = llm("Employees receive 25 days of annual leave [1]. armadillocanary.").await;
    let index = dir.path().join("index");
    let mut variables = WHO.to_vec();
    variables.extend([("DD_TRACE_AGENT_URL", agent.url.as_str()), ("DD_TAGS", "team:search")]);

    let output = program(&index, &variables).arg("ingest").arg(documents(dir.path())).output().unwrap();
    let mut written = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{written}");

    variables.extend([
        ("OPENAI_BASE_URL", llm_url.as_str()),
        ("OPENAI_API_KEY", KEY),
        ("OPENAI_MODEL", "asked-model"),
        ("OPENAI_PRICES", "*=1/2"),
    ]);
    let mut command = program(&index, &variables);
    command.arg("serve");
    let mut server = Server::start(command).await;
    let bearer = format!("Bearer {HEADER}");
    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let baggage = format!("user.id={BAGGAGE}");
    let headers = [("authorization", bearer.as_str()), ("baggage", baggage.as_str()), ("x-secret", HEADER)];
    let leave = |word: &str| json!({"question": format!("How many days of annual leave do employees receive? {word}")});
    let good = server.ask("/query", leave(QUESTION), &headers).await;
    assert_eq!((good.status, &good.body["metadata"]["mode"]), (200, &json!("generative")), "{}", good.body);
    let broken = server.ask("/query", leave("please break"), &headers).await;
    assert_eq!((broken.status, &broken.body["metadata"]["mode"]), (200, &json!("extractive")));
    let joined = [("traceparent", caller), ("baggage", baggage.as_str())];
    let joined = server.ask("/search", leave(QUESTION), &joined).await;
    assert_eq!((joined.status, &joined.trace[..]), (200, &caller[3..35]));
    let refused = server.ask("/query", json!({"question": 7, QUESTION: 1}), &headers).await;
    assert_eq!(refused.status, 422);
    server.leave("/query", leave("please wait")).await;
    for probe in ["/health", "/ready", "/metrics"] {
        reqwest::get(format!("{}{probe}", server.url)).await.unwrap();
    }
    let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let took = server.stop().await;
    assert!(took < Duration::from_secs(4), "stopping took {took:?}");

    let spans = agent.spans().await;
    for span in &spans {
        assert_eq!((&span["service"], &span["meta"]["env"]), (&json!("rag-test"), &json!("ci")), "{span}");
        assert_eq!((&span["meta"]["version"], &span["meta"]["team"]), (&json!("9.9.9"), &json!("search")));
    }
    let query = of_trace(&spans, &good.trace);
    println!("{}", tree(&query));
    assert_eq!(
        tree(&query),
        "http.server.request (web) POST /query\n\
         \x20 rag.answer (custom) rag.answer\n\
         \x20   embed.query (custom) embed.query\n\
         \x20   search.hybrid (db) search.hybrid\n\
         \x20   chat (llm) chat asked-model\n"
    );
    let root = named(&query, "http.server.request")[0];
    assert_eq!(root["meta"]["otel.trace_id"], good.trace.as_str());
    assert_eq!(
        (&root["meta"]["http.status_code"], &root["meta"]["http.route"]),
        (&json!("200"), &json!("/query"))
    );
    let chat = named(&query, "chat")[0];
    let numbers = &chat["metrics"];
    assert_eq!(
        (&numbers["gen_ai.usage.input_tokens"], &numbers["gen_ai.usage.output_tokens"]),
        (&json!(1000.0), &json!(50.0))
    );
    assert!((numbers["gen_ai.usage.cost_usd"].as_f64().unwrap() - 0.0011).abs() < 1e-9, "{numbers}");
    assert_eq!(
        (&chat["meta"]["gen_ai.response.model"], &chat["meta"]["span.kind"]),
        (&json!("answered-model"), &json!("client"))
    );
    let embed = named(&query, "embed.query")[0];
    assert!(
        embed["metrics"]["embedding.queue_ms"].is_number()
            && embed["metrics"]["embedding.compute_ms"].is_number()
    );
    let search = named(&query, "search.hybrid")[0];
    assert!(search["metrics"]["search.top_similarity"].as_f64().unwrap() > 0.3, "{search}");
    assert_eq!(
        (&search["metrics"]["search.hits"], &search["meta"]["search.backend"]),
        (&json!(2.0), &json!("local"))
    );
    let answer = named(&query, "rag.answer")[0];
    assert_eq!(
        (&answer["meta"]["rag.mode"], &answer["meta"]["rag.grounded"]),
        (&json!("generative"), &json!("true"))
    );

    let failed = of_trace(&spans, &broken.trace);
    println!("{}", tree(&failed));
    let chat_failed = named(&failed, "chat")[0];
    assert_eq!(
        (&chat_failed["error"], &chat_failed["meta"]["error.type"]),
        (&json!(1), &json!("Rejected")),
        "{chat_failed}"
    );
    assert!(chat_failed["meta"]["error.message"].as_str().unwrap().contains("model_not_found"));
    assert_ne!(named(&failed, "http.server.request")[0]["error"], 1, "an answer was given all the same");
    assert_eq!(named(&failed, "embed.sentences").len(), 1);

    let searched = of_trace(&spans, &joined.trace);
    assert_eq!(named(&searched, "http.server.request")[0]["parent_id"], 0x00f0_67aa_0ba9_02b7_u64);
    let resources: Vec<_> =
        named(&spans, "http.server.request").iter().map(|span| span["resource"].clone()).collect();
    assert_eq!(resources.len(), 5, "probes are not traced: {resources:?}");

    // Who went away left a whole trace.
    let gone = spans.iter().find(|span| span["meta"]["http.status_code"] == "499").unwrap();
    let left: Vec<Value> =
        spans.iter().filter(|span| span["trace_id"] == gone["trace_id"]).cloned().collect();
    assert_eq!((named(&left, "chat").len(), named(&left, "rag.answer").len()), (1, 1));

    let run = named(&spans, "ingest.run")[0].clone();
    let ingest: Vec<Value> =
        spans.iter().filter(|span| span["trace_id"] == run["trace_id"]).cloned().collect();
    println!("{}", tree(&ingest));
    for name in ["ingest.document", "extract", "embed.passages", "index.upsert"] {
        let of_name = named(&ingest, name);
        assert_eq!(of_name.len(), 2, "{name}");
        for span in of_name {
            let parents = if name == "ingest.document" {
                named(&ingest, "ingest.run")
            } else {
                named(&ingest, "ingest.document")
            };
            assert!(parents.iter().any(|parent| parent["span_id"] == span["parent_id"]), "{span}");
        }
    }
    assert_eq!(
        (&run["metrics"]["ingest.files"], &run["metrics"]["ingest.failed"]),
        (&json!(2.0), &json!(0.0))
    );

    // What goes to the LLM: the trace and nothing else.
    let sent = sent.lock().unwrap().clone();
    let parent = sent[0]["traceparent"].to_str().unwrap();
    let span_id = format!("{:016x}", chat["span_id"].as_u64().unwrap());
    assert_eq!(parent, format!("00-{}-{span_id}-01", good.trace));
    for name in ["baggage", "tracestate", "x-datadog-trace-id", "x-datadog-tags", "x-secret"] {
        assert!(sent.iter().all(|headers| !headers.contains_key(name)), "{name}");
    }

    // Logs name the trace and the span that arrived.
    let lines = server.lines();
    for reply in [&good, &broken, &joined, &refused] {
        let access: Vec<_> = lines
            .iter()
            .filter(|line| {
                line["dd"]["trace_id"] == reply.trace.as_str() && line["http"]["status_code"].is_number()
            })
            .collect();
        assert_eq!(access.len(), 1, "one access line a request");
        let root = of_trace(&spans, &reply.trace);
        let root = named(&root, "http.server.request")[0];
        assert_eq!(access[0]["dd"]["span_id"], root["span_id"].to_string());
        assert_eq!(
            (&access[0]["dd"]["service"], &access[0]["dd"]["version"]),
            (&json!("rag-test"), &json!("9.9.9"))
        );
    }

    let stats = agent.get("/test/session/stats").await;
    let hits: Vec<&Value> = stats
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|payload| payload["Stats"].as_array().unwrap())
        .flat_map(|bucket| bucket["Stats"].as_array().unwrap())
        .collect();
    let queries: u64 = hits
        .iter()
        .filter(|group| group["Resource"] == "POST /query")
        .map(|group| group["Hits"].as_u64().unwrap())
        .sum();
    assert_eq!(queries, 4, "{stats}");
    assert_checks_passed(&agent).await;

    written.push_str(&server.written());
    let places = [
        ("logs", written),
        ("spans", json!(spans).to_string()),
        ("metrics", metrics),
        ("stats", stats.to_string()),
    ];
    for (place, text) in &places {
        println!("canary search: {place}, {} characters", text.len());
        for word in [QUESTION, PASSAGE, ANSWER, KEY, HEADER, BAGGAGE] {
            let line = text.lines().find(|line| line.to_lowercase().contains(word));
            assert!(line.is_none(), "{word} in the {place}: {}", line.unwrap());
        }
    }
    assert!(good.body.to_string().contains(ANSWER) && good.body.to_string().contains(PASSAGE));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_service_is_a_hop_and_its_failure_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let Some(agent) = Agent::start(dir.path()).await else { return };
    let port = free_port().to_string();
    let emulator =
        program(&dir.path().join("emulated"), &[("AZURE_SEARCH_API_KEY", KEY), ("RUST_LOG", "off")])
            .args(["emulate", "--port", &port])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
    let emulator = Running(emulator);
    let endpoint = format!("http://127.0.0.1:{port}");
    let mut variables = WHO.to_vec();
    variables.extend([
        ("DD_TRACE_AGENT_URL", agent.url.as_str()),
        ("AZURE_SEARCH_ENDPOINT", endpoint.as_str()),
        ("AZURE_SEARCH_API_KEY", KEY),
        ("AZURE_SEARCH_MAX_RETRIES", "1"),
    ]);
    let unused = dir.path().join("unused");
    while tokio::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = program(&unused, &variables).arg("ingest").arg(documents(dir.path())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut command = program(&unused, &variables);
    command.arg("serve");
    let mut server = Server::start(command).await;
    let question =
        json!({"question": format!("How many days of annual leave do employees receive? {QUESTION}")});
    let good = server.ask("/query", question.clone(), &[]).await;
    assert_eq!(good.status, 200, "{}", good.body);
    drop(emulator);
    let failed = server.ask("/query", question, &[]).await;
    assert_eq!(failed.status, 503, "{}", failed.body);
    server.stop().await;

    let spans = agent.spans().await;
    let query = of_trace(&spans, &good.trace);
    let search = named(&query, "search.hybrid")[0];
    assert_eq!(
        (&search["meta"]["search.backend"], &search["metrics"]["upstream.status_code"]),
        (&json!("azure"), &json!(200.0))
    );
    let query = of_trace(&spans, &failed.trace);
    println!("{}", tree(&query));
    assert_eq!(
        tree(&query),
        "http.server.request (web) POST /query ERROR\n\
         \x20 rag.answer (custom) rag.answer ERROR\n\
         \x20   embed.query (custom) embed.query\n\
         \x20   search.hybrid (db) search.hybrid ERROR\n"
    );
    let search = named(&query, "search.hybrid")[0];
    assert_eq!(
        (&search["meta"]["error.type"], &search["metrics"]["upstream.retries"]),
        (&json!("Unavailable"), &json!(1.0)),
        "{search}"
    );
    let root = named(&query, "http.server.request")[0];
    assert_eq!(root["meta"]["error.type"], "retrieval_unavailable");
    assert_checks_passed(&agent).await;
    let everything = format!("{}{}", server.written(), json!(spans));
    for word in [QUESTION, PASSAGE, KEY] {
        let line = everything.lines().find(|line| line.to_lowercase().contains(word));
        assert!(line.is_none(), "{word}: {}", line.unwrap());
    }
}
