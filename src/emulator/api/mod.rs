//! The service over HTTP: every request is one operation, with its key, version and faults.

mod aliases;
mod auth;
mod call;
mod documents;
mod indexes;
mod reply;
mod target;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use futures_util::StreamExt;

use super::{
    faults::{Armed, Effect, Fault},
    refusal::Refusal,
    store::Store,
};
use crate::config::EmulatorConfig;
use auth::Keys;
use call::{Call, Reply};
use reply::Sender;
use target::{NoOperation, Operation};

/// The service's bound for one request.
const MAX_BODY: usize = 16 << 20;
/// A body that trickles in is not waited for longer.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A refused body is still taken in for a while, so that its sender reads the refusal and not a
/// broken connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Service {
    store: Arc<Store>,
    keys: Keys,
    faults: Vec<Armed>,
}

impl Service {
    pub(super) fn new(store: Store, config: &EmulatorConfig, faults: Vec<Fault>) -> Self {
        Self {
            store: Arc::new(store),
            keys: Keys::new(config),
            faults: faults.into_iter().map(Armed::from).collect(),
        }
    }

    /// Paths have a syntax of their own, so there is one route.
    pub(super) fn router(self) -> Router {
        Router::new().fallback(serve).with_state(Arc::new(self))
    }
}

/// What the faults whose turn it is do to one request.
#[derive(Default)]
struct Struck {
    refusal: Option<Refusal>,
    items: Option<u16>,
    most_bytes: Option<usize>,
    cut: bool,
}

async fn serve(State(service): State<Arc<Service>>, request: Request) -> Response {
    let start = Instant::now();
    let (parts, body) = request.into_parts();
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|Query(pairs)| pairs);
    let readable = query.is_ok();
    let call = Call {
        headers: parts.headers,
        query: query.unwrap_or_default(),
        body: Bytes::new(),
        path: parts.uri.path().to_owned(),
        version: String::new(),
    };
    let sender = Sender::new(&call, start);
    let operation = Operation::of(&parts.method, &call.path);
    let mut struck = Struck::default();
    if let Ok(operation) = &operation {
        for effect in service.faults.iter().filter_map(|fault| fault.strike(operation.on())) {
            struck.take(effect).await;
        }
    }
    // A sender is never cut off in the middle of its body, so that it reads what is wrong.
    let body = read(&call.headers, body, struck.most_bytes.unwrap_or(MAX_BODY).min(MAX_BODY)).await;
    let outcome = if readable {
        service.answer(call, operation, body, &mut struck).await
    } else {
        Err(Refusal::parameters("The query string cannot be read."))
    };
    if let Err(refusal) = &outcome {
        tracing::debug!(
            request_id = sender.request_id,
            status = refusal.status.as_u16(),
            code = refusal.code,
            "request refused"
        );
    }
    let response = match outcome {
        Ok(reply) => sender.reply(reply),
        Err(refusal) => sender.refusal(&refusal),
    };
    if struck.cut { reply::cut(response).await } else { response }
}

impl Service {
    async fn answer(
        &self,
        mut call: Call,
        operation: Result<Operation, NoOperation>,
        body: Result<Bytes, Refusal>,
        struck: &mut Struck,
    ) -> Result<Reply, Refusal> {
        if let Some(refusal) = struck.refusal.take() {
            return Err(refusal);
        }
        let only_reads = operation.as_ref().is_ok_and(Operation::only_reads_documents);
        self.keys.check(&call.headers, &call.query, only_reads)?;
        let operation = operation.map_err(|error| match error {
            NoOperation::Path => Refusal::new(StatusCode::NOT_FOUND, "", "There is nothing at this path."),
            NoOperation::Method => {
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "", "This method is not allowed at this path.")
            }
        })?;
        call.version = version(&call)?.to_owned();
        call.body = body?;
        let store = self.store.clone();
        let failing = struck.items;
        // Commits and rankings block.
        let work = move || run(&store, &call, operation, failing);
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "an emulated operation ended early");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "", "The emulator failed; its log says why."))
        })
    }
}

fn run(store: &Store, call: &Call, operation: Operation, failing: Option<u16>) -> Result<Reply, Refusal> {
    match operation {
        Operation::ListIndexes => indexes::list_all(store, call),
        Operation::CreateIndex => indexes::create(store, call),
        Operation::PutIndex(name) => indexes::put(store, call, &name),
        Operation::GetIndex(name) => indexes::get(store, call, &name),
        Operation::DeleteIndex(name) => indexes::delete(store, call, &name),
        Operation::IndexStatistics(name) => indexes::statistics(store, call, &name),
        Operation::Analyze(name) => indexes::analyze_text(store, call, &name),
        Operation::ServiceStatistics => Ok(indexes::service_statistics(store, call)),
        Operation::IndexDocuments(name) => documents::index(store, call, &name, failing),
        Operation::Search(name) => documents::search(store, call, &name, false),
        Operation::SearchByUrl(name) => documents::search(store, call, &name, true),
        Operation::Lookup(name, key) => documents::lookup(store, call, &name, &key),
        Operation::Count(name) => documents::count(store, &name),
        Operation::ListAliases => Ok(aliases::list_all(store, call)),
        Operation::CreateAlias => aliases::create(store, call),
        Operation::PutAlias(name) => aliases::put(store, call, &name),
        Operation::GetAlias(name) => aliases::get(store, call, &name),
        Operation::DeleteAlias(name) => aliases::delete(store, call, &name),
        Operation::NotEmulated(what) => Err(Refusal::not_emulated(what)),
    }
}

impl Struck {
    async fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Delay(delay) => tokio::time::sleep(delay).await,
            Effect::Status { status, retry_after } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let refusal = Refusal::new(status, "", "A fault that was asked for.");
                self.refusal = Some(Refusal { retry_after, ..refusal });
            }
            Effect::Items(status) => self.items = Some(status),
            Effect::TooLargeOver(bytes) => self.most_bytes = Some(bytes),
            Effect::Cut => self.cut = true,
            Effect::Visibility(_) => {}
        }
    }
}

/// Any version of the service that was released, and with a line in the log whatever looks like one.
fn version(call: &Call) -> Result<&str, Refusal> {
    const KNOWN: [&str; 5] = ["2020-06-30", "2023-11-01", "2024-07-01", "2025-09-01", "2026-04-01"];
    let Some(version) = call.parameter("api-version") else {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        ));
    };
    if KNOWN.contains(&version) {
        return Ok(version);
    }
    let date =
        version.strip_suffix("-preview").or_else(|| version.strip_suffix("-Preview")).unwrap_or(version);
    let pattern = b"0000-00-00";
    let looks_right = date.len() == pattern.len()
        && date.bytes().zip(pattern).all(|(b, p)| if *p == b'0' { b.is_ascii_digit() } else { b == *p });
    if !looks_right {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "InvalidApiVersionParameter",
            "The api-version is invalid; send one such as 2026-04-01.",
        ));
    }
    tracing::warn!(version, "api-version is not known here and answered as 2026-04-01");
    Ok(version)
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Who waits for "100 Continue" has sent nothing yet, and needs not.
    if announced.is_some_and(|bytes| bytes > limit as u64) && headers.contains_key(header::EXPECT) {
        return Err(Refusal::too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let whole = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refusal::parameters("The body ended before it was complete."))?;
            if bytes.len() + chunk.len() > limit {
                return Err(Refusal::too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    let slow = || Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "", "The body did not arrive in time."));
    let outcome = tokio::time::timeout(BODY_TIMEOUT, whole).await.unwrap_or_else(|_| slow());
    if outcome.is_err() {
        let drain = async { while let Some(Ok(_)) = chunks.next().await {} };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain).await;
    }
    outcome.map(|()| bytes.into())
}
