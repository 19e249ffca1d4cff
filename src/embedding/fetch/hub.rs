//! The Hugging Face hub as a source.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use hf_hub::HFClient;
use tokio::time::timeout;
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{FetchError, FetchEvent, Origin, PinnedFile, Progress, install::Part};

const OWNER: &str = "sentence-transformers";
const NAME: &str = "all-MiniLM-L6-v2";
/// The commit whose files have the pinned hashes.
const REVISION: &str = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf";

/// How the hub is asked.
pub(super) struct Hub {
    /// `None`: `HF_ENDPOINT`, else the public hub.
    pub(super) endpoint: Option<String>,
    pub(super) connect: Duration,
    /// From the question to the first byte of a file's body.
    pub(super) open: Duration,
    /// Silence in the middle of a file.
    pub(super) stall: Duration,
}

impl Default for Hub {
    /// Where the hub is blocked, packets are often dropped without a word: the user is waiting for
    /// PyPI meanwhile, so patience is short before the first byte and long after it.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { endpoint: None, connect: seconds(4), open: seconds(9), stall: seconds(60) }
    }
}

pub(super) async fn fetch(
    hub: &Hub,
    files: &[PinnedFile],
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Origin, FetchError> {
    progress(FetchEvent::Asking(Origin::Hub));
    let client = client(hub).map_err(|error| FetchError::Hub(reason(&error)))?;
    for file in files {
        fetch_file(hub, &client, file, dir, progress).await?;
    }
    Ok(Origin::Hub)
}

fn client(hub: &Hub) -> Result<HFClient, hf_hub::HFError> {
    let http = reqwest::Client::builder()
        .user_agent(concat!("rag-api/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(hub.connect)
        .build()?;
    let builder = HFClient::builder().client(http).cache_enabled(false).retry_max_attempts(1);
    match &hub.endpoint {
        Some(endpoint) => builder.endpoint(endpoint),
        None => builder,
    }
    .build()
}

async fn fetch_file(
    hub: &Hub,
    client: &HFClient,
    file: &PinnedFile,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<(), FetchError> {
    let silent = |patience: Duration| {
        move |_| FetchError::Hub(format!("{} did not come within {} s", file.name, patience.as_secs()))
    };
    let model = client.model(OWNER, NAME);
    // The client logs each failure as an error of its own; here it is only the reason to ask elsewhere.
    let opening = model.download_file_stream().filename(file.name).revision(REVISION).send();
    let opening = opening.with_subscriber(NoSubscriber::new());
    let (_, mut stream) = timeout(hub.open, opening)
        .await
        .map_err(silent(hub.open))?
        .map_err(|error| FetchError::Hub(reason(&error)))?;
    let mut part = Part::create(dir, file, Origin::Hub, progress)?;
    while let Some(bytes) = timeout(hub.stall, stream.next()).await.map_err(silent(hub.stall))? {
        part.write(&bytes.map_err(|error| FetchError::Hub(reason(&error)))?)?;
    }
    part.finish()
}

/// The innermost cause: what the client says first only repeats the address.
fn reason(error: &dyn std::error::Error) -> String {
    let innermost = std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error);
    let text = innermost.to_string();
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}
