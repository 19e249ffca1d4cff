//! The steps by which documents change, in an order that survives a crash between any two of them.

use std::{collections::HashSet, time::Duration};

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
/// Sources that one query asks for; hundreds of alternatives would meet the limits of a filter.
const SOURCES_AT_ONCE: usize = 50;

/// Where documents go.
pub(super) struct Target<'a> {
    pub(super) transport: &'a Transport,
    pub(super) index: &'a str,
    pub(super) made_with: &'a Fingerprint,
}

/// A source of which something may be left from before, and ids of it that a search may not see yet,
/// in their order.
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
        let new: HashSet<String> = sources
            .iter()
            .flat_map(|source| {
                source.chunks.iter().map(|(chunk, _)| chunk.id.0.clone()).chain([first_id(source)])
            })
            .collect();
        let found = self.rows_of(before).await?;
        let stale: Vec<_> = found.into_iter().map(|(id, _)| id).filter(|id| !new.contains(id)).collect();
        self.send(stale.iter().map(|id| Action::delete(id))).await?;
        self.send(sources.iter().map(|source| documents::mark(&first_id(source), &source.document))).await
    }

    /// Takes sources out; what makes them known goes last, so that a crash leaves them known.
    pub(super) async fn remove(&self, sources: &[Before<'_>]) -> Result<(), RetrievalError> {
        let (firsts, others): (Vec<_>, Vec<_>) =
            self.rows_of(sources).await?.into_iter().partition(|(_, first)| *first);
        self.send(others.iter().map(|(id, _)| Action::delete(id))).await?;
        self.send(firsts.iter().map(|(id, _)| Action::delete(id))).await
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

    /// Ids of the sources' documents, and whether each is the first of its source.
    async fn rows_of(&self, sources: &[Before<'_>]) -> Result<Vec<(String, bool)>, RetrievalError> {
        let mut ids: Vec<(String, bool)> = Vec::new();
        for some in sources.chunks(SOURCES_AT_ONCE) {
            let each = some.iter().map(|before| Expr::text("source", Op::Eq, before.source)).collect();
            let rows = search::all(self.transport, self.index, &Expr::Or(each), "id,chunkIndex").await?;
            ids.extend(rows.into_iter().map(|row| (row.id, row.chunk_index == Some(0))));
        }
        let seen: HashSet<String> = ids.iter().map(|(id, _)| id.clone()).collect();
        for before in sources {
            let unseen = before.ids.iter().enumerate().filter(|(_, id)| !seen.contains(*id));
            ids.extend(unseen.map(|(at, id)| (id.clone(), at == 0)));
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
