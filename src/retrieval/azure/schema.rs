//! The definition of the index, and whether an existing one can do what ours needs.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    config::{AzureConfig, Quantization},
    domain::EMBEDDING_DIMENSION,
    retrieval::RetrievalError,
};

pub(super) const SEMANTIC_CONFIGURATION: &str = "rag-semantic";
const PROFILE: &str = "hnsw-cosine";
const ALGORITHM: &str = "hnsw";
const COMPRESSION: &str = "sq8";

/// Member for member as the service's own clients write it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Definition<'a> {
    name: &'a str,
    fields: Vec<Field<'a>>,
    vector_search: Value,
    semantic: Value,
    similarity: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Field<'a> {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    key: bool,
    searchable: bool,
    filterable: bool,
    facetable: bool,
    sortable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    analyzer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector_search_profile: Option<&'static str>,
    retrievable: bool,
}

impl<'a> Definition<'a> {
    pub(super) fn new(name: &'a str, config: &'a AzureConfig) -> Self {
        let string = |name| Field::plain(name, "Edm.String");
        let number = |name| Field { sortable: true, ..Field::plain(name, "Edm.Int32").filterable() };
        let text = |name| Field {
            searchable: true,
            analyzer: Some(&config.analyzer),
            ..Field::plain(name, "Edm.String")
        };
        let fields = vec![
            Field { key: true, sortable: true, ..string("id").filterable() },
            text("content"),
            text("title"),
            // Retrievable, because the cosine of every hit is computed by this program: whether a passage
            // is evidence at all is judged by it.
            Field {
                searchable: true,
                stored: Some(true),
                dimensions: Some(EMBEDDING_DIMENSION),
                vector_search_profile: Some(PROFILE),
                ..Field::plain("contentVector", "Collection(Edm.Single)")
            },
            Field { facetable: true, ..string("source").filterable() },
            Field { sortable: true, ..Field::plain("createdAt", "Edm.DateTimeOffset").filterable() },
            number("pageNumber"),
            number("chunkIndex"),
            string("contentHash").filterable(),
            string("embeddingModel").filterable(),
            string("embeddingRevision").filterable(),
            Field { facetable: true, ..string("language").filterable() },
            Field { facetable: true, ..Field::plain("tags", "Collection(Edm.String)").filterable() },
            string("document"),
        ];
        let scalar = config.quantization == Quantization::Scalar;
        let mut profile = json!({"name": PROFILE, "algorithm": ALGORITHM});
        let mut vector_search = json!({
            "profiles": [],
            "algorithms": [{
                "name": ALGORITHM,
                "hnswParameters": {"m": 4, "efConstruction": 400, "efSearch": 500, "metric": "cosine"},
                "kind": "hnsw",
            }],
        });
        if scalar {
            profile["compression"] = COMPRESSION.into();
            vector_search["compressions"] = json!([{
                "name": COMPRESSION,
                "scalarQuantizationParameters": {"quantizedDataType": "int8"},
                "rescoringOptions": {
                    "enableRescoring": true, "defaultOversampling": 4.0, "rescoreStorageMethod": "preserveOriginals",
                },
                "kind": "scalarQuantization",
            }]);
        }
        vector_search["profiles"] = json!([profile]);
        Self {
            name,
            fields,
            vector_search,
            semantic: json!({
                "defaultConfiguration": SEMANTIC_CONFIGURATION,
                "configurations": [semantic_configuration()],
            }),
            similarity: json!({"k1": 1.2, "b": 0.75, "@odata.type": "#Microsoft.Azure.Search.BM25Similarity"}),
        }
    }

    pub(super) fn json(&self) -> Result<Vec<u8>, RetrievalError> {
        serde_json::to_vec(self).map_err(|_| unwritable())
    }

    /// `existing` with what it lacks, or `None` when it lacks nothing. Fails when a field that is there
    /// cannot do what ours must: the service changes no field once it is made.
    pub(super) fn completed(&self, mut existing: Value) -> Result<Option<Value>, RetrievalError> {
        let ours = serde_json::to_value(&self.fields).map_err(|_| unwritable())?;
        let ours = ours.as_array().cloned().unwrap_or_default();
        let theirs = existing["fields"].as_array().cloned().unwrap_or_default();
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        for field in ours {
            match theirs.iter().find(|other| other["name"] == field["name"]) {
                None => missing.push(field),
                Some(other) if suits(&field, other) => {}
                Some(_) => wrong.push(field["name"].as_str().unwrap_or_default().to_owned()),
            }
        }
        if !wrong.is_empty() || missing.iter().any(|field| field["key"] == true) {
            let what = if wrong.is_empty() {
                "has another key field".to_owned()
            } else {
                format!("has other definitions of {}", wrong.join(", "))
            };
            return Err(super::marker::incompatible(self.name, &what));
        }
        let configured = existing["semantic"]["configurations"].as_array().cloned().unwrap_or_default();
        let semantic = configured.iter().any(|one| one["name"] == SEMANTIC_CONFIGURATION);
        if missing.is_empty() && semantic {
            return Ok(None);
        }
        if missing.iter().any(|field| field["name"] == "contentVector") {
            return Err(super::marker::incompatible(self.name, "has no field contentVector"));
        }
        existing["fields"] = Value::Array(theirs.into_iter().chain(missing).collect());
        if !semantic {
            let all = configured.into_iter().chain([semantic_configuration()]).collect::<Vec<_>>();
            if !existing["semantic"].is_object() {
                existing["semantic"] = json!({});
            }
            existing["semantic"]["configurations"] = all.into();
        }
        if let Some(members) = existing.as_object_mut() {
            members.retain(|name, _| !name.starts_with("@odata"));
        }
        Ok(Some(existing))
    }
}

impl Field<'_> {
    fn plain(name: &'static str, kind: &'static str) -> Self {
        Self {
            name,
            kind,
            key: false,
            searchable: false,
            filterable: false,
            facetable: false,
            sortable: false,
            analyzer: None,
            stored: None,
            dimensions: None,
            vector_search_profile: None,
            retrievable: true,
        }
    }

    fn filterable(self) -> Self {
        Self { filterable: true, ..self }
    }
}

/// Whether `theirs` has the type of `ours` and can do at least as much.
fn suits(ours: &Value, theirs: &Value) -> bool {
    let same = ["type", "key"].iter().all(|member| ours[*member] == theirs[*member])
        && (ours.get("dimensions").is_none() || ours["dimensions"] == theirs["dimensions"]);
    let able = ["searchable", "filterable", "facetable", "sortable", "retrievable"];
    // What is not said is true, but for a vector's `retrievable`, which services say.
    same && able.iter().all(|member| ours[*member] != true || theirs[*member] != false)
        && (ours.get("stored").is_none() || theirs["stored"] != false)
}

fn semantic_configuration() -> Value {
    json!({
        "name": SEMANTIC_CONFIGURATION,
        "prioritizedFields": {
            "titleField": {"fieldName": "title"},
            "prioritizedContentFields": [{"fieldName": "content"}],
            "prioritizedKeywordsFields": [{"fieldName": "tags"}],
        },
        "rankingOrder": "BoostedRerankerScore",
    })
}

fn unwritable() -> RetrievalError {
    RetrievalError::Rejected { reason: "the index definition cannot be written as JSON".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, EnvReader, SearchBackend};

    fn config(quantization: &str) -> AzureConfig {
        let pairs = [
            ("AZURE_SEARCH_ENDPOINT", "https://x.search.windows.net"),
            ("AZURE_SEARCH_API_KEY", "k"),
            ("AZURE_SEARCH_QUANTIZATION", quantization),
        ];
        match Config::read(EnvReader::from_pairs(pairs)).unwrap().search {
            SearchBackend::Azure(config) => *config,
            SearchBackend::Local { .. } => panic!("local"),
        }
    }

    fn definition(quantization: &str) -> Value {
        serde_json::to_value(Definition::new("ragdocs", &config(quantization))).unwrap()
    }

    fn field<'a>(definition: &'a Value, name: &str) -> &'a Value {
        definition["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap()
    }

    #[test]
    fn only_content_and_title_are_searchable_text() {
        let definition = definition("none");
        let searchable: Vec<_> = definition["fields"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|field| field["searchable"] == true)
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        assert_eq!(searchable, ["content", "title", "contentVector"]);
        assert_eq!(field(&definition, "content")["analyzer"], "en.lucene");
        let vector = field(&definition, "contentVector");
        assert_eq!(
            (&vector["retrievable"], &vector["stored"], &vector["dimensions"]),
            (&json!(true), &json!(true), &json!(384))
        );
    }

    #[test]
    fn quantization_keeps_the_originals_for_the_final_order() {
        assert_eq!(definition("none")["vectorSearch"].get("compressions"), None);
        let scalar = definition("scalar");
        assert_eq!(scalar["vectorSearch"]["profiles"][0]["compression"], COMPRESSION);
        let options = &scalar["vectorSearch"]["compressions"][0]["rescoringOptions"];
        assert_eq!(options["rescoreStorageMethod"], "preserveOriginals");
    }

    #[test]
    fn an_index_is_completed_but_never_changed() {
        let config = config("none");
        let ours = Definition::new("ragdocs", &config);
        let whole = definition("none");
        assert_eq!(ours.completed(whole.clone()).unwrap(), None);

        let mut more = whole.clone();
        more["fields"].as_array_mut().unwrap().push(json!({"name": "own", "type": "Edm.String"}));
        assert_eq!(ours.completed(more).unwrap(), None);

        let mut less = whole.clone();
        less["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "tags");
        less["semantic"] = Value::Null;
        less["@odata.etag"] = "\"e\"".into();
        let completed = ours.completed(less).unwrap().unwrap();
        assert_eq!(completed.get("@odata.etag"), None);
        assert_eq!(field(&completed, "tags")["type"], "Collection(Edm.String)");
        assert_eq!(completed["semantic"]["configurations"][0]["name"], SEMANTIC_CONFIGURATION);

        for (name, member, value) in [
            ("contentVector", "dimensions", json!(1536)),
            ("contentVector", "retrievable", json!(false)),
            ("source", "filterable", json!(false)),
            ("id", "key", json!(false)),
            ("pageNumber", "type", json!("Edm.String")),
        ] {
            let mut other = whole.clone();
            let fields = other["fields"].as_array_mut().unwrap();
            fields.iter_mut().find(|field| field["name"] == name).unwrap()[member] = value;
            let error = ours.completed(other).unwrap_err();
            assert!(
                matches!(error, RetrievalError::Incompatible(_)) && error.to_string().contains(name),
                "{error}"
            );
        }
    }
}
