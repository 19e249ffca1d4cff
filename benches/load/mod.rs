//! Clients that ask one server again and again, and the server they ask.

use std::{
    collections::BTreeMap,
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rag_api::{app, config::Config, http};
use reqwest::Client;
use tokio::net::TcpListener;

use crate::times::Times;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const QUESTIONS: usize = 20;

/// The server as it is shipped.
pub async fn serve(config: &Config) -> Outcome<SocketAddr> {
    let state = app::state(config)?;
    state.rag.warm_up().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(http::serve(listener, http::router(state), std::future::pending(), Duration::ZERO));
    Ok(address)
}

pub struct Load {
    pub runtime: tokio::runtime::Runtime,
    pub bodies: Arc<Vec<String>>,
    pub address: SocketAddr,
}

impl Load {
    /// Clients that each send their next question when they have the reply, on a connection of their own.
    pub fn send(&self, route: &str, clients: usize, time: Duration) -> Outcome<String> {
        let start = Instant::now();
        let client = |number| {
            let (bodies, url) = (Arc::clone(&self.bodies), format!("http://{}{route}", self.address));
            self.runtime.spawn(async move {
                let client = client()?;
                let mut replies = Vec::new();
                for body in bodies.iter().cycle().skip(number * 7) {
                    let asked = Instant::now();
                    if asked - start >= time {
                        break;
                    }
                    let request = client.post(&url).header("content-type", "application/json");
                    let reply = request.body(body.clone()).send().await?;
                    let status = reply.status().as_u16();
                    reply.bytes().await?;
                    replies.push((status, milliseconds(asked)));
                }
                Ok::<_, reqwest::Error>(replies)
            })
        };
        let tasks: Vec<_> = (0..clients).map(client).collect();
        let (mut times, mut statuses) = (Vec::new(), BTreeMap::<u16, usize>::new());
        for task in tasks {
            for (status, time) in self.runtime.block_on(task)?? {
                *statuses.entry(status).or_default() += 1;
                times.push(time);
            }
        }
        let (rate, times) = (times.len() as f64 / start.elapsed().as_secs_f64(), Times::sorted(times));
        Ok(format!("{route:<8} {clients:>7} {times} {rate:>11.1}  {statuses:?}"))
    }
}

/// Realistic questions about `data/`.
pub fn bodies() -> Outcome<Arc<Vec<String>>> {
    let lines = std::fs::read_to_string(project().join("tests/golden/queries.jsonl"))?;
    let body = |line| -> Outcome<String> {
        let query: serde_json::Value = serde_json::from_str(line)?;
        Ok(serde_json::json!({ "question": query["text"] }).to_string())
    };
    Ok(Arc::new(lines.lines().take(QUESTIONS).map(body).collect::<Outcome<_>>()?))
}

/// One kept connection; a proxy of the environment has no business here.
pub fn client() -> reqwest::Result<Client> {
    Client::builder().no_proxy().pool_max_idle_per_host(1).build()
}

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn model_dir() -> PathBuf {
    std::env::var_os("MODEL_DIR").map_or_else(|| project().join("model"), PathBuf::from)
}

/// Since then.
pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
