//! A small search service in memory: it keeps documents, does what its script says first, and tells what was asked of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
};
use rag_api::{
    config::{AzureAuth, AzureConfig, Config, EnvReader, SearchBackend},
    domain::{Chunk, ChunkId, Embedding, Filter, SearchMode},
    retrieval::{
        Fingerprint, RetrievalError, SearchRequest, SourceChunks,
        azure::{AzureIndex, AzureWriter},
    },
    telemetry::Metrics,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::openai_server::{Reply, Seen};

pub const ADMIN_KEY: &str = "admin-key-4711";
pub const QUERY_KEY: &str = "query-key-4712";
pub const MARKER: &str = "rag-api-fingerprint";

type Documents = BTreeMap<String, Value>;

#[derive(Default)]
pub struct Inside {
    pub seen: Vec<Seen>,
    /// For the next requests: a reply, or `None` to do the work.
    pub script: VecDeque<Option<Reply>>,
    /// Requests that still work; then each is answered 500.
    pub alive_for: Option<usize>,
    pub indexes: BTreeMap<String, (Value, Documents)>,
    pub aliases: BTreeMap<String, String>,
    /// Hits of every question.
    pub hits: Vec<Value>,
}

#[derive(Clone)]
pub struct Azure {
    pub url: String,
    pub inside: Arc<Mutex<Inside>>,
}

impl Azure {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, inside: Arc::default() };
        let app = Router::new()
            .fallback(answer)
            .with_state(server.clone())
            .layer(axum::extract::DefaultBodyLimit::max(64 << 20));
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub fn config(&self) -> AzureConfig {
        config(&self.url)
    }

    pub fn script(&self, replies: impl IntoIterator<Item = Option<Reply>>) {
        self.inside.lock().unwrap().script.extend(replies);
    }

    pub fn forget(&self) {
        self.inside.lock().unwrap().seen.clear();
    }

    pub fn count(&self) -> usize {
        self.inside.lock().unwrap().seen.len()
    }

    pub fn documents(&self, index: &str) -> Documents {
        let inside = self.inside.lock().unwrap();
        inside.indexes.get(index).map(|(_, documents)| documents.clone()).unwrap_or_default()
    }

    pub async fn writer(&self) -> Result<AzureWriter, RetrievalError> {
        AzureWriter::open(&self.config(), &fingerprint(), metrics()).await
    }

    /// An index with its marker and nothing else, and a reader of it.
    pub async fn reader(&self, change: impl FnOnce(&mut AzureConfig)) -> AzureIndex {
        self.writer().await.unwrap().finish().await.unwrap();
        let mut config = self.config();
        change(&mut config);
        let index = AzureIndex::connect(&config, fingerprint(), metrics()).unwrap();
        index.refresh().await;
        assert!(index.problem().is_none(), "{:?}", index.problem());
        // The watching task looks at once as well.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.forget();
        index
    }
}

pub fn config(url: &str) -> AzureConfig {
    let pairs = [("AZURE_SEARCH_ENDPOINT", url), ("AZURE_SEARCH_API_KEY", ADMIN_KEY)];
    let SearchBackend::Azure(mut config) = Config::read(EnvReader::from_pairs(pairs)).unwrap().search else {
        panic!("not azure")
    };
    config.max_retries = 1;
    *config
}

pub fn with_query_key(config: &mut AzureConfig) {
    let key = |text: &str| Some(SecretString::from(text.to_owned()));
    config.auth = AzureAuth::Key { admin: key(ADMIN_KEY), query: key(QUERY_KEY) };
}

pub fn metrics() -> Metrics {
    Metrics::new("0", "0", None).unwrap()
}

pub fn fingerprint() -> Fingerprint {
    Fingerprint { model: "m".into(), weights_sha256: "w".into(), chunker: "c".into(), dimensions: 384 }
}

/// The unit vector along one axis.
pub fn axis(at: usize) -> Embedding {
    let mut values = vec![0.0; 384];
    values[at] = 1.0;
    Embedding::new(values).unwrap()
}

pub fn source(name: &str, chunks: usize, document: &str) -> SourceChunks {
    let chunk = |index: usize| Chunk {
        id: ChunkId(format!("{name}-{index}")),
        source: name.to_owned(),
        title: Some("Title".into()),
        content: format!("{document} {index}"),
        page_number: None,
        chunk_index: u32::try_from(index).unwrap(),
        content_hash: "h".into(),
        language: Some("en".into()),
        tags: vec!["hr".into()],
        created_at: "2026-11-22T08:00:00Z".into(),
    };
    let chunks = (0..chunks).map(|index| (chunk(index), axis(index % 384))).collect();
    SourceChunks { source: name.to_owned(), chunks, document: document.to_owned() }
}

pub fn ask<'a>(
    text: &'a str,
    vector: Option<&'a Embedding>,
    mode: SearchMode,
    filter: &'a Filter,
) -> SearchRequest<'a> {
    SearchRequest { text, vector, mode, top: 3, filter, vector_weight: None }
}

async fn answer(
    State(server): State<Azure>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let reply = {
        let mut inside = server.inside.lock().unwrap();
        let scripted = inside.script.pop_front().flatten();
        let dead = inside.alive_for.as_mut().is_some_and(|left| {
            let dead = *left == 0;
            *left = left.saturating_sub(1);
            dead
        });
        let reply = match scripted {
            Some(reply) => reply,
            None if dead => Reply::new(500, ""),
            None => inside.work(&method, uri.path(), &body),
        };
        inside.seen.push(Seen { method, path: uri.to_string(), headers, body, at: Instant::now() });
        reply
    };
    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

impl Inside {
    fn work(&mut self, method: &Method, path: &str, body: &Value) -> Reply {
        let missing = || Reply::json(404, json!({"error": {"code": "", "message": "not found"}}));
        let (kind, rest) = path[1..].split_once("('").unwrap();
        let (name, rest) = rest.split_once("')").unwrap();
        if kind == "aliases" {
            return match *method {
                Method::PUT => {
                    self.aliases.insert(name.into(), body["indexes"][0].as_str().unwrap().into());
                    Reply::json(200, body.clone())
                }
                Method::DELETE if self.aliases.remove(name).is_some() => Reply::new(204, ""),
                Method::GET if self.aliases.contains_key(name) => {
                    Reply::json(200, json!({"name": name, "indexes": [self.aliases[name]]}))
                }
                _ => missing(),
            };
        }
        if rest.is_empty() && *method == Method::PUT {
            let documents = self.indexes.remove(name).map(|(_, documents)| documents).unwrap_or_default();
            self.indexes.insert(name.into(), (body.clone(), documents));
            return Reply::json(201, body.clone());
        }
        if rest.is_empty() && *method == Method::DELETE {
            return if self.indexes.remove(name).is_some() { Reply::new(204, "") } else { missing() };
        }
        let target = self.aliases.get(name).cloned().unwrap_or_else(|| name.to_owned());
        let hits = self.hits.clone();
        let Some((definition, documents)) = self.indexes.get_mut(&target) else { return missing() };
        match rest {
            "" => Reply::json(200, definition.clone()),
            "/search.stats" => Reply::json(
                200,
                json!({"documentCount": documents.len(), "storageSize": 10, "vectorIndexSize": 5}),
            ),
            "/docs/$count" => Reply::new(200, format!("\u{feff}{}", documents.len())),
            "/docs/search.index" => index(documents, &body["value"]),
            "/docs/search.post.search" if body["search"] == "*" => list(documents, body),
            "/docs/search.post.search" => {
                let (skip, top) = (body["skip"].as_u64().unwrap_or(0), body["top"].as_u64().unwrap());
                let page: Vec<_> = hits.iter().skip(skip as usize).take(top as usize).collect();
                Reply::json(200, json!({"value": page}))
            }
            key => {
                let key = key.strip_prefix("/docs('").unwrap().strip_suffix("')").unwrap();
                documents
                    .get(key)
                    .map_or_else(|| Reply::new(404, ""), |document| Reply::json(200, document.clone()))
            }
        }
    }
}

fn index(documents: &mut Documents, actions: &Value) -> Reply {
    let mut items = Vec::new();
    for action in actions.as_array().unwrap() {
        let mut fields = action.as_object().unwrap().clone();
        let kind = fields.remove("@search.action").unwrap();
        let key = fields["id"].as_str().unwrap().to_owned();
        let done = match kind.as_str().unwrap() {
            "delete" => {
                documents.remove(&key);
                true
            }
            "merge" if !documents.contains_key(&key) => false,
            "merge" | "mergeOrUpload" => {
                let document = documents.entry(key.clone()).or_insert_with(|| json!({}));
                document.as_object_mut().unwrap().extend(fields);
                true
            }
            other => panic!("{other}"),
        };
        items.push(json!({"key": key, "status": done, "errorMessage": null, "statusCode": if done { 200 } else { 404 }}));
    }
    Reply::json(
        if items.iter().all(|item| item["status"] == true) { 200 } else { 207 },
        json!({"value": items}),
    )
}

/// The few filters that this program writes for itself.
fn list(documents: &Documents, body: &Value) -> Reply {
    let filter = body["filter"].as_str().unwrap_or_default();
    let literal = |text: &str| text.trim_matches('\'').replace("''", "'");
    let matches = |document: &Value| {
        let holds = |part: &str| {
            let [field, op, value] = part.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            let stored = document.get(field).cloned().unwrap_or(Value::Null);
            let text = stored.as_str().unwrap_or_default();
            match op {
                "ne" if value == "null" => !stored.is_null(),
                "ne" => text != literal(value),
                "gt" => text > literal(value).as_str(),
                "eq" if value.starts_with('\'') => text == literal(value),
                "eq" => stored == serde_json::from_str::<Value>(value).unwrap(),
                other => panic!("{other}"),
            }
        };
        filter.split(" and ").all(|part| part.trim_matches(['(', ')']).split(" or ").any(holds))
    };
    let found: Vec<_> = documents.values().filter(|document| matches(document)).collect();
    let top = usize::try_from(body["top"].as_u64().unwrap()).unwrap();
    let page: Vec<_> = found.iter().take(top).collect();
    Reply::json(200, json!({"@odata.count": found.len(), "value": page}))
}
