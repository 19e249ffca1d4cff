//! What a batch does to the documents that are there.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Action, batch::Kind};
use crate::retrieval::local::table::{Change, View};

/// The outcome of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::emulator) struct Item {
    pub(in crate::emulator) key: String,
    pub(in crate::emulator) status: u16,
    pub(in crate::emulator) error: Option<String>,
}

impl Item {
    pub(in crate::emulator) fn failed(key: String, status: u16, error: impl Into<String>) -> Self {
        Self { key, status, error: Some(error.into()) }
    }
}

#[derive(Debug, Clone)]
struct Document {
    values: Map<String, Value>,
    vectors: Vec<Option<Vec<f32>>>,
}

/// The outcome of each action in its order, and one change a key. `vectors` is how many vector
/// fields there are.
pub(in crate::emulator) fn apply(
    view: &View,
    vectors: usize,
    actions: Vec<Action>,
) -> (Vec<Item>, Vec<Change>) {
    // What earlier actions of this batch made of a key; `None` when they deleted it.
    let mut touched: HashMap<String, Option<Document>> = HashMap::new();
    let mut order = Vec::new();
    let mut items = Vec::with_capacity(actions.len());
    for action in actions {
        if let Some(problem) = action.problem {
            items.push(Item::failed(action.key, 400, problem));
            continue;
        }
        let before = match touched.get(&action.key) {
            Some(document) => document.clone(),
            None => view.find(&action.key).map(|doc| stored(view, doc, vectors)),
        };
        let status = match (action.kind, &before) {
            (Kind::Merge, None) => {
                items.push(Item::failed(action.key, 404, "Document not found."));
                continue;
            }
            (Kind::Upload | Kind::MergeOrUpload, None) => 201,
            _ => 200,
        };
        let after = match action.kind {
            Kind::Delete => None,
            kind => {
                let kept = before.filter(|_| kind != Kind::Upload);
                let mut document =
                    kept.unwrap_or_else(|| Document { values: Map::new(), vectors: vec![None; vectors] });
                document.take(action.values, action.vectors);
                Some(document)
            }
        };
        if touched.insert(action.key.clone(), after).is_none() {
            order.push(action.key.clone());
        }
        items.push(Item { key: action.key, status, error: None });
    }
    let changes = order.into_iter().map(|key| match touched.remove(&key).flatten() {
        Some(Document { values, vectors }) => Change::Put { key, document: values, vectors },
        None => Change::Delete { key },
    });
    (items, changes.collect())
}

impl Document {
    fn take(&mut self, values: Vec<(String, Option<Value>)>, vectors: Vec<(usize, Option<Vec<f32>>)>) {
        for (name, value) in values {
            match value {
                Some(value) => {
                    self.values.insert(name, value);
                }
                None => {
                    self.values.remove(&name);
                }
            }
        }
        for (number, vector) in vectors {
            if let Some(place) = self.vectors.get_mut(number) {
                *place = vector;
            }
        }
    }
}

fn stored(view: &View, doc: usize, vectors: usize) -> Document {
    let vectors = (0..vectors).map(|field| view.vector(doc, field).map(<[f32]>::to_vec)).collect();
    Document { values: view.document(doc).clone(), vectors }
}

/// One document for a table with other vector fields; `places` says where each of the new ones was.
pub(in crate::emulator) fn rebuilt(view: &View, doc: usize, places: &[Option<usize>]) -> Change {
    let vector = |place: &Option<usize>| place.and_then(|field| view.vector(doc, field)).map(<[f32]>::to_vec);
    Change::Put {
        key: view.key(doc).to_owned(),
        document: view.document(doc).clone(),
        vectors: places.iter().map(vector).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        emulator::{
            definition::{self, Definition},
            documents::read,
        },
        retrieval::local::table::Table,
    };

    fn index() -> Definition {
        let body = json!({
            "name": "ab",
            "fields": [
                {"name": "id", "type": "Edm.String", "key": true},
                {"name": "title", "type": "Edm.String"},
                {"name": "long", "type": "Edm.String", "filterable": false, "sortable": false, "facetable": false},
                {"name": "tags", "type": "Collection(Edm.String)"},
                {"name": "v", "type": "Collection(Edm.Single)", "dimensions": 2, "vectorSearchProfile": "p"}
            ],
            "vectorSearch": {"profiles": [{"name": "p", "algorithm": "a"}], "algorithms": [{"name": "a", "kind": "hnsw"}]}
        });
        definition::read(body.as_object().unwrap()).unwrap()
    }

    type Row = (String, Value, Option<Vec<f32>>);

    /// Applies batches one after the other; gives back the statuses of the last and the documents.
    fn run(batches: &[Value]) -> (Vec<u16>, Vec<Row>) {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::open(folder.path(), index().schema()).unwrap();
        let mut statuses = Vec::new();
        for batch in batches {
            let body = json!({"value": batch}).to_string();
            let actions = read(&index(), body.as_bytes(), false).unwrap();
            let (items, changes) = apply(&table.view(), 1, actions);
            statuses = items.iter().map(|item| item.status).collect();
            table.apply(changes).unwrap();
        }
        let view = table.view();
        let mut documents: Vec<_> = (0..view.len())
            .map(|doc| {
                let vector = view.vector(doc, 0).map(<[f32]>::to_vec);
                (view.key(doc).to_owned(), Value::Object(view.document(doc).clone()), vector)
            })
            .collect();
        documents.sort_by(|a, b| a.0.cmp(&b.0));
        (statuses, documents)
    }

    #[test]
    fn upload_replaces_and_merge_keeps() {
        let first = json!([{"id": "1", "title": "a", "tags": ["x"], "v": [1, 0]}, {"id": "2"}]);
        let (statuses, _) = run(std::slice::from_ref(&first));
        assert_eq!(statuses, [201, 201]);
        let (statuses, documents) = run(&[first.clone(), json!([{"id": "1", "title": "b"}])]);
        assert_eq!(statuses, [200]);
        assert_eq!(documents[0], ("1".into(), json!({"id": "1", "title": "b"}), None));
        let merge = json!([
            {"@search.action": "merge", "id": "1", "title": null, "tags": ["y"]},
            {"@search.action": "merge", "id": "9", "title": "x"},
            {"@search.action": "mergeOrUpload", "id": "3", "title": "new"},
            {"@search.action": "delete", "id": "2", "nonsense": 1},
            {"@search.action": "delete", "id": "never"}
        ]);
        let (statuses, documents) = run(&[first, merge]);
        assert_eq!(statuses, [200, 404, 201, 200, 200]);
        assert_eq!(
            documents,
            [
                ("1".into(), json!({"id": "1", "tags": ["y"]}), Some(vec![1.0, 0.0])),
                ("3".into(), json!({"id": "3", "title": "new"}), None)
            ]
        );
    }

    #[test]
    fn actions_on_one_key_see_each_other() {
        let (statuses, documents) = run(&[json!([
            {"id": "1", "title": "a"},
            {"@search.action": "merge", "id": "1", "tags": ["t"]},
            {"@search.action": "delete", "id": "1"},
            {"@search.action": "mergeOrUpload", "id": "1", "title": "z"}
        ])]);
        assert_eq!(statuses, [201, 200, 200, 201]);
        assert_eq!(documents, [("1".into(), json!({"id": "1", "title": "z"}), None)]);
    }

    #[test]
    fn a_term_that_is_too_long_fails_alone() {
        let long = "x".repeat(32_767);
        let (statuses, documents) = run(&[
            json!([{"id": "1", "title": long}, {"id": "2", "long": long}, {"id": "3", "tags": [long]}]),
        ]);
        assert_eq!(statuses, [400, 201, 400]);
        assert_eq!(documents.len(), 1);
    }

    #[test]
    fn a_batch_with_a_bad_action_is_refused_whole_and_names_each() {
        let refusal =
            |batch: Value| read(&index(), json!({"value": batch}).to_string().as_bytes(), false).unwrap_err();
        let several = refusal(json!([{"id": "_a"}, {"id": "b"}, {"title": "c"}, {"id": "d", "nope": 1}]));
        let codes: Vec<&str> = several.details.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(codes, ["InvalidDocumentKey", "MissingKeyField", "UnknownField"]);
        assert_eq!(several.details[1].1, "2: Document key cannot be missing or empty. Parameters: actions");
        let vector = refusal(json!([{"id": "a", "v": [1, 2, 3]}]));
        assert!(vector.message.contains("However, the provided vector has a length of '3'."));
        for bad in [
            json!([]),
            json!([{"id": 5}]),
            json!([{"@search.action": "Upload", "id": "a"}]),
            json!(["x"]),
            json!(vec![json!({"id": "a"}); 1_001]),
        ] {
            assert_eq!(refusal(bad).status, 400);
        }
        for rubbish in [&b""[..], b"[]", b"{\"value\": 1}", b"{", &b"[".repeat(100_000), b"\xff"] {
            assert_eq!(read(&index(), rubbish, false).unwrap_err().status, 400);
        }
        assert!(read(&index(), br#"{"value": [{"id": "a b"}]}"#, true).is_ok());
    }
}
