//! Starts the application as it is shipped on a free port, with an empty index folder.

use std::{net::SocketAddr, time::Duration};

use rag_api::{
    app,
    config::{Config, EnvReader},
    http::{router, serve},
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::model_dir;

/// A server that stops with its runtime.
pub struct App {
    pub address: SocketAddr,
    pub client: reqwest::Client,
}

impl App {
    /// With these variables set and no others.
    pub async fn start(variables: &[(&'static str, &'static str)]) -> Self {
        let (model_dir, index_dir) = (model_dir(), tempfile::tempdir().unwrap());
        let places =
            [("MODEL_DIR", model_dir.to_str().unwrap()), ("INDEX_DIR", index_dir.path().to_str().unwrap())];
        let config =
            Config::read(EnvReader::from_pairs(places.into_iter().chain(variables.iter().copied()))).unwrap();
        let state = app::state(&config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router(state), std::future::pending(), Duration::from_secs(1)));
        Self { address, client: reqwest::Client::new() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
        let request = self.client.post(self.url(path)).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    }
}

/// The members of a problem, after checking that it is one.
pub async fn problem(reply: reqwest::Response, status: u16, code: &str) -> Value {
    assert_eq!(reply.status().as_u16(), status);
    assert_eq!(reply.headers()["content-type"], "application/problem+json");
    assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
    let trace_id = reply.headers()["x-trace-id"].to_str().unwrap().to_owned();
    let body: Value = reply.json().await.unwrap();
    assert_eq!((&body["code"], &body["status"]), (&code.into(), &status.into()), "{body}");
    assert_eq!(body["trace_id"], trace_id.as_str());
    for member in ["type", "title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {body}");
    }
    body
}
