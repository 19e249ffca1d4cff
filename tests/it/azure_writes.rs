//! The Azure AI Search writer and administration by their wire: batches, items, crashes, aliases.

use rag_api::{
    config::AzureAuth,
    retrieval::{
        RetrievalError,
        azure::{AzureAdmin, AzureWriter},
    },
};
use serde_json::{Value, json};

use crate::{
    azure_server::{Azure, MARKER, fingerprint, metrics, source},
    openai_server::Reply,
};

fn admin(server: &Azure) -> AzureAdmin {
    AzureAdmin::connect(&server.config(), fingerprint(), metrics()).unwrap()
}

/// Contents by id, of passages alone.
fn passages(server: &Azure) -> Vec<(String, String)> {
    let text = |document: &Value| document["content"].as_str().map(str::to_owned);
    let all = server.documents("ragdocs");
    all.into_iter().filter_map(|(id, document)| Some((id, text(&document)?))).collect()
}

#[tokio::test]
async fn sources_are_written_replaced_and_removed_whole() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    assert!(writer.known_sources().is_empty());
    writer.replace(source("a.md", 3, "one")).await.unwrap();
    writer.replace(source("o'b.md", 1, "one")).await.unwrap();
    writer.replace(source("empty.md", 0, "nothing")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(passages(&server).len(), 4);

    let mut writer = server.writer().await.unwrap();
    let known = |writer: &AzureWriter, name: &str| {
        writer.known_sources().get(name).map(|known| known.document.clone())
    };
    assert_eq!(known(&writer, "a.md").as_deref(), Some("one"));
    assert_eq!(known(&writer, "empty.md").as_deref(), Some("nothing"));
    assert_eq!(writer.known_sources().len(), 3);
    writer.replace(source("a.md", 2, "two")).await.unwrap();
    writer.replace(source("empty.md", 1, "text")).await.unwrap();
    assert!(writer.remove("o'b.md").await && !writer.remove("o'b.md").await);
    writer.commit().await.unwrap();
    let now = [("a.md-0", "two 0"), ("a.md-1", "two 1"), ("empty.md-0", "text 0")];
    assert_eq!(passages(&server), now.map(|(id, text)| (id.to_owned(), text.to_owned())));
    assert_eq!(
        server.documents("ragdocs").len(),
        4,
        "three passages and the marker: {:?}",
        server.documents("ragdocs").keys()
    );

    // The same source twice in one run, before a search could see the first.
    writer.replace(source("a.md", 0, "gone")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(passages(&server).len(), 1);
    let writer = server.writer().await.unwrap();
    assert_eq!(known(&writer, "a.md").as_deref(), Some("gone"));
}

#[tokio::test]
async fn a_crash_anywhere_leaves_nothing_that_the_next_run_takes_for_whole() {
    for steps in 0.. {
        let server = Azure::start().await;
        let mut writer = server.writer().await.unwrap();
        writer.replace(source("a.md", 4, "old")).await.unwrap();
        writer.replace(source("gone.md", 2, "old")).await.unwrap();
        writer.finish().await.unwrap();

        let mut config = server.config();
        config.max_retries = 0;
        let mut writer = AzureWriter::open(&config, &fingerprint(), metrics()).await.unwrap();
        server.inside.lock().unwrap().alive_for = Some(steps);
        writer.replace(source("a.md", 2, "new")).await.unwrap();
        writer.replace(source("b.md", 2, "new")).await.unwrap();
        writer.remove("gone.md").await;
        let done = writer.commit().await;
        assert!(done.is_ok() || writer.commit().await.is_err(), "a failed writer goes on");
        server.inside.lock().unwrap().alive_for = None;

        let mut writer = server.writer().await.unwrap();
        let contents = passages(&server);
        for name in ["a.md", "b.md"] {
            let texts: Vec<_> = contents.iter().filter(|(id, _)| id.starts_with(name)).collect();
            let of = |version: &str, count: usize| {
                texts.len() == count && texts.iter().all(|(_, text)| text.starts_with(version))
            };
            match writer.known_sources().get(name).map(|known| known.document.as_str()) {
                None => assert_eq!(texts.len(), 0, "{name} after {steps}: unknown, and yet {texts:?}"),
                Some("old") => assert!(of("old", 4), "{name} after {steps}: {texts:?}"),
                Some("new") => assert!(of("new", 2), "{name} after {steps}: {texts:?}"),
                Some(other) => assert_eq!(other, ""),
            }
            assert!(name == "b.md" || !texts.is_empty(), "{name} vanished after {steps}");
        }
        let left = contents.iter().any(|(id, _)| id.starts_with("gone.md"));
        assert!(!left || writer.known_sources().contains_key("gone.md"), "after {steps}");

        writer.replace(source("a.md", 2, "new")).await.unwrap();
        writer.replace(source("b.md", 2, "new")).await.unwrap();
        writer.remove("gone.md").await;
        writer.finish().await.unwrap();
        assert_eq!(passages(&server).len(), 4, "after {steps}");
        if done.is_ok() {
            assert!(steps >= 6, "too few steps: {steps}");
            return;
        }
    }
}

#[tokio::test]
async fn batches_stay_within_a_thousand_and_are_halved_when_too_large() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    server.forget();
    server.script([None, Some(Reply::new(413, "")), None, Some(Reply::new(413, ""))]);
    writer.replace(source("big.md", 1_501, "d")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(passages(&server).len(), 1_501);
    let sizes: Vec<_> = {
        let inside = server.inside.lock().unwrap();
        inside.seen.iter().map(|seen| seen.body["value"].as_array().map_or(0, Vec::len)).collect()
    };
    // First chunk; a thousand, halved, its second half halved; the rest; the mark; the marker.
    assert_eq!(sizes, [1, 1_000, 500, 500, 250, 250, 500, 1, 1]);
}

#[tokio::test]
async fn one_document_too_large_is_named() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    server.script([Some(Reply::new(413, ""))]);
    writer.replace(source("a.md", 1, "d")).await.unwrap();
    let error = writer.commit().await.unwrap_err();
    assert!(matches!(&error, RetrievalError::Rejected { reason } if reason.contains("a.md-0")), "{error}");
}

#[tokio::test]
async fn items_that_were_too_busy_are_sent_again_and_others_reported() {
    let item = |key: &str, code: u16| json!({"key": key, "status": code < 300, "errorMessage": "PRIVATE", "statusCode": code});
    let items = |items: &[Value]| Some(Reply::json(207, json!({"value": items})));
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    server.forget();
    server.script([None, items(&[item("a.md-1", 503), item("a.md-2", 201), item("a.md-3", 409)])]);
    writer.replace(source("a.md", 4, "d")).await.unwrap();
    writer.commit().await.unwrap();
    let again: Vec<_> = server.inside.lock().unwrap().seen[2].body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| action["id"].clone())
        .collect();
    assert_eq!(again, ["a.md-1", "a.md-3"]);

    server.script([items(&[item("b.md-0", 400)])]);
    writer.replace(source("b.md", 1, "d")).await.unwrap();
    let error = writer.commit().await.unwrap_err().to_string();
    assert!(error.contains("b.md-0 (400)") && !error.contains("PRIVATE"), "{error}");
}

#[tokio::test]
async fn throttling_is_waited_out_beyond_the_retries() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    server.script(vec![Some(Reply::new(503, "").header("retry-after-ms", "10")); 4]);
    writer.replace(source("a.md", 1, "d")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(passages(&server).len(), 1);
}

#[tokio::test]
async fn memory_is_bounded_by_writing_before_the_commit() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    for n in 0..6 {
        writer.replace(source(&format!("{n}.md"), 300, "d")).await.unwrap();
    }
    assert_eq!(passages(&server).len(), 1_200);
    drop(writer);
    assert_eq!(server.writer().await.unwrap().known_sources().len(), 4);
}

#[tokio::test]
async fn a_writer_needs_an_index_that_fits_and_a_key_that_writes() {
    let server = Azure::start().await;
    let mut config = server.config();
    config.auth = AzureAuth::Key { admin: None, query: Some("q".to_owned().into()) };
    let error = AzureWriter::open(&config, &fingerprint(), metrics()).await.err().unwrap();
    assert!(error.to_string().contains("AZURE_SEARCH_API_KEY"), "{error}");

    // Defined by somebody else: taken while it is empty, refused when it is not.
    server.inside.lock().unwrap().indexes.insert("ragdocs".into(), (json!({}), Default::default()));
    server.writer().await.unwrap();
    assert!(server.documents("ragdocs").contains_key(MARKER));
    let foreign = [("x".to_owned(), json!({"id": "x"}))].into();
    server.inside.lock().unwrap().indexes.insert("ragdocs".into(), (json!({}), foreign));
    assert!(matches!(server.writer().await, Err(RetrievalError::Incompatible(_))));

    server.inside.lock().unwrap().indexes.clear();
    server.writer().await.unwrap();
    let mut other = fingerprint();
    other.chunker = "other".into();
    let refused = AzureWriter::open(&server.config(), &other, metrics()).await;
    assert!(matches!(refused, Err(RetrievalError::Incompatible(_))));
}

#[tokio::test]
async fn every_document_is_cleared_but_the_marker() {
    let server = Azure::start().await;
    let mut writer = server.writer().await.unwrap();
    writer.replace(source("a.md", 2_500, "d")).await.unwrap();
    writer.commit().await.unwrap();
    writer.clear().await.unwrap();
    assert!(writer.known_sources().is_empty());
    assert_eq!(server.documents("ragdocs").keys().collect::<Vec<_>>(), [MARKER]);
    writer.replace(source("a.md", 2, "d")).await.unwrap();
    writer.finish().await.unwrap();
    admin(&server).clear().await.unwrap();
    assert_eq!(server.documents("ragdocs").keys().collect::<Vec<_>>(), [MARKER]);
}

#[tokio::test]
async fn an_index_is_made_described_and_removed() {
    let server = Azure::start().await;
    let admin = admin(&server);
    let status = admin.status().await.unwrap();
    assert!(!status.exists && matches!(status.problem, Some(RetrievalError::Missing)));
    assert!(admin.create().await.unwrap() && !admin.create().await.unwrap());
    let mut writer = server.writer().await.unwrap();
    writer.replace(source("a.md", 2, "d")).await.unwrap();
    writer.finish().await.unwrap();
    let status = admin.status().await.unwrap();
    assert_eq!((status.exists, status.documents, status.chunks), (true, 3, 2));
    assert_eq!((status.storage_bytes, status.vector_bytes), (10, 5));
    assert_eq!((status.fingerprint, status.problem.is_none()), (Some(fingerprint()), true));
    assert!(admin.delete().await.unwrap() && !admin.delete().await.unwrap());
}

#[tokio::test]
async fn an_index_that_lacks_a_field_gets_it_under_its_etag() {
    let server = Azure::start().await;
    let admin = admin(&server);
    admin.create().await.unwrap();
    {
        let mut inside = server.inside.lock().unwrap();
        let (definition, _) = inside.indexes.get_mut("ragdocs").unwrap();
        definition["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "tags");
        definition["@odata.etag"] = "\"0x1\"".into();
    }
    server.forget();
    assert!(!admin.create().await.unwrap());
    let inside = server.inside.lock().unwrap();
    let put = inside.seen.iter().find(|seen| seen.method == "PUT").unwrap();
    assert_eq!(put.headers["if-match"], "\"0x1\"");
    assert!(put.body["fields"].as_array().unwrap().iter().any(|field| field["name"] == "tags"));
}

#[tokio::test]
async fn a_rebuild_goes_behind_an_alias() {
    let server = Azure::start().await;
    let admin = admin(&server);
    assert!(admin.create_named("ragdocs-1").await.unwrap());
    admin.switch_alias("ragdocs", "ragdocs-1").await.unwrap();
    assert_eq!(admin.alias("ragdocs").await.unwrap().as_deref(), Some("ragdocs-1"));
    let mut writer =
        AzureWriter::open_index(&server.config(), "ragdocs-2", &fingerprint(), metrics()).await.unwrap();
    writer.replace(source("a.md", 1, "d")).await.unwrap();
    writer.finish().await.unwrap();
    admin.switch_alias("ragdocs", "ragdocs-2").await.unwrap();
    assert!(admin.delete_named("ragdocs-1").await.unwrap());
    let status = admin.status().await.unwrap();
    assert_eq!((status.alias_of.as_deref(), status.chunks), (Some("ragdocs-2"), 1));
    assert_eq!(server.writer().await.unwrap().known_sources().len(), 1, "the alias leads to it");
    assert!(admin.delete().await.unwrap());
    let inside = server.inside.lock().unwrap();
    assert!(inside.aliases.is_empty() && inside.indexes.is_empty());
}
