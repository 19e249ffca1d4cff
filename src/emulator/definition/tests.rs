//! Definitions that are read, refused, given back and changed.

use serde_json::{Map, Value, json};

use super::{
    super::{check_change, write},
    read,
};
use crate::emulator::{json::Json, refusal::Refusal};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn minimal() -> Value {
    json!({
        "name": "docs",
        "fields": [
            {"name": "id", "type": "Edm.String", "key": true},
            {"name": "tags", "type": "Collection(Edm.String)"},
            {"name": "year", "type": "Edm.Int32"},
            {"name": "v", "type": "Collection(Edm.Single)", "dimensions": 3, "vectorSearchProfile": "p"}
        ],
        "vectorSearch": {
            "profiles": [{"name": "p", "algorithm": "a"}],
            "algorithms": [{"name": "a", "kind": "hnsw"}]
        }
    })
}

fn refused(change: impl FnOnce(&mut Value)) -> Refusal {
    let mut body = minimal();
    change(&mut body);
    read(&object(body)).unwrap_err()
}

#[test]
fn what_is_left_out_gets_the_service_s_defaults() {
    let definition = read(&object(minimal())).unwrap();
    let flags = |name: &str| {
        let f = definition.field(name).unwrap();
        [f.key, f.searchable, f.filterable, f.retrievable, f.stored, f.sortable, f.facetable]
    };
    assert_eq!(flags("id"), [true, true, true, true, true, true, true]);
    assert_eq!(flags("tags"), [false, true, true, true, true, false, true]);
    assert_eq!(flags("year"), [false, false, true, true, true, true, true]);
    assert_eq!(flags("v"), [false, true, false, false, true, false, false]);
    assert_eq!(definition.key(), "id");
}

#[test]
fn what_is_given_back_can_be_sent_again() {
    let definition = read(&object(minimal())).unwrap();
    let text = Json::Object(write(&definition, "\"0x1\"")).to_text();
    assert!(text.starts_with(
        "{\"@odata.etag\":\"\\\"0x1\\\"\",\"name\":\"docs\",\"description\":null,\"defaultScoringProfile\":null,\
         \"fields\":[{\"name\":\"id\",\"type\":\"Edm.String\",\"searchable\":true,\"filterable\":true,\
         \"retrievable\":true,\"stored\":true,\"sortable\":true,\"facetable\":true,\"key\":true,"
    ));
    assert!(text.contains(
        "\"similarity\":{\"@odata.type\":\"#Microsoft.Azure.Search.BM25Similarity\",\"k1\":null,\"b\":null}"
    ));
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read(&object(again)).unwrap(), definition);
}

#[test]
fn recorded_refusals_have_the_recorded_texts() {
    let no_length = refused(|body| body["fields"][3]["dimensions"] = Value::Null);
    assert_eq!(
        no_length.message,
        "The request is invalid. Details: definition : The vector field 'v' must have the property 'dimensions' set."
    );
    assert_eq!(
        no_length.details,
        [(
            "InvalidField".to_owned(),
            "The vector field 'v' must have the property 'dimensions' set. Parameters: definition".to_owned()
        )]
    );
    let not_stored = refused(|body| {
        body["fields"][3]["stored"] = false.into();
        body["fields"][3]["retrievable"] = true.into();
    });
    assert!(not_stored.message.contains("is marked as not stored but is marked as retrievable."));
    let profile = refused(|body| body["fields"][3]["vectorSearchProfile"] = "q".into());
    assert_eq!(profile.details[0].0, "UnknownVectorAlgorithmConfiguration");
    assert!(
        profile.message.ends_with(
            "The field 'v' uses a vector search algorithm configuration 'q' which is not defined."
        )
    );
}

#[test]
fn nonsense_is_refused_and_what_is_not_emulated_says_so() {
    let code = |change: &dyn Fn(&mut Value)| refused(change).code;
    let invalid = "InvalidRequestParameter";
    assert_eq!(code(&|b| b["name"] = "Bad".into()), invalid);
    assert_eq!(code(&|b| b["fields"] = json!([])), invalid);
    assert_eq!(code(&|b| b["fields"] = "x".into()), invalid);
    assert_eq!(code(&|b| b["fields"][0]["key"] = false.into()), invalid);
    assert_eq!(code(&|b| b["fields"][2]["key"] = true.into()), invalid);
    assert_eq!(code(&|b| b["fields"][0]["type"] = "Edm.Int32".into()), invalid);
    assert_eq!(code(&|b| b["fields"][1]["name"] = "ID".into()), invalid);
    assert_eq!(code(&|b| b["fields"][1]["sortable"] = true.into()), invalid);
    assert_eq!(code(&|b| b["fields"][2]["searchable"] = true.into()), invalid);
    assert_eq!(code(&|b| b["fields"][2]["type"] = "Edm.Decimal".into()), invalid);
    assert_eq!(code(&|b| b["fields"][3]["dimensions"] = 1.into()), invalid);
    assert_eq!(code(&|b| b["fields"][3]["dimensions"] = (-1).into()), invalid);
    assert_eq!(code(&|b| b["fields"][3]["filterable"] = true.into()), invalid);
    assert_eq!(code(&|b| b["fieldz"] = json!([1])), invalid);
    assert_eq!(code(&|b| b["vectorSearch"]["algorithms"][0]["hnswParameters"] = json!({"m": 99})), invalid);
    let absent = "NotEmulated";
    assert_eq!(code(&|b| b["suggesters"] = json!([{"name": "sg"}])), absent);
    assert_eq!(code(&|b| b["scoringProfiles"] = json!([{"name": "s"}])), absent);
    assert_eq!(code(&|b| b["encryptionKey"] = json!({"k": 1})), absent);
    assert_eq!(code(&|b| b["fields"][1]["type"] = "Edm.GeographyPoint".into()), absent);
    assert_eq!(code(&|b| b["fields"][0]["analyzer"] = "my-analyzer".into()), absent);
    assert_eq!(code(&|b| b["fields"][0]["synonymMaps"] = json!(["m"])), absent);
    assert_eq!(code(&|b| b["similarity"] = json!({"k1": 2.0})), absent);
    assert_eq!(code(&|b| b["vectorSearch"]["vectorizers"] = json!([{"name": "v"}])), absent);
    assert_eq!(
        code(&|b| b["vectorSearch"]["algorithms"][0]["hnswParameters"] = json!({"metric": "euclidean"})),
        absent
    );
}

#[test]
fn fields_may_be_added_but_neither_removed_nor_changed() {
    let old = read(&object(minimal())).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut body = minimal();
        change(&mut body);
        check_change(&old, &read(&object(body)).unwrap())
    };
    assert_eq!(changed(&|_| {}), Ok(false));
    assert_eq!(changed(&|b| b["fields"][2]["retrievable"] = false.into()), Ok(false));
    let add = |field: Value| changed(&|b| b["fields"].as_array_mut().unwrap().push(field.clone()));
    assert_eq!(add(json!({"name": "n", "type": "Edm.Double"})), Ok(false));
    assert_eq!(add(json!({"name": "n", "type": "Edm.String"})), Ok(true));
    assert_eq!(
        add(
            json!({"name": "w", "type": "Collection(Edm.Single)", "dimensions": 2, "vectorSearchProfile": "p"})
        ),
        Ok(true)
    );
    let refusal = changed(&|b| b["fields"][3]["stored"] = false.into()).unwrap_err();
    assert_eq!(
        (refusal.code.as_str(), refusal.message.as_str(), refusal.details[0].0.as_str()),
        ("OperationNotAllowed", "Existing field 'v' cannot be changed.", "CannotChangeExistingField")
    );
    assert!(changed(&|b| b["fields"].as_array_mut().unwrap().truncate(2)).is_err());
}
