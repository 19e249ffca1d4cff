//! The Azure AI Search reader by its wire: exact request, refusal, silence, rubbish.

use std::time::{Duration, Instant};

use rag_api::{
    domain::{Filter, SearchMode, VectorWeight},
    retrieval::{RetrievalError, SearchRequest, azure::AzureIndex},
    upstream::BreakerState,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    azure_server::{
        ADMIN_KEY, Azure, MARKER, QUERY_KEY, ask, axis, config, fingerprint, metrics, source, with_query_key,
    },
    openai_server::Reply,
};

fn hit(id: &str, score: f64) -> Value {
    json!({"@search.score": score, "id": id, "content": "c", "source": "s", "chunkIndex": 1, "tags": [], "unknown": {}})
}

async fn keyword(index: &AzureIndex) -> Result<Vec<String>, RetrievalError> {
    let filter = Filter::default();
    let found = index.search(&ask("annual leave", None, SearchMode::Keyword, &filter)).await?;
    Ok(found.hits.into_iter().map(|hit| hit.chunk.id.0).collect())
}

#[tokio::test]
async fn the_search_is_exactly_this_and_its_hits_are_read() {
    let server = Azure::start().await;
    let index = server.reader(with_query_key).await;
    let mut found = hit("k1", 0.033_333_335_071_802_14);
    found["contentVector"] = json!(axis(3).as_slice());
    found["pageNumber"] = json!(4);
    server.inside.lock().unwrap().hits = vec![found];
    let filter = Filter { source: vec!["o'brien.md".into()], tags: vec!["hr".into()], ..Filter::default() };
    let vector = axis(3);
    let request = SearchRequest {
        vector_weight: Some(VectorWeight::parse(2.0).unwrap()),
        ..ask("annual -leave (hours)", Some(&vector), SearchMode::Hybrid, &filter)
    };
    let found = index.search(&request).await.unwrap();

    let [hit] = found.hits.as_slice() else { panic!("{} hits", found.hits.len()) };
    assert_eq!((hit.chunk.id.0.as_str(), hit.chunk.page_number, hit.score), ("k1", Some(4), 0.033_333_335));
    assert_eq!((hit.cosine, hit.caption.as_deref()), (Some(1.0), None));
    assert!(found.version.starts_with("azure-ragdocs-1"), "{}", found.version);

    let inside = server.inside.lock().unwrap();
    let [request] = inside.seen.as_slice() else { panic!("{} requests", inside.seen.len()) };
    assert_eq!(request.path, "/indexes('ragdocs')/docs/search.post.search?api-version=2026-04-01");
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("api-key"), Some(QUERY_KEY));
    assert_eq!(header("accept"), Some("application/json;odata.metadata=none"));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("accept-encoding"), Some("gzip"));
    assert_eq!(header("x-ms-client-request-id").map(str::len), Some(36));
    assert_eq!(header("authorization"), None);
    assert_eq!(
        request.body,
        json!({
            "search": "annual \\-leave \\(hours\\)", "queryType": "simple", "searchFields": "content,title", "searchMode": "any",
            "filter": "source eq 'o''brien.md' and tags/any(t: t eq 'hr')", "top": 3, "vectorFilterMode": "preFilter",
            "select": "id,content,title,source,createdAt,pageNumber,chunkIndex,contentHash,language,tags,contentVector",
            "vectorQueries": [{"vector": vector.as_slice(), "k": 100, "fields": "contentVector", "weight": 2.0, "kind": "vector"}],
        })
    );
}

#[tokio::test]
async fn pages_are_fetched_until_there_are_enough() {
    let server = Azure::start().await;
    let index = server.reader(|_| {}).await;
    server.inside.lock().unwrap().hits = (0..1_200).map(|n| hit(&format!("k{n}"), 1.0)).collect();
    let filter = Filter::default();
    let request = SearchRequest { top: 1_100, ..ask("leave", None, SearchMode::Keyword, &filter) };
    let found = index.search(&request).await.unwrap();
    assert_eq!((found.hits.len(), found.hits[1_099].chunk.id.0.as_str()), (1_100, "k1099"));
    let pages: Vec<_> = {
        let inside = server.inside.lock().unwrap();
        inside.seen.iter().map(|seen| (seen.body.get("skip").cloned(), seen.body["top"].clone())).collect()
    };
    assert_eq!(pages, [(None, json!(1_000)), (Some(json!(1_000)), json!(100))]);

    // A service that cuts pages at fifty says that there are more, until there are none.
    let cut = |ids: std::ops::Range<i32>, more: bool| {
        let value: Vec<_> = ids.map(|n| hit(&n.to_string(), 1.0)).collect();
        let mut body = json!({"value": value});
        if more {
            body["@search.nextPageParameters"] = json!({"search": "evil", "skip": 7});
        }
        Some(Reply::json(200, body))
    };
    server.forget();
    server.script([cut(0..50, true), cut(50..70, false)]);
    let request = SearchRequest { top: 500, ..ask("leave", None, SearchMode::Keyword, &filter) };
    assert_eq!(index.search(&request).await.unwrap().hits.len(), 70);
    assert_eq!(server.inside.lock().unwrap().seen[1].body["skip"], 50);
}

#[tokio::test]
async fn a_hybrid_search_of_one_list_has_the_scores_of_fusion() {
    let server = Azure::start().await;
    let index = server.reader(|_| {}).await;
    server.inside.lock().unwrap().hits = vec![hit("a", 7.5), hit("b", 3.0)];
    let (vector, filter) = (axis(0), Filter::default());
    let weight = |weight| Some(VectorWeight::parse(weight).unwrap());
    let request = SearchRequest {
        vector_weight: weight(0.0),
        ..ask("leave", Some(&vector), SearchMode::Hybrid, &filter)
    };
    let scores: Vec<f32> = index.search(&request).await.unwrap().hits.iter().map(|hit| hit.score).collect();
    assert_eq!(scores, [1.0 / 60.0, 1.0 / 61.0]);
    assert_eq!(server.inside.lock().unwrap().seen[0].body.get("vectorQueries"), None);
    server.forget();
    let nothing = index.search(&ask("?", None, SearchMode::Keyword, &filter)).await.unwrap();
    assert!(nothing.hits.is_empty() && server.count() == 0, "a question without words was sent");
}

#[tokio::test]
async fn partial_semantic_answers_are_answers_with_captions() {
    let server = Azure::start().await;
    let index = server.reader(|config| config.semantic = true).await;
    let mut row = hit("a", 0.02);
    row["@search.captions"] = json!([{"text": "The sentence.", "highlights": ""}]);
    let body = json!({"@search.semanticPartialResponseReason": "transient", "value": [row, hit("b", 0.03)]});
    server.script([Some(Reply::json(206, body))]);
    let (vector, filter) = (axis(0), Filter::default());
    let found = index.search(&ask("leave", Some(&vector), SearchMode::Hybrid, &filter)).await.unwrap();
    let captions: Vec<_> =
        found.hits.iter().map(|hit| (hit.chunk.id.0.as_str(), hit.caption.as_deref())).collect();
    assert_eq!(captions, [("a", Some("The sentence.")), ("b", None)]);
    assert_eq!(server.inside.lock().unwrap().seen[0].body["queryType"], "semantic");
}

#[tokio::test]
async fn passing_failures_are_tried_again_when_the_service_says() {
    for (status, after, least) in
        [(503, Some("1"), 1_000), (429, None, 250), (500, None, 250), (408, None, 250)]
    {
        let server = Azure::start().await;
        let index = server.reader(|_| {}).await;
        server.inside.lock().unwrap().hits = vec![hit("a", 1.0)];
        let mut reply = Reply::json(status, json!({"error": {"code": "", "message": "busy"}}));
        if let Some(after) = after {
            reply = reply.header("retry-after", after);
        }
        server.script([Some(reply)]);
        assert_eq!(keyword(&index).await.unwrap(), ["a"]);
        let inside = server.inside.lock().unwrap();
        assert_eq!(inside.seen.len(), 2);
        let waited = inside.seen[1].at - inside.seen[0].at;
        assert!(
            waited >= Duration::from_millis(least) && waited < Duration::from_secs(3),
            "{status}: {waited:?}"
        );
        let id = |at: usize| inside.seen[at].headers["x-ms-client-request-id"].clone();
        assert_ne!(id(0), id(1));
    }
}

#[tokio::test]
async fn refusals_come_at_once_and_without_the_words_of_the_service() {
    let secret = "PRIVATE passage and question";
    for (status, expected) in
        [(400, "Rejected"), (401, "Unauthorized"), (403, "Unauthorized"), (404, "Missing"), (301, "Rejected")]
    {
        let server = Azure::start().await;
        let index = server.reader(|_| {}).await;
        let body = json!({"error": {"code": "InvalidRequestParameter", "message": secret, "details": [{"code": secret, "message": secret}]}});
        server.script([Some(Reply::json(status, body).header("location", "http://127.0.0.1:1/"))]);
        let error = keyword(&index).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{status}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("PRIVATE") && !error.to_string().contains(ADMIN_KEY));
        assert_eq!(server.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn rubbish_and_cut_replies_are_failures_and_not_hits() {
    let server = Azure::start().await;
    let index = server.reader(|_| {}).await;
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        "{\"value\": 7}",
        "{\"value\": [{\"id\": 3}]}",
        "{\"value\": [{\"@search.score\": 1",
    ] {
        server.script([Some(Reply::new(200, body)), Some(Reply::new(200, body))]);
        let error = keyword(&index).await.unwrap_err();
        assert!(matches!(error, RetrievalError::Unavailable { .. }), "{body}: {error:?}");
        server.inside.lock().unwrap().hits = vec![];
        // A reply in between, so that the breaker stays out of this.
        keyword(&index).await.unwrap();
    }

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cut = config(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4_096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"value\": [").await;
        }
    });
    let index = AzureIndex::connect(&cut, fingerprint(), metrics()).unwrap();
    assert!(matches!(keyword(&index).await, Err(RetrievalError::Unavailable { .. })));
}

#[tokio::test]
async fn silence_ends_at_the_time_limits() {
    let server = Azure::start().await;
    let index = server
        .reader(|config| {
            config.timeout = Duration::from_millis(300);
            config.deadline = Duration::from_millis(900);
            config.max_retries = 9;
        })
        .await;
    let silent = Reply { delay: Duration::from_secs(20), ..Reply::new(200, "") };
    server.script(vec![Some(silent); 9]);
    let begun = Instant::now();
    assert!(matches!(keyword(&index).await, Err(RetrievalError::Timeout)));
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    assert!((1..=3).contains(&server.count()), "{}", server.count());
}

#[tokio::test]
async fn the_breaker_opens_leaves_the_service_alone_and_recovers() {
    let server = Azure::start().await;
    let index = server.reader(|config| config.max_retries = 0).await;
    server.script(vec![Some(Reply::new(500, "")); 5]);
    for _ in 0..5 {
        assert!(keyword(&index).await.is_err());
    }
    assert_eq!(index.breaker(), BreakerState::Open);
    assert!(matches!(index.problem(), Some(RetrievalError::Unavailable { .. })));
    let asked = server.count();
    assert!(keyword(&index).await.is_err());
    assert_eq!(server.count(), asked, "an open breaker let a request through");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    keyword(&index).await.unwrap();
    assert_eq!((index.breaker(), index.problem().is_none()), (BreakerState::Closed, true));
}

#[tokio::test]
async fn refusals_do_not_open_the_breaker() {
    let server = Azure::start().await;
    let index = server.reader(|_| {}).await;
    server.script(vec![Some(Reply::json(400, json!({}))); 10]);
    for _ in 0..10 {
        assert!(keyword(&index).await.is_err());
    }
    assert_eq!(index.breaker(), BreakerState::Closed);
}

#[tokio::test]
async fn the_first_search_looks_at_the_index_and_says_what_is_wrong_with_it() {
    let server = Azure::start().await;
    let connect = || AzureIndex::connect(&server.config(), fingerprint(), metrics()).unwrap();
    assert!(matches!(connect().problem(), Some(RetrievalError::Unavailable { .. })), "not looked yet");
    assert!(matches!(keyword(&connect()).await, Err(RetrievalError::Missing)));

    let mut writer = server.writer().await.unwrap();
    writer.replace(source("a.md", 2, "d")).await.unwrap();
    writer.finish().await.unwrap();
    let index = connect();
    assert!(keyword(&index).await.is_ok());
    assert_eq!((index.chunk_count(), index.problem().is_none()), (2, true));

    let set = |text: &str| {
        let mut inside = server.inside.lock().unwrap();
        let (_, documents) = inside.indexes.get_mut("ragdocs").unwrap();
        documents.insert(MARKER.into(), json!({"id": MARKER, "document": text}));
    };
    let mut other = fingerprint();
    other.model = "another".into();
    set(&json!({"fingerprint": other, "version": 1}).to_string());
    let error = keyword(&connect()).await.unwrap_err();
    assert!(matches!(&error, RetrievalError::Incompatible(text) if text.contains("another")), "{error}");
    set("rubbish");
    assert!(matches!(keyword(&connect()).await, Err(RetrievalError::Incompatible(_))));
    server.inside.lock().unwrap().indexes.get_mut("ragdocs").unwrap().1.remove(MARKER);
    let error = keyword(&connect()).await.unwrap_err();
    assert!(error.to_string().contains("rag-api index rebuild"), "{error}");
}

#[tokio::test]
async fn a_service_that_fails_does_not_make_a_known_index_unknown() {
    let server = Azure::start().await;
    let index = server.reader(|config| config.max_retries = 0).await;
    let version = index.version();
    server.script([Some(Reply::new(500, ""))]);
    index.refresh().await;
    assert!(matches!(index.problem(), Some(RetrievalError::Unavailable { .. })));
    keyword(&index).await.unwrap();
    assert_eq!(index.version(), version);
    index.refresh().await;
    assert!(index.problem().is_none());
}

#[tokio::test]
async fn the_watch_ends_with_the_last_clone() {
    let server = Azure::start().await;
    let mut slow = server.config();
    slow.deadline = Duration::from_secs(5);
    let index = AzureIndex::connect(&slow, fingerprint(), metrics()).unwrap();
    let clone = index.clone();
    drop(index);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(server.count() > 0, "it looks by itself");
    drop(clone);
    server.forget();
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn retries_and_the_breaker_are_counted() {
    let server = Azure::start().await;
    server.writer().await.unwrap().finish().await.unwrap();
    let metrics = metrics();
    let index = AzureIndex::connect(&server.config(), fingerprint(), metrics.clone()).unwrap();
    index.refresh().await;
    server.script([Some(Reply::new(503, ""))]);
    keyword(&index).await.unwrap();
    let text = metrics.render().unwrap();
    for line in [
        r#"upstream_retries_total{upstream="azure_search"} 1"#,
        r#"upstream_breaker_state{upstream="azure_search"} 0"#,
    ] {
        assert!(text.contains(line), "{line}");
    }
}
