//! Starts the emulated search service on a free port, over a folder that is kept for restarts.

use std::{path::Path, time::Duration};

use rag_api::{
    config::EmulatorConfig,
    emulator::{Fault, router},
    http::serve,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub struct Emulator {
    pub base: String,
    pub client: reqwest::Client,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

impl Emulator {
    pub async fn start(dir: &Path, keys: Option<(&str, &str)>, faults: &[&str]) -> Self {
        let secret = |text: &str| Some(text.to_owned().into());
        let config = EmulatorConfig {
            dir: dir.to_owned(),
            admin_key: keys.and_then(|(admin, _)| secret(admin)),
            query_key: keys.and_then(|(_, query)| secret(query)),
        };
        let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let router = router(&config, faults).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            serve(listener, router, shutdown, Duration::from_secs(2)).await;
        });
        Self { base, client: reqwest::Client::new(), stop: Some(stop), running }
    }

    /// Returns when the folder is free again.
    pub async fn stop(mut self) {
        drop(self.client);
        let _ = self.stop.take().unwrap().send(());
        self.running.await.unwrap();
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let joint = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{joint}api-version=2026-04-01", self.base);
        self.client
            .request(method.parse().unwrap(), url)
            .header("accept", "application/json;odata.metadata=none")
    }

    /// Status and body; null where there is none.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = request.send().await.unwrap();
        let status = reply.status().as_u16();
        let text = reply.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub async fn search(&self, index: &str, body: Value) -> Value {
        let (status, body) =
            self.send("POST", &format!("/indexes('{index}')/docs/search.post.search"), body).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

/// A key, a text, a number and a vector of three dimensions.
pub fn small_index(name: &str) -> Value {
    json!({
        "name": name,
        "fields": [
            {"name": "id", "type": "Edm.String", "key": true, "searchable": false},
            {"name": "content", "type": "Edm.String"},
            {"name": "n", "type": "Edm.Int32"},
            {"name": "v", "type": "Collection(Edm.Single)", "dimensions": 3, "vectorSearchProfile": "p"}
        ],
        "vectorSearch": {
            "profiles": [{"name": "p", "algorithm": "a"}], "algorithms": [{"name": "a", "kind": "hnsw"}]
        }
    })
}
