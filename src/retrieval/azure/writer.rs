//! A writer of one index: gathers sources, writes them in batches, remembers what is whole.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{
    admin,
    flush::{Before, Target, first_id},
    marker::{Marked, Marker},
    odata::{Expr, Op},
    search::{self, Row},
    transport::{Access, Transport},
};
use crate::{
    config::AzureConfig,
    retrieval::{Fingerprint, KnownSource, RetrievalError, SourceChunks},
    telemetry::Metrics,
};

/// Chunks that may wait in memory; one source may have more.
const MAX_PENDING_CHUNKS: usize = 1_000;
/// Ids of chunks written lately, which searches may not see yet.
const MAX_RECENT_IDS: usize = 10_000;

/// Writes are seen by searches seconds later. What is not committed when it is dropped is not written,
/// or is written without the mark that makes it whole. The service knows no lock: two writers at once
/// do each other's work twice, and the later mark wins.
pub struct AzureWriter {
    transport: Transport,
    index: String,
    marker: Marker,
    known: HashMap<String, KnownSource>,
    /// Sources of which the service may hold something.
    stored: HashSet<String>,
    recent: VecDeque<(String, Vec<String>)>,
    pending: Vec<SourceChunks>,
    removed: HashSet<String>,
    /// Something was written since the marker was.
    dirty: bool,
    /// An error came in between: what is known here may not be what is there.
    broken: bool,
}

impl AzureWriter {
    /// Opens the index or alias of the configuration, and makes the index when there is none.
    pub async fn open(
        config: &AzureConfig,
        fingerprint: &Fingerprint,
        metrics: Metrics,
    ) -> Result<Self, RetrievalError> {
        Self::open_index(config, &config.index, fingerprint, metrics).await
    }

    /// Another index of the same service.
    pub async fn open_index(
        config: &AzureConfig,
        index: &str,
        fingerprint: &Fingerprint,
        metrics: Metrics,
    ) -> Result<Self, RetrievalError> {
        let transport = Transport::new(config, Access::Write, metrics)?;
        let marker = match Marked::read(&transport, index).await {
            Err(RetrievalError::Missing) => admin::make(&transport, index, config, fingerprint).await?,
            Ok(Marked::Not) => admin::adopt(&transport, index, fingerprint).await?,
            Ok(marked) => marked.fitting(fingerprint, index)?,
            Err(error) => return Err(error),
        };
        let first_documents = Expr::number("chunkIndex", Op::Eq, 0);
        let rows = search::all(&transport, index, &first_documents, "id,source,document").await?;
        let known = known(rows);
        Ok(Self {
            transport,
            index: index.to_owned(),
            marker,
            stored: known.keys().cloned().collect(),
            known,
            recent: VecDeque::new(),
            pending: Vec::new(),
            removed: HashSet::new(),
            dirty: false,
            broken: false,
        })
    }

    /// Sources as of the last commit, and those since. One that was not written whole is there with an
    /// empty text.
    pub fn known_sources(&self) -> &HashMap<String, KnownSource> {
        &self.known
    }

    /// Puts a source in place of what was there of it; with no chunks it is remembered only. Writes when
    /// enough has come together.
    pub async fn replace(&mut self, new: SourceChunks) -> Result<(), RetrievalError> {
        self.pending.retain(|other| other.source != new.source);
        self.removed.remove(&new.source);
        self.known.insert(new.source.clone(), KnownSource { document: new.document.clone() });
        self.pending.push(new);
        let chunks: usize = self.pending.iter().map(|source| source.chunks.len().max(1)).sum();
        if chunks >= MAX_PENDING_CHUNKS { self.flush().await } else { Ok(()) }
    }

    /// Takes a source out with the next commit; `false` when it was not there.
    pub async fn remove(&mut self, source: &str) -> bool {
        self.pending.retain(|other| other.source != source);
        if self.stored.contains(source) {
            self.removed.insert(source.to_owned());
        }
        self.known.remove(source).is_some()
    }

    /// Takes everything out.
    pub async fn clear(&mut self) -> Result<(), RetrievalError> {
        self.pending.clear();
        self.removed.clear();
        self.guarded(async |this: &mut Self| this.target().clear().await).await?;
        self.known.clear();
        self.stored.clear();
        self.recent.clear();
        self.dirty = true;
        self.commit().await
    }

    /// Writes what is waiting and gives the index a new version.
    pub async fn commit(&mut self) -> Result<(), RetrievalError> {
        self.flush().await?;
        if std::mem::take(&mut self.dirty) {
            self.marker = self.marker.next();
            self.guarded(async |this: &mut Self| this.marker.write(&this.transport, &this.index).await)
                .await?;
        }
        Ok(())
    }

    /// The last commit.
    pub async fn finish(mut self) -> Result<(), RetrievalError> {
        self.commit().await
    }

    async fn flush(&mut self) -> Result<(), RetrievalError> {
        if self.pending.is_empty() && self.removed.is_empty() && !self.broken {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let removed: Vec<String> = std::mem::take(&mut self.removed).into_iter().collect();
        self.guarded(async |this: &mut Self| {
            let left = |sources: Vec<&'_ str>| -> Vec<(String, Vec<String>)> {
                let stored = sources.into_iter().filter(|source| this.stored.contains(*source));
                stored.map(|source| (source.to_owned(), this.recent_ids(source))).collect()
            };
            let replaced = left(pending.iter().map(|source| source.source.as_str()).collect());
            let gone = left(removed.iter().map(String::as_str).collect());
            // From the first request on the service may hold some of it, whatever comes then.
            this.stored.extend(pending.iter().map(|source| source.source.clone()));
            if !pending.is_empty() {
                this.target().replace(&pending, &before(&replaced)).await?;
            }
            this.target().remove(&before(&gone)).await?;
            for source in &removed {
                this.stored.remove(source);
            }
            this.remember(&pending);
            this.dirty = true;
            Ok(())
        })
        .await
    }

    /// Runs a step of writing; after one that failed there is no other.
    async fn guarded(
        &mut self,
        step: impl AsyncFnOnce(&mut Self) -> Result<(), RetrievalError>,
    ) -> Result<(), RetrievalError> {
        if std::mem::replace(&mut self.broken, true) {
            let reason = "an earlier write failed; run the command again".to_owned();
            return Err(RetrievalError::Rejected { reason });
        }
        step(self).await?;
        self.broken = false;
        Ok(())
    }

    fn target(&self) -> Target<'_> {
        Target { transport: &self.transport, index: &self.index, made_with: &self.marker.fingerprint }
    }

    fn recent_ids(&self, source: &str) -> Vec<String> {
        let newest = self.recent.iter().rev().find(|(other, _)| other == source);
        newest.map(|(_, ids)| ids.clone()).unwrap_or_default()
    }

    fn remember(&mut self, written: &[SourceChunks]) {
        for source in written {
            let ids = source.chunks.iter().map(|(chunk, _)| chunk.id.0.clone());
            let ids = if source.chunks.is_empty() { vec![first_id(source)] } else { ids.collect() };
            self.recent.push_back((source.source.clone(), ids));
        }
        let mut total: usize = self.recent.iter().map(|(_, ids)| ids.len()).sum();
        while total > MAX_RECENT_IDS {
            let Some((_, ids)) = self.recent.pop_front() else { break };
            total -= ids.len();
        }
    }
}

fn before(sources: &[(String, Vec<String>)]) -> Vec<Before<'_>> {
    sources.iter().map(|(source, ids)| Before { source, ids: ids.clone() }).collect()
}

/// Sources by their first documents. Two of one source mean that a change of it was cut short.
fn known(rows: Vec<Row>) -> HashMap<String, KnownSource> {
    let mut known: HashMap<String, KnownSource> = HashMap::with_capacity(rows.len());
    for Row { source, document, .. } in rows {
        let Some(source) = source else { continue };
        let document = document.unwrap_or_default();
        known.entry(source).and_modify(|other| other.document.clear()).or_insert(KnownSource { document });
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(source: Option<&str>, document: Option<&str>) -> Row {
        let (source, document) = (source.map(str::to_owned), document.map(str::to_owned));
        Row { id: "k".into(), source, document, chunk_index: Some(0) }
    }

    #[test]
    fn only_a_source_with_one_mark_is_whole() {
        let known = known(vec![
            row(Some("whole"), Some("d")),
            row(Some("cut"), None),
            row(Some("twice"), Some("old")),
            row(Some("twice"), Some("new")),
            row(None, Some("marker")),
        ]);
        let document = |source: &str| known.get(source).map(|known| known.document.as_str());
        assert_eq!((document("whole"), document("cut"), document("twice")), (Some("d"), Some(""), Some("")));
        assert_eq!(known.len(), 3);
    }
}
