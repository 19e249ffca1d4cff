//! Searches that are read or refused, and answers over a small table.

use serde_json::{Value, json};

use super::{
    super::{page, project},
    *,
};
use crate::{
    emulator::{definition, documents, json::Json},
    retrieval::local::table::{Table, View},
};

fn index() -> Definition {
    let body = json!({
        "name": "ab",
        "fields": [
            {"name": "id", "type": "Edm.String", "key": true, "searchable": false},
            {"name": "content", "type": "Edm.String", "filterable": false, "facetable": false, "sortable": false},
            {"name": "source", "type": "Edm.String", "searchable": false},
            {"name": "chunk", "type": "Edm.Int32"},
            {"name": "tags", "type": "Collection(Edm.String)", "searchable": false},
            {"name": "secret", "type": "Edm.String", "searchable": false, "retrievable": false},
            {"name": "v", "type": "Collection(Edm.Single)", "dimensions": 2, "vectorSearchProfile": "p"},
            {"name": "w", "type": "Collection(Edm.Single)", "dimensions": 2, "vectorSearchProfile": "p",
             "retrievable": true}
        ],
        "vectorSearch": {"profiles": [{"name": "p", "algorithm": "a"}], "algorithms": [{"name": "a", "kind": "hnsw"}]}
    });
    definition::read(body.as_object().unwrap()).unwrap()
}

fn read(body: Value) -> Result<SearchRequest, Refusal> {
    SearchRequest::read(&index(), body.as_object().unwrap())
}

struct Filled {
    view: std::sync::Arc<View>,
    _folder: tempfile::TempDir,
}

impl Filled {
    fn new(batch: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::open(folder.path(), index().schema()).unwrap();
        let body = json!({"value": batch}).to_string();
        let actions = documents::read(&index(), body.as_bytes(), false).unwrap();
        table.apply(documents::apply(&table.view(), 2, actions).1).unwrap();
        Self { view: table.view(), _folder: folder }
    }

    /// Five chunks of two sources; the vectors turn away from (1, 0) as the chunks count up.
    fn five() -> Self {
        Self::new(json!([
            {"id": "1", "content": "apple apple apple", "source": "a.md", "chunk": 1, "tags": ["x", "y"], "v": [1, 0], "secret": "s"},
            {"id": "2", "content": "apple apple and pears", "source": "a.md", "chunk": 2, "tags": ["x"], "v": [0.8, 0.6]},
            {"id": "3", "content": "apple with a lot of other fruit", "source": "b.md", "chunk": 3, "v": [0, 1], "w": [0, 1]},
            {"id": "4", "content": "plums", "source": "b.md", "chunk": 4, "v": [-1, 0]},
            {"id": "5", "content": null, "source": "b.md", "tags": ["z"]}
        ]))
    }

    fn ask(&self, body: Value) -> Value {
        let body = body.as_object().unwrap();
        let request = SearchRequest::read(&index(), body).unwrap();
        let page = page(&index(), &self.view, &request, body).unwrap();
        let mut members = page.head;
        members.extend(page.next.map(|next| ("next".to_owned(), Json::Value(next.into()))));
        members.push(("value".to_owned(), page.value));
        serde_json::from_str(&Json::Object(members).to_text()).unwrap()
    }

    fn keys(&self, body: Value) -> Vec<String> {
        let answer = self.ask(body);
        let hits = answer["value"].as_array().unwrap();
        hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn vector(numbers: [f32; 2], k: usize) -> Value {
    json!({"kind": "vector", "vector": numbers, "fields": "v", "k": k})
}

#[test]
fn everything_scores_one_and_words_rank() {
    let index = Filled::five();
    let all = index.ask(json!({"search": "*", "count": true}));
    assert_eq!(all["@odata.count"], 5);
    assert!(all["value"].as_array().unwrap().iter().all(|hit| hit["@search.score"] == 1.0));
    assert_eq!(index.keys(json!({"search": "apple"})), ["1", "2", "3"]);
    assert_eq!(index.keys(json!({"search": "apple + pears"})), ["2"]);
    assert_eq!(
        index.keys(json!({"search": "apple -pears", "searchMode": "all", "orderby": "id"})),
        ["1", "3"]
    );
    assert_eq!(index.keys(json!({"search": "plu*"})), ["4"]);
    assert_eq!(index.keys(json!({"search": "\"other fruit\""})), ["3"]);
    assert_eq!(index.keys(json!({"search": "apple", "filter": "source eq 'b.md'"})), ["3"]);
    assert_eq!(index.keys(json!({"filter": "search.ismatch('plums')"})), ["4"]);
}

#[test]
fn one_vector_list_keeps_its_own_score_and_filters_come_before_or_after() {
    let index = Filled::five();
    let answer = index.ask(json!({"vectorQueries": [vector([1.0, 0.0], 3)]}));
    let scores: Vec<&Value> =
        answer["value"].as_array().unwrap().iter().map(|hit| &hit["@search.score"]).collect();
    assert_eq!(scores, [&json!(1.0), &json!(0.833_333_3), &json!(0.5)]);
    let filtered = |mode: &str| {
        let query = vector([1.0, 0.0], 2);
        index.keys(json!({"vectorQueries": [query], "filter": "source eq 'b.md'", "vectorFilterMode": mode}))
    };
    assert_eq!(filtered("preFilter"), ["3", "4"]);
    assert_eq!(filtered("postFilter"), Vec::<String>::new());
    assert_eq!(filtered("strictPostFilter"), Vec::<String>::new());
}

#[test]
fn several_lists_are_fused_with_ranks_from_zero_and_weights() {
    let index = Filled::five();
    let score = |body: Value, at: usize| index.ask(body)["value"][at]["@search.score"].as_f64().unwrap();
    let hybrid = json!({"search": "apple", "vectorQueries": [vector([1.0, 0.0], 1)]});
    assert_eq!(index.keys(hybrid.clone()), ["1", "2", "3"]);
    assert_eq!(score(hybrid, 0), 0.033_333_335_071_802_14);
    let two = json!({"vectorQueries": [{"kind": "vector", "vector": [0, 1], "fields": "v,w", "k": 2}]});
    assert_eq!(index.keys(two.clone())[0], "3");
    assert_eq!(score(two, 0), 0.033_333_335_071_802_14);
    let mut heavy = vector([-1.0, 0.0], 1);
    heavy["weight"] = 3.0.into();
    let weighted = json!({"search": "apple", "vectorQueries": [heavy]});
    assert_eq!(
        (index.keys(weighted.clone())[0].as_str(), score(weighted, 0)),
        ("4", f64::from(3.0_f32 / 60.0))
    );
    // A text that matches nothing still makes the search a hybrid one.
    let nothing = json!({"search": "zzz", "vectorQueries": [vector([1.0, 0.0], 1)]});
    assert_eq!(score(nothing, 0), f64::from(1.0_f32 / 60.0));
}

#[test]
fn pages_end_where_the_caller_or_the_service_cuts() {
    let documents: Vec<Value> = (0..120).map(|n| json!({"id": format!("{n:03}"), "chunk": n})).collect();
    let index = Filled::new(documents.into());
    let first = index.ask(json!({"search": "*", "orderby": "chunk", "select": "id", "filter": null}));
    assert_eq!(first["value"].as_array().unwrap().len(), 50);
    assert_eq!(first["next"], json!({"search": "*", "orderby": "chunk", "select": "id", "skip": 50}));
    let last = index.ask(json!({"search": "*", "orderby": "chunk", "skip": 100}));
    assert_eq!((last["value"].as_array().unwrap().len(), last.get("next")), (20, None));
    assert_eq!(last["value"][0]["id"], "100");
    let asked = index.ask(json!({"search": "*", "top": 60}));
    assert_eq!((asked["value"].as_array().unwrap().len(), asked.get("next")), (60, None));
    assert_eq!(index.ask(json!({"search": "*", "top": 0, "count": true}))["@odata.count"], 120);
}

#[test]
fn facets_count_everything_found() {
    let index = Filled::five();
    let answer = index.ask(json!({
        "search": "*", "top": 1, "minimumCoverage": 80,
        "facets": ["source", "tags,count:2,sort:-value", "chunk,values:2|4"]
    }));
    assert_eq!(answer["@search.coverage"], 100.0);
    assert_eq!(
        answer["@search.facets"],
        json!({
            "source": [{"count": 3, "value": "b.md"}, {"count": 2, "value": "a.md"}],
            "tags": [{"count": 1, "value": "z"}, {"count": 1, "value": "y"}],
            "chunk": [{"count": 1, "to": 2}, {"count": 2, "from": 2, "to": 4}, {"count": 1, "from": 4}]
        })
    );
}

#[test]
fn hits_show_what_is_selected_marked_and_explained() {
    let filled = Filled::five();
    let answer = filled.ask(json!({
        "search": "pears", "select": "id,tags", "highlight": "content-1", "highlightPreTag": "<b>",
        "highlightPostTag": "</b>", "vectorQueries": [vector([0.8, 0.6], 1)], "debug": "vector"
    }));
    assert_eq!(
        answer["value"][0],
        json!({
            "@search.score": 0.033_333_335_071_802_14,
            "@search.highlights": {"content": ["apple apple and <b>pears</b>"]},
            "@search.documentDebugInfo": {"vectors": {"subscores": {
                "text": {"searchScore": answer["value"][0]["@search.documentDebugInfo"]["vectors"]["subscores"]["text"]["searchScore"]},
                "vectors": [{"v": {"searchScore": 1.0, "vectorSimilarity": 1.0}}],
                "documentBoost": 1
            }}},
            "id": "2",
            "tags": ["x"]
        })
    );
    let selection = Selection::read(&index(), "").unwrap();
    let shown = |key: &str| {
        let members = project(&index(), &filled.view, filled.view.find(key).unwrap(), &selection);
        Json::Object(members).to_text()
    };
    assert_eq!(
        shown("3"),
        r#"{"id":"3","content":"apple with a lot of other fruit","source":"b.md","chunk":3,"tags":[],"w":[0.0,1.0]}"#
    );
    assert_eq!(shown("5"), r#"{"id":"5","content":null,"source":"b.md","chunk":null,"tags":["z"],"w":null}"#);
}

#[test]
fn orders_may_mix_fields_and_scores() {
    let index = Filled::five();
    assert_eq!(index.keys(json!({"search": "*", "orderby": "source desc,chunk"})), ["5", "3", "4", "1", "2"]);
    assert_eq!(index.keys(json!({"search": "apple", "orderby": "search.score() asc"})), ["3", "2", "1"]);
}

#[test]
fn recorded_refusals_have_the_recorded_texts() {
    for (body, message) in [
        (
            json!({"filter": "This is not a valid filter."}),
            "Invalid expression: Syntax error at position 7 in 'This is not a valid filter.'.\r\nParameter name: $filter",
        ),
        (
            json!({"select": "url"}),
            "Invalid expression: Could not find a property named 'url' on type 'search.document'.\r\nParameter name: $select",
        ),
        (
            json!({"select": "secret"}),
            "Invalid expression: 'secret' is not a retrievable field. Only fields marked as retrievable in the index \
             can be used in $select.\r\nParameter name: $select",
        ),
        (
            json!({"queryType": "semantic", "semanticConfiguration": "c", "semanticMaxWaitInMilliseconds": 700}),
            "The 'semanticMaxWaitInMilliseconds' parameter needs to be larger than 750.\r\nParameter name: \
             semanticMaxWaitInMilliseconds",
        ),
    ] {
        assert_eq!(read(body).unwrap_err().message, message);
    }
}

#[test]
fn nonsense_is_refused_and_what_is_not_emulated_says_so() {
    for body in [
        json!({"search": 5}),
        json!({"serch": "x"}),
        json!({"searchMode": "some"}),
        json!({"searchFields": "source"}),
        json!({"searchFields": "nope"}),
        json!({"searchFields": "v"}),
        json!({"queryType": "lucene"}),
        json!({"top": -1}),
        json!({"top": "5"}),
        json!({"skip": 100_001}),
        json!({"minimumCoverage": 101}),
        json!({"orderby": "content"}),
        json!({"facets": ["content"]}),
        json!({"facets": ["v"]}),
        json!({"facets": ["chunk,count:x"]}),
        json!({"facets": ["chunk,values:4|2"]}),
        json!({"facets": "chunk"}),
        json!({"highlight": "source"}),
        json!({"highlight": "content-0"}),
        json!({"highlight": "content", "highlightPreTag": "<b>"}),
        json!({"debug": "everything"}),
        json!({"sessionId": "_x"}),
        json!({"vectorFilterMode": "none"}),
        json!({"vectorQueries": {}}),
        json!({"vectorQueries": [{"vector": [1, 0], "fields": "v"}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0]}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1], "fields": "v"}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, "0"], "fields": "v"}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 1e300], "fields": "v"}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0], "fields": "content"}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0], "fields": "v", "k": 0}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0], "fields": "v", "weight": 0}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0], "fields": "v", "oversampling": 0.5}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0], "fields": "v", "kk": 1}]}),
    ] {
        let refusal = read(body.clone()).unwrap_err();
        assert_eq!(refusal.status, 400, "{body}");
        assert_ne!(refusal.code, "NotEmulated", "{body}");
    }
    for body in [
        json!({"queryType": "full"}),
        json!({"queryType": "semantic"}),
        json!({"answers": "extractive|count-3"}),
        json!({"semanticConfiguration": "c"}),
        json!({"scoringProfile": "p"}),
        json!({"scoringParameters": ["a-b"]}),
        json!({"speller": "lexicon"}),
        json!({"debug": "semantic"}),
        json!({"facets": ["chunk,interval:2"]}),
        json!({"vectorQueries": [{"kind": "text", "text": "x", "fields": "v"}]}),
        json!({"vectorQueries": [{"kind": "vector", "vector": [1, 0], "fields": "v", "threshold": {}}]}),
    ] {
        let refusal = read(body.clone()).unwrap_err();
        assert_eq!(refusal.code, "NotEmulated", "{body}");
        assert!(refusal.message.contains("is not emulated"), "{body}");
    }
}
