//! Accepts connections until it is told to stop, then lets what runs finish, for a while.

use std::{future::Future, time::Duration};

use axum::{Router, serve::Listener};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;

/// From the connection's or the last reply's end to the end of the next head: both the patience
/// with slow senders and the life of an idle connection. Longer than the usual 60 s of load
/// balancers, which would else send into a connection that is just being closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// A reader that takes nothing for so long is gone, whatever its connection says.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Heads above it are answered 431.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How serving came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request that was running got its reply.
    Finished,
    /// The grace was over; this many connections were cut.
    Cut(usize),
}

/// Serves HTTP/1.1 until `shutdown` completes; then takes no more connections, closes idle ones,
/// and returns when the others are done, at the latest after `grace`.
///
/// `axum::serve` has neither a timeout for heads nor an end to its patience at shutdown.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> Ended {
    serve_with(listener, router, shutdown, grace, HEAD_TIMEOUT).await
}

pub(super) async fn serve_with(
    mut listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
    head_timeout: Duration,
) -> Ended {
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            // The trait's `accept` waits out errors such as too many open files.
            (stream, _) = Listener::accept(&mut listener) => {
                connections.spawn(connection(stream, router.clone(), stopped.clone(), head_timeout));
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    let _ = stop.send(true);
    tracing::info!(connections = connections.len(), grace_seconds = grace.as_secs_f64(), "shutting down");
    let drained = timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    let left = connections.len();
    connections.shutdown().await;
    if drained.is_ok() {
        Ended::Finished
    } else {
        tracing::warn!(connections = left, "grace is over, connections are cut");
        Ended::Cut(left)
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    head_timeout: Duration,
) {
    // Replies are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    // HTTP/1.1 alone: reading the version of an unencrypted connection has no timeout.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        // A client that goes away must end its request, so an end of input counts as gone.
        .half_close(false);
    let connection =
        builder.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => return note(outcome.err()),
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    note(connection.await.err());
}

/// Clients break connections all the time: of interest only to who looks for it.
fn note(error: Option<Box<dyn std::error::Error + Send + Sync>>) {
    if let Some(error) = error {
        tracing::debug!(error = %error, "connection ended early");
    }
}

/// Completes on SIGTERM or Ctrl-C, which are listened to from this call on: a signal that comes before
/// somebody awaits must not end the process in the middle. Needs a runtime.
pub fn shutdown_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| {
        signal(kind)
            .inspect_err(|error| tracing::warn!(error = %error, "a signal cannot be listened to"))
            .ok()
    });
    async move {
        #[cfg(unix)]
        {
            let [terminate, interrupt] = signals.map(received);
            tokio::select! {
                () = terminate => {}
                () = interrupt => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
async fn received(signal: Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(mut signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
