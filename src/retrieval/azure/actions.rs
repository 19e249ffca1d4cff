//! Batches of document actions: cut to the service's limits, sent, and their items accounted for.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    call::Call,
    transport::{Reply, Transport},
};
use crate::{retrieval::RetrievalError, upstream::Advice};

/// Documented limits are 1,000 actions and 16 MB; what stands around the actions needs the rest.
const MAX_ACTIONS: usize = 1_000;
const MAX_BYTES: usize = 15_000_000;
/// Keys named in an error; more help nobody.
const NAMED_KEYS: usize = 5;

/// One action as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) key: String,
    pub(super) json: String,
}

impl Action {
    pub(super) fn new(key: &str, document: &impl Serialize) -> Result<Self, RetrievalError> {
        let json = serde_json::to_string(document).map_err(|_| RetrievalError::Rejected {
            reason: "a document cannot be written as JSON".into(),
        })?;
        Ok(Self { key: key.to_owned(), json })
    }

    pub(super) fn delete(key: &str) -> Result<Self, RetrievalError> {
        Self::new(key, &serde_json::json!({"@search.action": "delete", "id": key}))
    }
}

/// Sends all of them in order, batch by batch; no more than one batch is in memory.
pub(super) async fn send_all(
    transport: &Transport,
    index: &str,
    actions: impl Iterator<Item = Result<Action, RetrievalError>>,
) -> Result<(), RetrievalError> {
    let mut batch = Batch::default();
    for action in actions {
        let action = action?;
        if !batch.takes(&action) {
            send(transport, index, std::mem::take(&mut batch).actions).await?;
        }
        batch.push(action);
    }
    send(transport, index, batch.actions).await
}

/// Actions that one request may carry: within the limits, and no key twice, as their order is not kept.
#[derive(Default)]
struct Batch {
    actions: Vec<Action>,
    keys: HashSet<String>,
    bytes: usize,
}

impl Batch {
    /// An empty batch takes anything: whether one document is too large is for the service to say.
    fn takes(&self, action: &Action) -> bool {
        self.actions.is_empty()
            || (self.actions.len() < MAX_ACTIONS
                && self.bytes + action.json.len() < MAX_BYTES
                && !self.keys.contains(&action.key))
    }

    fn push(&mut self, action: Action) {
        self.bytes += action.json.len() + 1;
        self.keys.insert(action.key.clone());
        self.actions.push(action);
    }
}

/// Sends one batch, halves it when the service finds it too large, and repeats items that the service
/// could not take just then.
async fn send(transport: &Transport, index: &str, actions: Vec<Action>) -> Result<(), RetrievalError> {
    let deadline = transport.deadline();
    let mut queue = VecDeque::from([actions]);
    let mut retry = 0;
    while let Some(mut batch) = queue.pop_front() {
        if batch.is_empty() {
            continue;
        }
        let call = Call::index_documents(index, body(&batch)).expecting(&[413]);
        match transport.send(call, deadline, read_items).await? {
            Reply::Status(_) if batch.len() == 1 => {
                let reason = format!("413, the document {} is too large for the service", batch[0].key);
                return Err(RetrievalError::Rejected { reason });
            }
            Reply::Status(_) => {
                let second = batch.split_off(batch.len().div_ceil(2));
                queue.push_front(second);
                queue.push_front(batch);
            }
            Reply::Done(items) => {
                let again = undone(batch, &items)?;
                if again.is_empty() {
                    continue;
                }
                let wait = Advice::default().delay(retry, fastrand::f64()).unwrap_or_default();
                if Instant::now() + wait >= deadline {
                    return Err(named(again.iter().map(|action| (action.key.as_str(), 503)).collect()));
                }
                retry += 1;
                tracing::warn!(
                    documents = again.len(),
                    wait_ms = wait.as_millis() as u64,
                    "the search service could not take some documents; they are sent again"
                );
                tokio::time::sleep(wait).await;
                queue.push_front(again);
            }
        }
    }
    Ok(())
}

fn body(actions: &[Action]) -> Vec<u8> {
    let mut body = Vec::with_capacity(actions.iter().map(|action| action.json.len() + 1).sum::<usize>() + 16);
    body.extend_from_slice(b"{\"value\":[");
    for (at, action) in actions.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(action.json.as_bytes());
    }
    body.extend_from_slice(b"]}");
    body
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    key: String,
    status: bool,
    status_code: Option<u16>,
}

fn read_items(body: &[u8]) -> Option<Vec<Item>> {
    #[derive(Deserialize)]
    struct Items {
        value: Vec<Item>,
    }
    serde_json::from_slice::<Items>(body).ok().map(|items| items.value)
}

/// The actions to send again: those the service was too busy for, and those it did not mention. Fails
/// when some were refused for good.
fn undone(batch: Vec<Action>, items: &[Item]) -> Result<Vec<Action>, RetrievalError> {
    let outcomes: HashMap<&str, &Item> = items.iter().map(|item| (item.key.as_str(), item)).collect();
    let (mut again, mut refused) = (Vec::new(), Vec::new());
    for action in batch {
        match outcomes.get(action.key.as_str()) {
            Some(item) if item.status => {}
            None => again.push(action),
            Some(item) => match item.status_code.unwrap_or_default() {
                409 | 422 | 503 => again.push(action),
                status => refused.push((action.key, status)),
            },
        }
    }
    if refused.is_empty() {
        return Ok(again);
    }
    Err(named(refused.iter().map(|(key, status)| (key.as_str(), *status)).collect()))
}

fn named(refused: Vec<(&str, u16)>) -> RetrievalError {
    let some: Vec<_> =
        refused.iter().take(NAMED_KEYS).map(|(key, status)| format!("{key} ({status})")).collect();
    let more = if refused.len() > NAMED_KEYS { ", …" } else { "" };
    let quota = if refused.iter().any(|(_, status)| *status == 429) {
        "; the service's document quota is used up"
    } else {
        ""
    };
    RetrievalError::Rejected {
        reason: format!("{} document(s) were not taken: {}{more}{quota}", refused.len(), some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(key: &str, bytes: usize) -> Action {
        Action { key: key.into(), json: "x".repeat(bytes) }
    }

    /// How many actions each batch gets.
    fn cut(actions: Vec<Action>) -> Vec<usize> {
        let (mut sizes, mut batch) = (Vec::new(), Batch::default());
        for action in actions {
            if !batch.takes(&action) {
                sizes.push(std::mem::take(&mut batch).actions.len());
            }
            batch.push(action);
            assert!(batch.actions.len() == 1 || body(&batch.actions).len() < 16_000_000);
        }
        sizes.push(batch.actions.len());
        sizes
    }

    #[test]
    fn batches_end_at_each_limit() {
        assert_eq!(cut((0..2_001).map(|n| action(&n.to_string(), 10)).collect()), [1_000, 1_000, 1]);
        assert_eq!(cut((0..7).map(|n| action(&n.to_string(), 5_000_000)).collect()), [2, 2, 2, 1]);
        assert_eq!(cut(vec![action("a", 20_000_000), action("b", 1)]), [1, 1]);
        assert_eq!(cut(vec![action("a", 1), action("b", 1), action("a", 1)]), [2, 1]);
    }

    #[test]
    fn items_are_repeated_reported_or_done() {
        let items = |codes: &[(&str, u16)]| {
            codes
                .iter()
                .map(|(key, code)| Item { key: (*key).into(), status: *code < 300, status_code: Some(*code) })
                .collect::<Vec<_>>()
        };
        let batch = || ["a", "b", "c", "d", "e"].map(|key| action(key, 1)).to_vec();
        let again = undone(batch(), &items(&[("a", 200), ("b", 409), ("c", 422), ("d", 503)])).unwrap();
        assert_eq!(again.iter().map(|action| action.key.as_str()).collect::<Vec<_>>(), ["b", "c", "d", "e"]);
        let codes = [("a", 201), ("b", 400), ("c", 404), ("d", 429), ("e", 503)];
        let error = undone(batch(), &items(&codes)).unwrap_err().to_string();
        assert!(error.contains("3 document(s)") && error.contains("b (400), c (404), d (429)"), "{error}");
        assert!(error.contains("quota"), "{error}");
    }
}
