//! Requests recorded from Microsoft's client, answered by the emulator with the recorded statuses, names
//! of members and, for errors of the real service, texts.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::{emulator_server::Emulator, support::shared};

/// What must be there before the recorded request.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Nothing,
    /// The recorded index without documents.
    Index,
    /// With doc-1 and doc-2.
    Documents,
    /// And an alias for it.
    Alias,
    /// With 52 documents.
    Many,
}

/// Recordings of what is not emulated.
const REFUSED: &[&str] = &[
    "autocomplete",
    "error-400-lucene",
    "knowledge-base-create-or-update",
    "knowledge-base-retrieve",
    "knowledge-source-create-or-update",
    "search-all-parameters",
    "search-hybrid-multi-vector",
    "search-hybrid-semantic",
    "search-hybrid-semantic-partial",
    "suggest",
];

#[tokio::test]
async fn recorded_requests_get_answers_of_the_recorded_shape() {
    let Some(folder) = shared("azure-search/recorded") else { return };
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let recording = |name: &str| read(&folder.join(format!("{name}.json")));
    let definition = recording("index-create")["request"]["body"].clone();
    let upload = recording("docs-upload")["request"]["body"].clone();
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut conforming, mut refused) = (0, 0);
    for path in paths {
        let recorded = read(&path);
        let name = recorded["name"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let emulator = Emulator::start(dir.path(), keys(name), &faults(name)).await;
        let etag = prepare(&emulator, name, &definition, &upload).await;
        let (status, body) = replay(&emulator, name, &recorded["request"], &etag).await;
        if REFUSED.contains(&name) {
            assert_eq!(
                (status, body["error"]["code"].as_str()),
                (400, Some("NotEmulated")),
                "{name}: {body}"
            );
            assert!(body["error"]["message"].as_str().unwrap().ends_with("is not emulated."), "{name}");
            refused += 1;
            continue;
        }
        let wanted = &recorded["response"];
        assert_eq!(Value::from(status), wanted["status"], "{name}: {body}");
        check(name, wanted, &body);
        conforming += 1;
    }
    println!("{conforming} recorded exchanges conform, {refused} are refused as not emulated");
    assert_eq!((conforming, refused), (64, REFUSED.len()));
}

fn keys(name: &str) -> Option<(&'static str, &'static str)> {
    matches!(name, "error-401" | "error-403" | "auth-api-key").then_some(("REDACTED", "query"))
}

fn faults(name: &str) -> Vec<&'static str> {
    match name {
        "docs-413-single" | "docs-413-splits" => vec!["413-over=1000"],
        "docs-partial-errors-207" => vec!["items=503"],
        "docs-retry-429" => vec!["status=429,retry-after=1,on=index"],
        "docs-retry-503" => vec!["status=503,retry-after=1,on=index"],
        "error-429" | "retry-429-without-retry-after" => vec!["status=429,on=search"],
        "error-503" | "error-503-coverage" | "retry-503-without-retry-after" => vec!["status=503,on=search"],
        _ => Vec::new(),
    }
}

fn given(name: &str) -> Given {
    match name {
        "index-create"
        | "index-create-or-update-created"
        | "error-404"
        | "index-get-404"
        | "index-delete-404" => Given::Nothing,
        "docs-upload" | "alias-create-or-update" => Given::Index,
        "alias-get" => Given::Alias,
        "search-paging" => Given::Many,
        _ if !faults(name).is_empty() || keys(name).is_some() && name != "auth-api-key" => Given::Nothing,
        _ => Given::Documents,
    }
}

/// Gives back the tag of the index.
async fn prepare(emulator: &Emulator, name: &str, definition: &Value, upload: &Value) -> String {
    let given = given(name);
    if given == Given::Nothing && name != "docs-partial-errors-207" {
        return String::new();
    }
    let mut definition = definition.clone();
    match name {
        // The recorded request says false.
        "error-400-cannot-change-field" => definition["fields"][8]["stored"] = true.into(),
        "search-debug-vector" | "search-hybrid-multi-vector" => {
            definition["fields"][8]["dimensions"] = 8.into();
            let mut another = definition["fields"][8].clone();
            another["name"] = "title_vector".into();
            definition["fields"].as_array_mut().unwrap().push(another);
        }
        _ => {}
    }
    let send = async |method: &str, path: &str, body: Value| -> Value {
        let request = emulator.request(method, path).header("api-key", "REDACTED").body(body.to_string());
        let reply = request.send().await.unwrap();
        assert!(reply.status().is_success(), "{name}: {path}");
        reply.json().await.unwrap()
    };
    let index = send("POST", "/indexes", definition).await;
    let path = "/indexes('rag-chunks-v1')/docs/search.index?allowUnsafeKeys=true";
    let mut documents = match given {
        Given::Documents | Given::Alias => upload["value"].as_array().unwrap().clone(),
        Given::Many => {
            (0..52).map(|n| json!({"id": n.to_string(), "content": "about vector search"})).collect()
        }
        Given::Nothing | Given::Index => Vec::new(),
    };
    match name {
        "docs-get-selected" => documents.push(json!({"id": "o'brien=_-1", "title": "Guide"})),
        "docs-mixed-batch" => documents.push(json!({"id": "doc-3", "title": "Guide"})),
        "search-debug-vector" | "search-hybrid-multi-vector" => {
            documents = vec![json!({"id": "doc-1", "content": "q", "content_vector": vec![0.5; 8]})];
        }
        _ => {}
    }
    if name != "docs-partial-errors-207" && !documents.is_empty() {
        send("POST", path, json!({"value": documents})).await;
    }
    if given == Given::Alias {
        send("PUT", "/aliases('rag-chunks')", json!({"name": "rag-chunks", "indexes": ["rag-chunks-v1"]}))
            .await;
    }
    index["@odata.etag"].as_str().unwrap().to_owned()
}

async fn replay(emulator: &Emulator, name: &str, recorded: &Value, etag: &str) -> (u16, Value) {
    let mut url = format!("{}{}", emulator.base, recorded["path"].as_str().unwrap());
    let mut joint = '?';
    for (key, value) in recorded["query"].as_object().unwrap() {
        url.push_str(&format!("{joint}{key}={}", value.as_str().unwrap()));
        joint = '&';
    }
    let mut request = emulator.client.request(recorded["method"].as_str().unwrap().parse().unwrap(), url);
    for (header, value) in recorded["headers"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        match header.to_ascii_lowercase().as_str() {
            "host" | "content-length" | "accept-encoding" | "connection" => {}
            "api-key" if name == "error-401" => {}
            "api-key" if name == "error-403" => request = request.header("api-key", "wrong"),
            "if-match" if name == "index-create-or-update-if-match" => {
                request = request.header("if-match", etag)
            }
            header => request = request.header(header, value),
        }
    }
    if name == "error-412" {
        request = request.header("if-none-match", "*");
    }
    let mut body = recorded["body"].clone();
    if name == "error-400-unknown-vector-profile" {
        body["vectorSearch"]["profiles"][0]["name"] = "another".into();
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let reply = request.send().await.unwrap();
    let status = reply.status().as_u16();
    for header in ["request-id", "elapsed-time"] {
        assert!(reply.headers().contains_key(header), "{name}: {header}");
    }
    let text = reply.text().await.unwrap();
    let text = text.trim_start_matches('\u{feff}');
    (status, serde_json::from_str(text).unwrap_or(Value::Null))
}

fn check(name: &str, wanted: &Value, found: &Value) {
    let body = &wanted["body"];
    if let Some(digits) = body.as_str() {
        assert!(found.is_u64(), "{name}: {found} for {digits:?}");
        return;
    }
    // Where no body was seen, a sentence may help.
    if body.is_null() {
        assert!(found.is_null() || found["error"]["message"].is_string(), "{name}: {found}");
        return;
    }
    if name == "index-list-names" {
        // The recorded client asks for whole definitions here, too.
        assert!(found["value"][0]["name"].is_string());
        return;
    }
    let invented = body["error"]["message"].as_str().is_some_and(|message| message.starts_with("(invented"));
    if body["error"].is_object() && !invented && name != "error-503-coverage" {
        let mut text = body.to_string().replace("example-svc", "emulator");
        if name == "error-404" {
            // Its request and answer are of two indexes.
            text = text.replace("'nope'", "'rag-chunks-v1'");
        }
        assert_eq!(*found, serde_json::from_str::<Value>(&text).unwrap(), "{name}");
        return;
    }
    same_members(name, body, found);
}

/// Objects have the same members; of lists, the first items are compared.
fn same_members(place: &str, wanted: &Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            // Crafted hits are not projected by `select`, so only their annotations say something.
            let hit = wanted.contains_key("@search.score");
            let names = |map: &serde_json::Map<String, Value>| -> BTreeSet<String> {
                map.keys().filter(|name| !hit || name.starts_with('@')).cloned().collect()
            };
            assert_eq!(names(found), names(wanted), "{place}");
            for name in names(wanted) {
                same_members(&format!("{place}/{name}"), &wanted[&name], &found[&name]);
            }
        }
        (Value::Array(wanted), Value::Array(found)) => {
            if let (Some(wanted), Some(found)) = (wanted.first(), found.first()) {
                same_members(&format!("{place}/0"), wanted, found);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => assert_eq!(
            std::mem::discriminant(wanted),
            std::mem::discriminant(found),
            "{place}: {found} for {wanted}"
        ),
    }
}
