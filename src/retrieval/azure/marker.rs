//! The document that says what the index was made with, and which version of its content this is.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{
    actions::{self, Action},
    call::Call,
    search::count_chunks,
    transport::{Reply, Transport},
};
use crate::retrieval::{Fingerprint, RetrievalError};

/// A plain key: a reader finds it by look-up, for which the right to read is enough. It has no text, no
/// vector and no source, so it is never found by a search.
pub(super) const KEY: &str = "rag-api-fingerprint";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) fingerprint: Fingerprint,
    /// Grows with every commit.
    pub(super) version: u64,
}

impl Marker {
    pub(super) fn new(fingerprint: &Fingerprint) -> Self {
        Self { fingerprint: fingerprint.clone(), version: milliseconds() }
    }

    /// The same for new content.
    pub(super) fn next(&self) -> Self {
        Self { version: milliseconds().max(self.version + 1), ..self.clone() }
    }

    pub(super) async fn write(&self, transport: &Transport, index: &str) -> Result<(), RetrievalError> {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(rename = "@search.action")]
            action: &'static str,
            id: &'a str,
            document: &'a str,
        }
        let text = serde_json::to_string(self)
            .map_err(|_| RetrievalError::Rejected { reason: "no fingerprint".into() })?;
        let action = Action::new(KEY, &Document { action: "mergeOrUpload", id: KEY, document: &text });
        actions::send_all(transport, index, std::iter::once(action)).await
    }
}

/// What an index says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marked {
    By(Marker),
    /// It has our fields, but nobody wrote a fingerprint.
    Not,
}

impl Marked {
    /// `index` may be an alias. Fails with `Missing` when there is no index and with `Incompatible` when
    /// it is not one of ours.
    pub(super) async fn read(transport: &Transport, index: &str) -> Result<Self, RetrievalError> {
        let call = Call::document(index, KEY, "$select=id,document").expecting(&[400, 404]);
        match transport.send(call, transport.deadline(), read_document).await? {
            Reply::Done(text) => {
                let marker = text.as_deref().and_then(|text| serde_json::from_str(text).ok());
                marker
                    .map(Self::By)
                    .ok_or_else(|| incompatible(index, "has a fingerprint that cannot be read"))
            }
            // An absent document and an absent index look alike, so something else is asked.
            Reply::Status(_) => count_chunks(transport, index).await.map(|_| Self::Not),
        }
    }

    /// For readers: the marker of an index that fits.
    pub(super) fn fitting(self, ours: &Fingerprint, index: &str) -> Result<Marker, RetrievalError> {
        match self {
            Self::By(marker) => ours.check(&marker.fingerprint).map(|()| marker),
            Self::Not => Err(incompatible(index, "has no fingerprint")),
        }
    }
}

pub(super) fn incompatible(index: &str, what: &str) -> RetrievalError {
    RetrievalError::Incompatible(format!(
        "the index {index} {what}, so it was not made by this program; run `rag-api index rebuild`, or set \
         AZURE_SEARCH_INDEX_NAME to another name"
    ))
}

fn read_document(body: &[u8]) -> Option<Option<String>> {
    #[derive(Deserialize)]
    struct Document {
        document: Option<String>,
    }
    serde_json::from_slice::<Document>(body).ok().map(|found| found.document)
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_even_when_the_clock_does_not() {
        let fingerprint = Fingerprint {
            model: "m".into(),
            weights_sha256: "w".into(),
            chunker: "c".into(),
            dimensions: 384,
        };
        let far = Marker { version: u64::MAX - 1, ..Marker::new(&fingerprint) };
        assert_eq!(far.next().version, u64::MAX);
        let now = Marker::new(&fingerprint);
        assert!(now.next().version > now.version);
    }
}
