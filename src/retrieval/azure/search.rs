//! Searches: for passages by question, and for documents by filter.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    body::{self, Body, MAX_TOP, Scores},
    call::Call,
    documents::FoundDocument,
    marker::incompatible,
    odata::Expr,
    transport::{Reply, Transport},
};
use crate::{
    domain::Hit,
    retrieval::{
        RetrievalError, SearchRequest,
        fusion::{RankedList, fuse},
    },
};

/// Hits, best first. Pages are fetched until there are `request.top`.
pub(super) async fn search(
    transport: &Transport,
    index: &str,
    request: &SearchRequest<'_>,
    semantic: bool,
) -> Result<Vec<Hit>, RetrievalError> {
    let Some((mut body, scores)) = body::search(request, semantic)? else { return Ok(Vec::new()) };
    let deadline = transport.deadline();
    let mut hits: Vec<Hit> = Vec::new();
    while hits.len() < request.top {
        body.skip = hits.len();
        body.top = (request.top - hits.len()).min(MAX_TOP);
        let call = Call::search(index, json(&body)?);
        let Some(page) = transport.send(call, deadline, read::<FoundDocument>).await?.done() else { break };
        // A page may be cut short and say so; an empty one ends the search whatever it says.
        let last = page.value.is_empty() || (page.next.is_none() && page.value.len() < body.top);
        hits.extend(page.value.into_iter().map(|found| found.into_hit(request.vector)));
        if last {
            break;
        }
    }
    hits.truncate(request.top);
    if let Scores::OneList { weight } = scores {
        let ranks: Vec<usize> = (0..hits.len()).collect();
        for (rank, score) in fuse(&[RankedList { keys: &ranks, weight }]) {
            hits[rank].score = score;
        }
    }
    Ok(hits)
}

/// Chunks that can be found. Fails with `Missing` without the index, with `Incompatible` without our fields.
pub(super) async fn count_chunks(transport: &Transport, index: &str) -> Result<u64, RetrievalError> {
    let body = Body {
        search: Some("*".into()),
        count: Some(true),
        filter: Some(Expr::is_set("embeddingModel").to_string()),
        ..Body::default()
    };
    let call = Call::search(index, json(&body)?).expecting(&[400, 404]);
    match transport.send(call, transport.deadline(), read::<IgnoredAny>).await? {
        Reply::Done(page) => Ok(page.count.unwrap_or_default()),
        Reply::Status(404) => Err(RetrievalError::Missing),
        Reply::Status(_) => Err(incompatible(index, "lacks the fields of this program")),
    }
}

/// One document without its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) source: Option<String>,
    pub(super) document: Option<String>,
    pub(super) chunk_index: Option<u32>,
}

/// The documents behind the key `after` that meet `filter`, in the order of their keys: one page of
/// them, and whether there are more.
pub(super) async fn page(
    transport: &Transport,
    index: &str,
    filter: &Expr,
    select: &str,
    after: Option<&str>,
) -> Result<(Vec<Row>, bool), RetrievalError> {
    let body = Body {
        search: Some("*".into()),
        filter: Some(filter.clone().after(after).to_string()),
        orderby: Some("id"),
        select: Some(select.to_owned()),
        top: MAX_TOP,
        ..Body::default()
    };
    let call = Call::search(index, json(&body)?);
    let Reply::Done(page) = transport.send(call, transport.deadline(), read::<Row>).await? else {
        return Ok((Vec::new(), false));
    };
    let more = !page.value.is_empty() && (page.next.is_some() || page.value.len() >= MAX_TOP);
    let rows = page.value;
    if let (Some(after), Some(last)) = (after, rows.last())
        && last.id == after
    {
        let reason = "it gives the same page again and again".to_owned();
        return Err(RetrievalError::Unavailable { reason });
    }
    Ok((rows, more))
}

/// All of them.
pub(super) async fn all(
    transport: &Transport,
    index: &str,
    filter: &Expr,
    select: &str,
) -> Result<Vec<Row>, RetrievalError> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.id.clone());
        let (found, more) = page(transport, index, filter, select, after.as_deref()).await?;
        rows.extend(found);
        if !more {
            return Ok(rows);
        }
    }
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    #[serde(rename = "@odata.count")]
    count: Option<u64>,
    #[serde(rename = "@search.nextPageParameters")]
    next: Option<IgnoredAny>,
    value: Vec<T>,
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<Page<T>> {
    serde_json::from_slice(body).ok()
}

fn json(body: &Body<'_>) -> Result<Vec<u8>, RetrievalError> {
    serde_json::to_vec(body)
        .map_err(|_| RetrievalError::Rejected { reason: "the search cannot be written as JSON".into() })
}
