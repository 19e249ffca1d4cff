//! The emulated service over HTTP: ranks, keys, conditions, faults, restarts and hostile requests.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::emulator_server::{Emulator, small_index};

const DOCS: &str = "/indexes('docs')/docs/search.index";

async fn filled(dir: &std::path::Path, faults: &[&str]) -> Emulator {
    let emulator = Emulator::start(dir, None, faults).await;
    assert_eq!(emulator.send("POST", "/indexes", small_index("docs")).await.0, 201);
    emulator
}

/// The rankings and scores of two recorded searches, fourteen in all, to the last bit.
#[tokio::test]
async fn hybrid_scores_are_the_recorded_ones() {
    let vectors = ["3", "5", "1"];
    let cases = [
        (
            ["3", "1", "2", "10", "4", "5", "9"],
            [
                ("3", 0.033_333_335_071_802_14),
                ("1", 0.032_522_473_484_277_725),
                ("5", 0.031_778_056_174_516_68),
                ("2", 0.016_129_031_777_381_897),
                ("10", 0.015_873_016_789_555_55),
                ("4", 0.015_625),
                ("9", 0.015_151_515_603_065_49),
            ],
        ),
        (
            ["9", "1", "10", "5", "2", "3", "4"],
            [
                ("9", 0.016_666_667_535_901_07),
                ("3", 0.032_051_283_866_167_07),
                ("4", 0.015_151_515_603_065_49),
                ("10", 0.016_129_031_777_381_897),
                ("1", 0.032_522_473_484_277_725),
                ("5", 0.032_266_460_359_096_53),
                ("2", 0.015_625),
            ],
        ),
    ];
    for (texts, scores) in cases {
        let dir = tempfile::tempdir().unwrap();
        let emulator = filled(dir.path(), &[]).await;
        // The more often the word stands in a text of the same length, the better it ranks.
        let documents = (1..=10).map(|number| {
            let id = number.to_string();
            let often = texts.iter().rev().position(|text| *text == id).map_or(0, |place| place + 1);
            let content = format!("{}{}", "zebra ".repeat(often), "grass ".repeat(8 - often));
            let near =
                vectors.iter().position(|vector| *vector == id).map_or(0.1, |place| 0.9 - 0.1 * place as f64);
            json!({"id": id, "content": content, "v": [near, (1.0 - near * near).sqrt(), 0.0]})
        });
        let batch = json!({"value": documents.collect::<Vec<Value>>()});
        assert_eq!(emulator.send("POST", DOCS, batch).await.0, 200);
        let query = json!({"kind": "vector", "vector": [1, 0, 0], "k": 3, "fields": "v"});
        let text = |body: &Value| -> Vec<String> {
            body["value"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hit| hit["id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(text(&emulator.search("docs", json!({"search": "zebra"})).await), texts);
        assert_eq!(text(&emulator.search("docs", json!({"vectorQueries": [query]})).await), vectors);
        let hybrid = emulator.search("docs", json!({"search": "zebra", "vectorQueries": [query]})).await;
        let found = hybrid["value"].as_array().unwrap();
        assert_eq!(found.len(), 7);
        for (id, score) in scores {
            let hit = found.iter().find(|hit| hit["id"] == id).unwrap();
            assert_eq!(hit["@search.score"].as_f64().unwrap().to_bits(), f64::to_bits(score), "{id}");
        }
        emulator.stop().await;
    }
}

#[tokio::test]
async fn data_survive_a_restart_and_one_folder_has_one_emulator() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = filled(dir.path(), &[]).await;
    let batch = json!({"value": [{"id": "1", "content": "apple", "n": 5, "v": [1, 0, 0]}, {"id": "2"}]});
    assert_eq!(emulator.send("POST", DOCS, batch).await.0, 200);
    assert_eq!(
        emulator.send("PUT", "/aliases('live')", json!({"name": "live", "indexes": ["docs"]})).await.0,
        201
    );
    // One more text field and one more vector field rebuild the table.
    let mut wider = small_index("docs");
    wider["fields"].as_array_mut().unwrap().extend([
        json!({"name": "w", "type": "Collection(Edm.Single)", "dimensions": 2, "vectorSearchProfile": "p"}),
        json!({"name": "title", "type": "Edm.String"}),
    ]);
    assert_eq!(emulator.send("PUT", "/indexes('docs')", wider).await.0, 200);
    let merge = json!({"value": [{"@search.action": "merge", "id": "1", "w": [0, 1], "title": "fruit"}]});
    assert_eq!(emulator.send("POST", DOCS, merge).await.0, 200);
    let same_folder =
        rag_api::config::EmulatorConfig { dir: dir.path().into(), admin_key: None, query_key: None };
    assert!(
        rag_api::emulator::router(&same_folder, Vec::new())
            .unwrap_err()
            .to_string()
            .contains("another emulator")
    );
    let (_, before) = emulator.send("GET", "/indexes('docs')", Value::Null).await;
    emulator.stop().await;

    // What a crash in the middle of a rebuild leaves.
    std::fs::create_dir_all(dir.path().join("emulator/docs/table-0x1/text")).unwrap();
    let emulator = Emulator::start(dir.path(), None, &[]).await;
    assert!(!dir.path().join("emulator/docs/table-0x1").exists());
    assert_eq!(emulator.send("GET", "/indexes('docs')", Value::Null).await.1, before);
    let queries = json!([
        {"kind": "vector", "vector": [1, 0, 0], "k": 1, "fields": "v"},
        {"kind": "vector", "vector": [0, 1], "k": 1, "fields": "w"}
    ]);
    let found = emulator
        .search("live", json!({"search": "fruit", "vectorQueries": queries, "select": "id,n,title"}))
        .await;
    assert_eq!(
        found["value"],
        json!([{"@search.score": 0.05000000447034836, "id": "1", "n": 5, "title": "fruit"}])
    );
    let (status, body) = emulator.send("DELETE", "/indexes('docs')", Value::Null).await;
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("OperationNotAllowed")));
    assert_eq!(emulator.send("DELETE", "/aliases('live')", Value::Null).await.0, 204);
    assert_eq!(emulator.send("DELETE", "/indexes('docs')", Value::Null).await.0, 204);
    assert_eq!(emulator.send("POST", "/indexes", small_index("docs")).await.0, 201);
    assert_eq!(emulator.send("GET", "/indexes('docs')/docs/$count", Value::Null).await, (200, json!(0)));
    emulator.stop().await;
}

#[tokio::test]
async fn keys_open_what_they_are_for() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::start(dir.path(), Some(("admin", "query")), &[]).await;
    let status = async |method: &str, path: &str, key: Option<&str>| {
        let mut request = emulator.request(method, path).body("{}");
        if let Some(key) = key {
            request = request.header("api-key", key);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let search = "/indexes('docs')/docs/search.post.search";
    assert_eq!(status("POST", search, None).await, 401);
    assert_eq!(status("POST", search, Some("other")).await, 403);
    assert_eq!(status("POST", search, Some("query")).await, 404);
    assert_eq!(status("GET", "/indexes", Some("query")).await, 403);
    assert_eq!(status("POST", DOCS, Some("query")).await, 403);
    assert_eq!(status("GET", "/indexes", Some("admin")).await, 200);
    assert_eq!(status("GET", "/indexes?api-key=admin", Some("admin")).await, 403);
    assert_eq!(status("GET", "/nowhere", None).await, 401);
}

#[tokio::test]
async fn conditions_are_honoured() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = filled(dir.path(), &[]).await;
    let put = async |name: &str, header: &str, value: &str| {
        let body = small_index(name).to_string();
        let request = emulator.request("PUT", &format!("/indexes('{name}')")).header(header, value);
        let reply = request.body(body).send().await.unwrap();
        (reply.status().as_u16(), reply.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned()))
    };
    assert_eq!(put("docs", "if-none-match", "*").await.0, 412);
    assert_eq!(put("docs", "if-match", "\"0x1\"").await.0, 412);
    assert_eq!(put("other", "if-match", "*").await.0, 412);
    let (status, etag) = put("docs", "if-match", "*").await;
    assert_eq!(status, 200);
    let etag = etag.unwrap();
    let (status, newer) = put("docs", "if-match", &etag).await;
    assert_eq!(status, 200);
    assert!(newer.unwrap() > etag, "the tag grows");
    assert_eq!(put("docs", "if-match", &etag).await.0, 412);
    let reply = emulator.request("DELETE", "/indexes('docs')").header("if-match", etag).send().await.unwrap();
    assert_eq!(reply.status(), 412);
}

#[tokio::test]
async fn faults_strike_as_they_were_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let faults = [
        "status=429,retry-after=7,on=search,first=1",
        "items=503,on=index,first=1",
        "413-over=2000",
        "delay-ms=300,on=lookup,first=1",
        "visibility-delay-ms=700",
    ];
    let emulator = filled(dir.path(), &faults).await;
    let path = "/indexes('docs')/docs/search.post.search";
    let reply = emulator.request("POST", path).body("{}").send().await.unwrap();
    assert_eq!((reply.status().as_u16(), &reply.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(emulator.send("POST", path, json!({})).await.0, 200);

    let batch = json!({"value": [{"id": "1"}, {"id": "2"}, {"id": "3"}]});
    let (status, body) = emulator.send("POST", DOCS, batch.clone()).await;
    let statuses: Vec<&Value> =
        body["value"].as_array().unwrap().iter().map(|item| &item["statusCode"]).collect();
    assert_eq!((status, statuses), (207, vec![&json!(503), &json!(201), &json!(503)]));
    let (status, body) = emulator.send("POST", DOCS, batch).await;
    assert_eq!((status, &body["value"][1]["statusCode"]), (200, &json!(200)));
    let large = json!({"value": [{"id": "9", "content": "x".repeat(3_000)}]});
    assert_eq!(emulator.send("POST", DOCS, large).await.0, 413);

    let start = Instant::now();
    let count = async || emulator.send("GET", "/indexes('docs')/docs/$count", Value::Null).await;
    assert_eq!(count().await, (200, json!(0)), "writes are not seen yet");
    assert!(start.elapsed() >= Duration::from_millis(300));
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(count().await, (200, json!(3)));
    emulator.stop().await;

    let emulator = Emulator::start(dir.path(), None, &["cut,on=manage"]).await;
    let reply = emulator.request("GET", "/indexes").send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.text().await.is_err(), "the body must end early");
}

#[tokio::test]
async fn hostile_requests_are_refused_and_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = filled(dir.path(), &[]).await;
    let search = "/indexes('docs')/docs/search.post.search";
    for body in [
        "".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "[".repeat(1 << 20),
        json!({"filter": "(".repeat(1 << 20)}).to_string(),
        json!({"filter": "not ".repeat(1 << 18)}).to_string(),
        json!({"search": "(".repeat(99_999)}).to_string(),
        json!({"search": "a ".repeat(49_999)}).to_string(),
        json!({"orderby": "n,".repeat(10_000)}).to_string(),
    ] {
        let reply = emulator.request("POST", search).body(body.clone()).send().await.unwrap();
        assert_eq!(reply.status(), 400, "{}", body.chars().take(60).collect::<String>());
        assert_eq!(reply.headers()["content-type"], "application/json; charset=utf-8");
        assert!(reply.text().await.unwrap().len() < 10_000);
    }
    let huge = format!("{{\"value\": [{{\"id\": \"1\", \"content\": \"{}\"}}]}}", "x".repeat(17 << 20));
    assert_eq!(emulator.request("POST", DOCS).body(huge).send().await.unwrap().status(), 413);
    for path in
        ["/indexes('..%2F..')", "/indexes('%00')", "/indexes('docs')/docs('%ff')", "/indexes/a/b/c/d/e"]
    {
        assert!(matches!(emulator.send("GET", path, Value::Null).await.0, 400 | 404), "{path}");
    }
    let evil = json!({"name": "../evil", "fields": [{"name": "id", "type": "Edm.String", "key": true}]});
    assert_eq!(emulator.send("POST", "/indexes", evil).await.0, 400);
    let url = format!("{}/indexes", emulator.base);
    assert_eq!(emulator.client.get(&url).send().await.unwrap().status(), 400, "no api-version");
    assert_eq!(emulator.client.get(format!("{url}?api-version=x")).send().await.unwrap().status(), 400);
    assert_eq!(
        emulator.client.get(format!("{url}?api-version=2027-01-01-preview")).send().await.unwrap().status(),
        200
    );
    assert_eq!(emulator.send("GET", "/indexes('docs')/docs/$count", Value::Null).await, (200, json!(0)));
}
