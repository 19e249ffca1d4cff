//! The two places passages can live, behind one face each for reading and for writing.

use std::collections::HashMap;

use super::{
    Found, KnownSource, RetrievalError, SearchRequest, SourceChunks,
    azure::{AzureIndex, AzureWriter},
    local::{LocalIndex, LocalWriter},
};
use crate::upstream::BreakerState;

/// Reads passages. Cheap to clone.
#[derive(Clone)]
pub enum Retriever {
    Local(LocalIndex),
    Azure(AzureIndex),
}

impl Retriever {
    /// Best first, with the version of the index they come from.
    pub async fn search(&self, request: &SearchRequest<'_>) -> Result<Found, RetrievalError> {
        match self {
            Self::Local(index) => search_local(index.clone(), request).await,
            Self::Azure(index) => index.search(request).await,
        }
    }

    /// `local` or `azure`, for traces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Azure(_) => "azure",
        }
    }

    /// Why searches fail now, if they do. Asks nobody.
    pub fn problem(&self) -> Option<RetrievalError> {
        match self {
            Self::Local(index) => index.problem(),
            Self::Azure(index) => index.problem(),
        }
    }

    /// Retrievable chunks, as far as is known.
    pub fn chunk_count(&self) -> u64 {
        match self {
            Self::Local(index) => index.chunk_count(),
            Self::Azure(index) => index.chunk_count(),
        }
    }

    /// Looks at the index now, where that needs a request.
    pub async fn refresh(&self) {
        match self {
            Self::Local(_) => {}
            Self::Azure(index) => index.refresh().await,
        }
    }

    /// How requests to the search service are faring; `None` where there is none.
    pub fn breaker(&self) -> Option<BreakerState> {
        match self {
            Self::Local(_) => None,
            Self::Azure(index) => Some(index.breaker()),
        }
    }

    /// Changes with what can be retrieved.
    pub fn version(&self) -> String {
        match self {
            Self::Local(index) => index.version(),
            Self::Azure(index) => index.version(),
        }
    }
}

/// The local index blocks, so it is asked on a thread that may.
async fn search_local(index: LocalIndex, request: &SearchRequest<'_>) -> Result<Found, RetrievalError> {
    let &SearchRequest { text, vector, mode, top, filter, vector_weight } = request;
    let (text, vector, filter) = (text.to_owned(), vector.cloned(), filter.clone());
    let search = move || {
        let vector = vector.as_ref();
        index.search(&SearchRequest { text: &text, vector, mode, top, filter: &filter, vector_weight })
    };
    tokio::task::spawn_blocking(search)
        .await
        .map_err(|error| RetrievalError::Index(format!("the search failed: {error}")))?
}

/// Writes whole sources. What is not committed when it is dropped, or when the process dies, is done
/// again by the next run. The local one blocks: use it on a multi-threaded runtime.
#[allow(clippy::large_enum_variant, reason = "a process has one")]
pub enum IndexWriter {
    Local(LocalWriter),
    Azure(AzureWriter),
}

impl IndexWriter {
    /// What the index knew when the writer was opened, and what was written since.
    pub fn known_sources(&self) -> &HashMap<String, KnownSource> {
        match self {
            Self::Local(writer) => writer.known_sources(),
            Self::Azure(writer) => writer.known_sources(),
        }
    }

    /// Puts a source in place of what was there of it; with no chunks it is remembered only.
    pub async fn replace(&mut self, new: SourceChunks) -> Result<(), RetrievalError> {
        match self {
            Self::Local(writer) => tokio::task::block_in_place(|| writer.replace(new)),
            Self::Azure(writer) => writer.replace(new).await,
        }
    }

    /// Takes a source out; `false` when it was not there.
    pub async fn remove(&mut self, source: &str) -> Result<bool, RetrievalError> {
        match self {
            Self::Local(writer) => Ok(tokio::task::block_in_place(|| writer.remove(source))),
            Self::Azure(writer) => Ok(writer.remove(source).await),
        }
    }

    /// Takes everything out.
    pub async fn clear(&mut self) -> Result<(), RetrievalError> {
        match self {
            Self::Local(writer) => tokio::task::block_in_place(|| writer.clear()),
            Self::Azure(writer) => writer.clear().await,
        }
    }

    /// Makes everything since the last commit retrievable and durable.
    pub async fn commit(&mut self) -> Result<(), RetrievalError> {
        match self {
            Self::Local(writer) => tokio::task::block_in_place(|| writer.commit()),
            Self::Azure(writer) => writer.commit().await,
        }
    }

    /// Commits, then tidies up.
    pub async fn finish(self) -> Result<(), RetrievalError> {
        match self {
            Self::Local(writer) => tokio::task::block_in_place(|| writer.finish()),
            Self::Azure(writer) => writer.finish().await,
        }
    }
}
