//! Streamed answers: the way of a word through the service, readers that are slow, readers that vanish.
//!
//! `cargo bench --profile release --bench streams`; needs `rag-api model fetch`. The model's server is a scripted one in
//! this process, so that the time of each word is known; with `LLM_BASE_URL` (and `LLM_API_KEY`) set a real one is asked
//! too, through a relay that sees its first word pass, direct and through nginx where that is installed.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

#[allow(dead_code, reason = "the server under test is another process here")]
mod load;
mod served;
mod times;

use std::{
    convert::Infallible,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Response, header::CONTENT_TYPE},
};
use futures_util::stream;
use load::Outcome;
use served::{Running, index_samples, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const QUESTION: &str = r#"{"question": "How many characters may a question have?", "stream": true}"#;
const READERS: usize = 200;
const WORDS: usize = 100;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let index = tempfile::tempdir()?;
        index_samples(index.path())?;
        let llm = Llm::start().await?;
        let variables = [
            ("OPENAI_BASE_URL", llm.url.as_str()),
            ("OPENAI_MODEL", "m"),
            ("MAX_CONCURRENT_REQUESTS", "256"),
        ];
        let (server, address) = serve(index.path(), &variables)?;
        way_of_a_word(&llm, &address).await?;
        slow_readers(&llm, &server, &address).await?;
        vanishing_readers(&llm, &server, &address).await?;
        drop(server);
        if let Ok(real) = std::env::var("LLM_BASE_URL") {
            real_model(index.path(), &real).await?;
        }
        Ok(())
    })
}

/// A server whose streams have `WORDS` words, and when it sent the first of each.
#[derive(Clone)]
struct Llm {
    url: String,
    pause: Arc<Mutex<Duration>>,
    first: Arc<Mutex<Vec<Instant>>>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Llm {
    async fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let llm = Self {
            url: format!("http://{}/v1", listener.local_addr()?),
            pause: Arc::default(),
            first: Arc::default(),
            open: Arc::default(),
        };
        let own = llm.clone();
        let answer = move || {
            let own = own.clone();
            async move { own.answer() }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Ok(llm)
    }

    fn answer(&self) -> Response<Body> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let pause = *self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = (0, self.first.clone(), Open(self.open.clone()));
        let words = stream::unfold(state, move |(count, first, open)| async move {
            tokio::time::sleep(pause).await;
            if count == 0 {
                first.lock().ok()?.push(Instant::now());
            }
            let data = match count {
                ..WORDS => r#"data: {"choices":[{"delta":{"content":"word "}}]}"#,
                WORDS => "data: [DONE]",
                _ => return None,
            };
            Some((Ok::<_, Infallible>(Bytes::from(format!("{data}\n\n"))), (count + 1, first, open)))
        });
        let mut response = Response::new(Body::from_stream(words));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("text/event-stream"));
        response
    }

    fn set(&self, pause: Duration) {
        *self.pause.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = pause;
    }
}

/// A stream being read, over a connection of its own.
struct Reader {
    connection: TcpStream,
    seen: Vec<u8>,
}

impl Reader {
    async fn ask(address: &str) -> Outcome<Self> {
        let mut connection = TcpStream::connect(address).await?;
        let length = QUESTION.len();
        let head = format!(
            "POST /query HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{QUESTION}"
        );
        connection.write_all(head.as_bytes()).await?;
        Ok(Self { connection, seen: Vec::new() })
    }

    /// Reads at most so many bytes; `false` at the end.
    async fn read(&mut self, most: usize) -> Outcome<bool> {
        let mut piece = vec![0; most];
        let bytes = self.connection.read(&mut piece).await?;
        self.seen.extend_from_slice(&piece[..bytes]);
        Ok(bytes > 0)
    }

    fn has(&self, text: &str) -> bool {
        self.seen.windows(text.len()).any(|window| window == text.as_bytes())
    }

    async fn until(&mut self, text: &str) -> Outcome<Instant> {
        while !self.has(text) {
            if !self.read(16 << 10).await? {
                return Err(format!("no {text} came").into());
            }
        }
        Ok(Instant::now())
    }
}

async fn way_of_a_word(llm: &Llm, address: &str) -> Outcome<()> {
    llm.set(Duration::from_millis(1));
    let mut times = Vec::new();
    for _ in 0..READERS {
        let mut reader = Reader::ask(address).await?;
        let seen = reader.until("event: delta").await?;
        let sent = llm.first.lock().ok().and_then(|mut first| first.pop()).ok_or("no word was sent")?;
        times.push(seen - sent);
        reader.until("event: done").await?;
    }
    println!("first word, from the model's server to the reader: {}", line(&mut times));
    Ok(())
}

async fn slow_readers(llm: &Llm, server: &Running, address: &str) -> Outcome<()> {
    llm.set(Duration::ZERO);
    let before = resident(server)?;
    let begun = Instant::now();
    let readers = (0..READERS).map(|_| {
        let address = address.to_owned();
        tokio::spawn(async move {
            let mut reader = Reader::ask(&address).await.ok()?;
            while reader.read(64).await.ok()? {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            reader.has("event: done").then_some(())
        })
    });
    let readers: Vec<_> = readers.collect();
    let mut peak = before;
    while readers.iter().any(|reader| !reader.is_finished()) {
        peak = peak.max(resident(server)?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut completed = 0;
    for reader in readers {
        completed += usize::from(reader.await?.is_some());
    }
    println!(
        "{READERS} streams at once, read 64 bytes every 50 ms: {completed} completed, {} errors, {:.1} s; resident {before} kB before, {peak} kB at most",
        READERS - completed,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn vanishing_readers(llm: &Llm, server: &Running, address: &str) -> Outcome<()> {
    llm.set(Duration::from_millis(200));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, files) = (resident(server)?, descriptors(server)?);
    for round in 1..=20 {
        let asked = (0..READERS).map(|_| async {
            let mut reader = Reader::ask(address).await?;
            reader.until("event: delta").await?;
            Ok(reader)
        });
        let readers: Vec<Reader> =
            futures_util::future::join_all(asked).await.into_iter().collect::<Outcome<_>>()?;
        let streaming = llm.open.load(Ordering::SeqCst);
        drop(readers);
        let gone = Instant::now();
        while llm.open.load(Ordering::SeqCst) > 0 && gone.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!(
            "{READERS} readers vanish mid-stream, round {round}: {streaming} streams of the model, {} left after {:.0} ms; resident {before} kB before, {} kB after; descriptors {files} before, {} after",
            llm.open.load(Ordering::SeqCst),
            gone.elapsed().as_secs_f64() * 1e3,
            resident(server)?,
            descriptors(server)?
        );
    }
    Ok(())
}

async fn real_model(index: &Path, base_url: &str) -> Outcome<()> {
    let relay = Relay::start(base_url).await?;
    let key = std::env::var("LLM_API_KEY").unwrap_or_default();
    let variables = [
        ("OPENAI_BASE_URL", relay.url.as_str()),
        ("OPENAI_API_KEY", key.as_str()),
        ("OPENAI_MODEL", "m"),
        ("OPENAI_MAX_OUTPUT_TOKENS", "40"),
        ("OPENAI_TIMEOUT_SECONDS", "120"),
        ("REQUEST_TIMEOUT_SECONDS", "200"),
    ];
    let (_server, address) = serve(index, &variables)?;
    let dir = tempfile::tempdir()?;
    let proxy = nginx(&address, dir.path());
    let through = proxy.as_ref().map(|(_, address)| address.as_str());
    for (name, address) in
        [Some(("direct", address.as_str())), through.map(|proxy| ("nginx", proxy))].into_iter().flatten()
    {
        let (mut first, mut total, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            let begun = Instant::now();
            let mut reader = Reader::ask(address).await?;
            let seen = reader.until("event: delta").await?;
            let passed =
                relay.first.lock().ok().and_then(|mut first| first.take()).ok_or("no word passed")?;
            first.push(seen - begun);
            behind.push(seen.saturating_duration_since(passed));
            total.push(reader.until("event: done").await? - begun);
        }
        println!("real model, {name}: first word {}", line(&mut first));
        println!("real model, {name}: total {}", line(&mut total));
        println!("real model, {name}: first word behind the model's {}", line(&mut behind));
    }
    Ok(())
}

/// Passes bytes on, and notes when the first word of an answer comes by.
struct Relay {
    url: String,
    first: Arc<Mutex<Option<Instant>>>,
}

impl Relay {
    async fn start(base_url: &str) -> Outcome<Self> {
        let (authority, path) = base_url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or("http://HOST:PORT/v1 is wanted")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/{path}", listener.local_addr()?);
        let first = Arc::<Mutex<Option<Instant>>>::default();
        let (authority, noted) = (authority.to_owned(), first.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (authority, noted) = (authority.clone(), noted.clone());
                tokio::spawn(async move { relay(client, &authority, &noted).await });
            }
        });
        Ok(Self { url, first })
    }
}

async fn relay(client: TcpStream, authority: &str, first: &Mutex<Option<Instant>>) -> std::io::Result<()> {
    let upstream = TcpStream::connect(authority).await?;
    upstream.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_upstream, mut to_upstream) = upstream.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_upstream).await });
    let mut piece = vec![0; 16 << 10];
    let mut noted = false;
    loop {
        let bytes = from_upstream.read(&mut piece).await?;
        if bytes == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&piece[..bytes]);
        if !noted && text.contains(r#""content":""#) {
            noted = true;
            if let Ok(mut first) = first.lock() {
                *first = Some(Instant::now());
            }
        }
        to_client.write_all(&piece[..bytes]).await?;
    }
}

/// nginx with its buffering on, in front of the service; `None` where there is none.
fn nginx(upstream: &str, dir: &Path) -> Option<(Running, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let folder = dir.display();
    let config = format!(
        "daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; client_body_temp_path {folder}/b; \
         proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; \
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{upstream}; proxy_buffering on; }} }} }}"
    );
    fs::write(dir.join("nginx.conf"), config).ok()?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(dir.join("nginx.conf")).arg("-p").arg(dir).stderr(Stdio::null());
    let running = Running(command.spawn().ok()?);
    std::thread::sleep(Duration::from_millis(500));
    Some((running, format!("127.0.0.1:{port}")))
}

fn line(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms ({} times)", at(50), at(99), at(100), times.len())
}

/// Resident memory in kB, as Linux counts it.
fn resident(server: &Running) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn descriptors(server: &Running) -> Outcome<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.0.id()))?.count())
}
