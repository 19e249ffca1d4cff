//! The steps by which documents change, in an order that survives a crash between any two of them.

use std::time::Duration;

use super::{
    actions::{self, Action},
    documents, marker,
    odata::{Expr, Op},
    search,
    transport::Transport,
};
use crate::retrieval::{Fingerprint, RetrievalError, SourceChunks};

/// Deletions become visible to searches after seconds; this often an emptied index is looked through.
const CLEAR_PASSES: usize = 60;
const CLEAR_PAUSE: Duration = Duration::from_secs(1);

/// Where documents go.
pub(super) struct Target<'a> {
    pub(super) transport: &'a Transport,
    pub(super) index: &'a str,
    pub(super) made_with: &'a Fingerprint,
}

/// Something of a source that may be left from before: its name and ids already known of it.
pub(super) struct Before<'a> {
    pub(super) source: &'a str,
    pub(super) ids: Vec<String>,
}

impl Target<'_> {
    /// Puts sources in place of what was there of them.
    ///
    /// 1. Each first chunk, without the mark: a source that had one has none from here on, and a new one
    ///    is known to be incomplete. 2. All other chunks. 3. What is left of the old version goes; until
    ///    then passages of both can be found, but never neither. 4. The mark. Ids follow from source and
    ///    position, so doing it again after a crash doubles nothing.
    pub(super) async fn replace(
        &self,
        sources: &[SourceChunks],
        before: &[Before<'_>],
    ) -> Result<(), RetrievalError> {
        let firsts = sources.iter().map(|source| match source.chunks.first() {
            Some((chunk, embedding)) => documents::chunk(chunk, embedding, self.made_with),
            None => documents::placeholder(&source.source),
        });
        self.send(firsts).await?;
        let rest = sources.iter().flat_map(|source| source.chunks.iter().skip(1));
        self.send(rest.map(|(chunk, embedding)| documents::chunk(chunk, embedding, self.made_with))).await?;
        let mut stale = Vec::new();
        for Before { source, ids } in before {
            let new: std::collections::HashSet<String> = sources
                .iter()
                .filter(|other| other.source == *source)
                .flat_map(|other| {
                    other.chunks.iter().map(|(chunk, _)| chunk.id.0.clone()).chain([first_id(other)])
                })
                .collect();
            let found = self.rows_of(source, ids).await?;
            stale.extend(found.into_iter().filter(|(id, _)| !new.contains(id)).map(|(id, _)| id));
        }
        self.send(stale.iter().map(|id| Action::delete(id))).await?;
        self.send(sources.iter().map(|source| documents::mark(&first_id(source), &source.document))).await
    }

    /// Takes sources out; what makes them known goes last, so that a crash leaves them known.
    pub(super) async fn remove(&self, sources: &[Before<'_>]) -> Result<(), RetrievalError> {
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for Before { source, ids } in sources {
            for (id, first) in self.rows_of(source, ids).await? {
                if first { &mut firsts } else { &mut others }.push(id);
            }
        }
        self.send(others.iter().map(|id| Action::delete(id))).await?;
        self.send(firsts.iter().map(|id| Action::delete(id))).await
    }

    /// Empties the index but for the marker, however much it holds.
    pub(super) async fn clear(&self) -> Result<(), RetrievalError> {
        let all = Expr::text("id", Op::Ne, marker::KEY);
        for _ in 0..CLEAR_PASSES {
            let (mut after, mut found): (Option<String>, usize) = (None, 0);
            loop {
                let (rows, more) =
                    search::page(self.transport, self.index, &all, "id", after.as_deref()).await?;
                // Asked for not to come, but another server may see it otherwise.
                let rows: Vec<_> = rows.into_iter().filter(|row| row.id != marker::KEY).collect();
                found += rows.len();
                self.send(rows.iter().map(|row| Action::delete(&row.id))).await?;
                after = rows.last().map(|row| row.id.clone()).or(after);
                if !more || rows.is_empty() {
                    break;
                }
            }
            if found == 0 {
                return Ok(());
            }
            tokio::time::sleep(CLEAR_PAUSE).await;
        }
        let reason = "the index does not become empty; is another process writing to it?".to_owned();
        Err(RetrievalError::Unavailable { reason })
    }

    /// Ids of a source's documents, and whether each is its first. `known` holds ids that a search may
    /// not see yet.
    async fn rows_of(&self, source: &str, known: &[String]) -> Result<Vec<(String, bool)>, RetrievalError> {
        let filter = Expr::text("source", Op::Eq, source);
        let rows = search::all(self.transport, self.index, &filter, "id,chunkIndex").await?;
        let mut ids: Vec<_> = rows.into_iter().map(|row| (row.id, row.chunk_index == Some(0))).collect();
        for (at, id) in known.iter().enumerate() {
            if !ids.iter().any(|(other, _)| other == id) {
                ids.push((id.clone(), at == 0));
            }
        }
        Ok(ids)
    }

    async fn send(
        &self,
        actions: impl Iterator<Item = Result<Action, RetrievalError>>,
    ) -> Result<(), RetrievalError> {
        actions::send_all(self.transport, self.index, actions).await
    }
}

/// The document that makes a source known.
pub(super) fn first_id(source: &SourceChunks) -> String {
    match source.chunks.first() {
        Some((chunk, _)) => chunk.id.0.clone(),
        None => documents::placeholder_id(&source.source),
    }
}
