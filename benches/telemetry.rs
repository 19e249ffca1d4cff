//! `/query` with traces off, sent, and sent to an Agent that hangs: the same server program, the same questions.
//!
//! `cargo bench --profile release --bench telemetry [-- SECONDS]`, 8 for each row and round unless told otherwise;
//! needs `rag-api model fetch`. Rounds alternate, so that a busy machine is busy for all of them.
#![allow(clippy::print_stdout, reason = "figures are what it is for")]

#[allow(dead_code, reason = "the server under test is another process here")]
mod load;
mod served;
mod times;

use std::{net::TcpListener, time::Duration};

use load::{Load, Outcome, bodies};
use served::{index_samples, serve};

const ROUNDS: usize = 3;
const CLIENTS: [usize; 2] = [1, 8];

fn main() -> Outcome<()> {
    let seconds = std::env::args().skip(1).find(|argument| argument != "--bench");
    let time = Duration::from_secs(seconds.map_or(Ok(8), |text| text.parse())?.max(1));
    let index = tempfile::tempdir()?;
    index_samples(index.path())?;
    let (answering, hanging) = (agent(true)?, agent(false)?);
    let off = [("DD_TRACE_ENABLED", "false")];
    let on = [("DD_TRACE_AGENT_URL", answering.as_str())];
    let hung = [("DD_TRACE_AGENT_URL", hanging.as_str())];
    println!("telemetry  route    clients  p50 ms   p95 ms   p99 ms   requests/s  replies by status");
    for _ in 0..ROUNDS {
        for (name, variables) in [("off", off), ("on", on), ("hanging", hung)] {
            let (_server, address) = serve(index.path(), &variables)?;
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let load = Load { runtime, bodies: bodies()?, address: address.parse()? };
            load.send("/query", 1, time / 4)?;
            for clients in CLIENTS {
                println!("{name:<10} {}", load.send("/query", clients, time)?);
            }
        }
    }
    Ok(())
}

/// The address of an Agent that takes everything and says so, or that never says a word.
fn agent(answers: bool) -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    if answers {
        std::thread::spawn(move || take_everything(listener));
    } else {
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
    }
    Ok(url)
}

fn take_everything(listener: TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let take = |_: axum::body::Bytes| async { axum::Json(serde_json::json!({})) };
    let agent = axum::Router::new().fallback(take).layer(axum::extract::DefaultBodyLimit::disable());
    runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, agent).await })
}
