//! What the client sends, beside what the service's own client was recorded to send.

use std::{collections::BTreeSet, fs};

use rag_api::{
    domain::{Filter, PageRange, SearchMode, VectorWeight},
    retrieval::{SearchRequest, azure::AzureAdmin},
};
use serde_json::Value;

use crate::{
    azure_server::{Azure, ask, axis, fingerprint, metrics, source},
    openai_server::{Reply, Seen},
    support::shared,
};

/// A request of ours and the recorded one it is held against. Members are written as paths with their
/// JSON type; each that only one side has stands here with its reason.
struct Case {
    recorded: &'static str,
    method: &'static str,
    /// What the path ends with, and the body holds, in ours.
    ends: &'static str,
    holds: &'static str,
    ours_only: &'static [(&'static str, &'static str)],
    theirs_only: &'static [(&'static str, &'static str)],
}

const OUR_FIELDS: &str = "fields of our schema";
const THEIR_FIELDS: &str = "fields of the recorded schema";
const OPTIONAL: &str = "optional, and its default is what we want";

const CASES: &[Case] = &[
    Case {
        recorded: "index-create-or-update-created",
        method: "PUT",
        ends: "indexes('ragdocs')",
        holds: "",
        ours_only: &[],
        theirs_only: &[("description:string", OPTIONAL)],
    },
    Case {
        recorded: "docs-merge-or-upload",
        method: "POST",
        ends: "/docs/search.index",
        holds: "contentVector",
        ours_only: &[
            ("value[].contentHash:string", OUR_FIELDS),
            ("value[].contentVector:array", OUR_FIELDS),
            ("value[].contentVector[]:number", OUR_FIELDS),
            ("value[].chunkIndex:number", OUR_FIELDS),
            ("value[].createdAt:string", OUR_FIELDS),
            ("value[].document:null", "explicit, so that nothing of an older version stays"),
            ("value[].embeddingModel:string", OUR_FIELDS),
            ("value[].embeddingRevision:string", OUR_FIELDS),
            ("value[].language:string", OUR_FIELDS),
            ("value[].pageNumber:null", "explicit, so that nothing of an older version stays"),
        ],
        theirs_only: &[
            ("value[].chunk:number", THEIR_FIELDS),
            ("value[].content_vector:array", THEIR_FIELDS),
            ("value[].content_vector[]:number", THEIR_FIELDS),
            ("value[].group_ids:array", THEIR_FIELDS),
            ("value[].group_ids[]:string", THEIR_FIELDS),
            ("value[].updated_at:string", THEIR_FIELDS),
        ],
    },
    Case {
        recorded: "docs-delete",
        method: "POST",
        ends: "/docs/search.index",
        holds: "\"delete\"",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "docs-get-selected",
        method: "GET",
        ends: "/docs('rag-api-fingerprint')",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "docs-count",
        method: "GET",
        ends: "/docs/$count",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "search-hybrid-filter-count",
        method: "POST",
        ends: "search.post.search",
        holds: "vectorFilterMode",
        ours_only: &[],
        theirs_only: &[
            ("count:bool", "a count of hits is not needed and costs time"),
            ("skip:number", OPTIONAL),
            ("vectorQueries[].exhaustive:bool", OPTIONAL),
            ("vectorQueries[].oversampling:number", "the index has its default"),
        ],
    },
    Case {
        recorded: "search-text-simple",
        method: "POST",
        ends: "search.post.search",
        holds: "\"keyword question\"",
        ours_only: &[
            ("queryType:string", "said, though it is the default"),
            ("searchFields:string", "the two that are searchable text"),
            ("searchMode:string", "said, though it is the default"),
            ("select:string", "vectors and bookkeeping stay there"),
        ],
        theirs_only: &[],
    },
    Case {
        recorded: "search-vector-only",
        method: "POST",
        ends: "search.post.search",
        holds: "\"top\":4,\"vectorQueries\"",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "search-hybrid-semantic",
        method: "POST",
        ends: "search.post.search",
        holds: "\"semantic question\"",
        ours_only: &[
            ("searchFields:string", "the two that are searchable text"),
            ("searchMode:string", "said, though it is the default"),
        ],
        theirs_only: &[
            ("answers:string", "answers are ours to give"),
            ("semanticMaxWaitInMilliseconds:number", "the try has its own limit"),
            ("semanticQuery:string", "the question itself"),
        ],
    },
    Case {
        recorded: "index-get",
        method: "GET",
        ends: "indexes('ragdocs')",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "index-statistics",
        method: "GET",
        ends: "search.stats",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "index-delete",
        method: "DELETE",
        ends: "indexes('ragdocs')",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "alias-create-or-update",
        method: "PUT",
        ends: "aliases('an-alias')",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
    Case {
        recorded: "alias-get",
        method: "GET",
        ends: "aliases('ragdocs')",
        holds: "",
        ours_only: &[],
        theirs_only: &[],
    },
];

/// Headers that carry meaning; the others tell of hosts, lengths and programs.
const HEADERS: [&str; 4] = ["accept", "content-type", "prefer", "if-match"];

#[tokio::test]
async fn requests_are_those_of_the_official_client_but_for_known_differences() {
    let Some(folder) = shared("azure-search/recorded") else { return };
    let server = Azure::start().await;
    everything(&server).await;
    let inside = server.inside.lock().unwrap();
    let mut wrong = Vec::new();
    for case in CASES {
        let text = fs::read_to_string(folder.join(format!("{}.json", case.recorded))).unwrap();
        let theirs = &serde_json::from_str::<Value>(&text).unwrap()["request"];
        let ours = inside.seen.iter().find(|seen| {
            let path = seen.path.split('?').next().unwrap();
            seen.method == case.method
                && path.ends_with(case.ends)
                && seen.body.to_string().contains(case.holds)
        });
        let Some(ours) = ours else {
            wrong.push(format!("{}: no such request of ours", case.recorded));
            continue;
        };
        wrong.extend(
            differences(case, ours, theirs).into_iter().map(|text| format!("{}: {text}", case.recorded)),
        );
    }
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

#[tokio::test]
async fn recorded_refusals_are_told_by_their_kind_and_not_in_the_words_of_the_service() {
    let Some(folder) = shared("azure-search/recorded") else { return };
    let mut told = 0;
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("error-") {
            continue;
        }
        let recorded: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let status = u16::try_from(recorded["response"]["status"].as_u64().unwrap()).unwrap();
        let body = &recorded["response"]["body"];
        let server = Azure::start().await;
        let index = server.reader(|config| config.max_retries = 0).await;
        server.script([Some(Reply::new(
            status,
            if body.is_null() { String::new() } else { body.to_string() },
        ))]);
        let filter = Filter::default();
        let error = index.search(&ask("leave", None, SearchMode::Keyword, &filter)).await.unwrap_err();
        let expected = match status {
            401 | 403 => "Unauthorized",
            404 => "Missing",
            429 => "Throttled",
            500.. => "Unavailable",
            _ => "Rejected",
        };
        assert!(format!("{error:?}").starts_with(expected), "{name}: {error:?}");
        let message = body["error"]["message"].as_str().filter(|message| message.len() > 10);
        assert!(message.is_none_or(|message| !error.to_string().contains(message)), "{name}: {error}");
        told += 1;
    }
    assert!(told > 10, "{told}");
}

/// Each kind of request once.
async fn everything(server: &Azure) {
    let mut config = server.config();
    config.quantization = rag_api::config::Quantization::Scalar;
    let admin = AzureAdmin::connect(&config, fingerprint(), metrics()).unwrap();
    admin.create().await.unwrap();
    server.inside.lock().unwrap().indexes.get_mut("ragdocs").unwrap().1.clear();
    let mut writer = server.writer().await.unwrap();
    writer.replace(source("a.md", 2, "d")).await.unwrap();
    writer.commit().await.unwrap();
    writer.replace(source("a.md", 1, "e")).await.unwrap();
    writer.finish().await.unwrap();
    admin.create().await.unwrap();
    admin.status().await.unwrap();

    let (vector, none) = (axis(0), Filter::default());
    let pages = Some(PageRange { min: Some(1), max: None });
    let filter = Filter { source: vec!["a.md".into()], page_number: pages, ..Filter::default() };
    for semantic in [false, true] {
        config.semantic = semantic;
        let index =
            rag_api::retrieval::azure::AzureIndex::connect(&config, fingerprint(), metrics()).unwrap();
        let vector_weight = Some(VectorWeight::parse(2.0).unwrap());
        let hybrid = ask("how do vectors work", Some(&vector), SearchMode::Hybrid, &filter);
        index.search(&SearchRequest { vector_weight, ..hybrid }).await.unwrap();
        index.search(&ask("keyword question", None, SearchMode::Keyword, &none)).await.unwrap();
        let by_vector = ask("x", Some(&vector), SearchMode::Vector, &none);
        index.search(&SearchRequest { top: 4, ..by_vector }).await.unwrap();
        if semantic {
            let hybrid = ask("semantic question", Some(&vector), SearchMode::Hybrid, &none);
            index.search(&hybrid).await.unwrap();
        }
    }
    admin.switch_alias("an-alias", "ragdocs").await.unwrap();
    admin.delete().await.unwrap();
}

fn differences(case: &Case, ours: &Seen, theirs: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, ours: &str, theirs: &str| {
        if ours != theirs {
            found.push(format!("{what} is {ours:?}, recorded {theirs:?}"));
        }
    };
    same("method", ours.method.as_str(), theirs["method"].as_str().unwrap());
    let (path, query) = ours.path.split_once('?').unwrap();
    same("path", &unnamed(path), &unnamed(theirs["path"].as_str().unwrap()));
    let names = |query: &str| {
        query.split('&').map(|pair| pair.split('=').next().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let recorded: BTreeSet<_> = theirs["query"].as_object().unwrap().keys().cloned().collect();
    same("query", &format!("{:?}", names(query)), &format!("{recorded:?}"));
    same(
        "api-version",
        &query[..22],
        &format!("api-version={}", theirs["query"]["api-version"].as_str().unwrap()),
    );
    let headers = theirs["headers"].as_object().unwrap();
    for name in HEADERS {
        let recorded = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        let recorded = recorded.and_then(|(_, value)| value.as_str()).unwrap_or_default();
        let sent = ours.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        same(name, sent, recorded);
    }
    let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
    shape("", &ours.body, &mut left);
    shape("", &theirs["body"], &mut right);
    let allowed =
        |list: &[(&str, &str)]| list.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<BTreeSet<_>>();
    for (whose, found_only, listed) in [
        ("ours", only(&left, &right), allowed(case.ours_only)),
        ("theirs", only(&right, &left), allowed(case.theirs_only)),
    ] {
        if found_only != listed {
            found.push(format!("only in {whose}: {found_only:?}, listed {listed:?}"));
        }
    }
    found
}

/// The path with every name in quotes taken out.
fn unnamed(path: &str) -> String {
    path.split('\'').step_by(2).collect::<Vec<_>>().join("''")
}

/// Every member as `a.b[].c:type`.
fn shape(at: &str, value: &Value, out: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !at.is_empty() && !value.is_object() {
        out.insert(format!("{at}:{kind}"));
    }
    match value {
        Value::Array(values) => values.iter().for_each(|value| shape(&format!("{at}[]"), value, out)),
        Value::Object(members) => {
            for (name, value) in members {
                shape(&format!("{at}{}{name}", if at.is_empty() { "" } else { "." }), value, out);
            }
        }
        _ => {}
    }
}
