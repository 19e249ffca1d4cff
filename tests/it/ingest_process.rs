//! `rag-api ingest` as a process: incremental, interruptible, killable at any moment.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rag_api::{
    app,
    domain::{Filter, SearchMode},
    ingest::Report,
    retrieval::{SearchRequest, local::LocalIndex},
};

use crate::support::model_dir;

fn command(index: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rag-api"));
    command.args(arguments).env("INDEX_DIR", index).env("MODEL_DIR", model_dir());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(index: &Path, arguments: &[&str]) -> Output {
    command(index, arguments).output().unwrap()
}

fn ingest(index: &Path, folder: &Path, more: &[&str]) -> (Report, Output) {
    let report = index.with_extension("report.json");
    let mut arguments = vec!["ingest", folder.to_str().unwrap(), "--report", report.to_str().unwrap()];
    arguments.extend(more);
    let output = run(index, &arguments);
    let text = std::fs::read_to_string(&report)
        .unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stderr)));
    (serde_json::from_str(&text).unwrap(), output)
}

/// `count` files of several chunks each; their words name them.
fn corpus(folder: &Path, count: usize) {
    for file in 0..count {
        let text: String = (0..12 + file % 4 * 10)
            .map(|i| format!("Sentence {i} of document{file} says little. "))
            .collect();
        std::fs::write(folder.join(format!("{file:03}.txt")), text).unwrap();
    }
}

/// Retrievable chunks by source.
fn chunks(index: &Path) -> BTreeMap<String, u32> {
    let index = LocalIndex::open(index, app::fingerprint()).unwrap();
    if index.problem().is_some() && index.chunk_count() == 0 {
        return BTreeMap::new();
    }
    let filter = Filter::default();
    let request = SearchRequest {
        text: "sentence of document says little",
        vector: None,
        mode: SearchMode::Keyword,
        top: 100_000,
        filter: &filter,
        vector_weight: None,
    };
    let mut counts = BTreeMap::new();
    for hit in index.search(&request).unwrap().hits {
        *counts.entry(hit.chunk.source).or_default() += 1;
    }
    counts
}

#[test]
fn ingesting_again_does_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (index, folder) = (dir.path().join("index"), dir.path().join("docs"));
    std::fs::create_dir(&folder).unwrap();
    corpus(&folder, 6);
    let (first, output) = ingest(&index, &folder, &[]);
    assert!(output.status.success());
    assert_eq!((first.files.len(), first.unchanged()), (6, 0));
    let before = chunks(&index);
    assert_eq!(before.values().map(|&n| u64::from(n)).sum::<u64>(), first.chunks);

    let (second, _) = ingest(&index, &folder, &[]);
    assert_eq!((second.unchanged(), second.chunks), (6, 0));
    assert_eq!(second.files[3].chunks, first.files[3].chunks);
    assert_eq!(chunks(&index), before);

    std::fs::write(folder.join("001.txt"), "Sentence 1 of document1 says little, and is short now.").unwrap();
    std::fs::remove_file(folder.join("002.txt")).unwrap();
    let (third, _) = ingest(&index, &folder, &[]);
    assert_eq!((third.unchanged(), third.chunks), (4, 1));
    assert_eq!(chunks(&index)["001.txt"], 1);
    assert!(chunks(&index).contains_key("002.txt"), "only --prune removes");

    let (fourth, _) = ingest(&index, &folder, &["--prune"]);
    assert_eq!(fourth.removed, ["002.txt"]);
    assert!(!chunks(&index).contains_key("002.txt"));
}

#[test]
fn a_bad_file_is_reported_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (index, folder) = (dir.path().join("index"), dir.path().join("docs"));
    std::fs::create_dir(&folder).unwrap();
    corpus(&folder, 2);
    std::fs::write(folder.join("bad.pdf"), "<html>not a pdf</html>").unwrap();
    std::fs::write(folder.join("blank.txt"), " \n ").unwrap();
    let (report, output) = ingest(&index, &folder, &[]);
    assert_eq!(output.status.code(), Some(1));
    let failed: Vec<_> =
        report.files.iter().filter(|file| file.error.is_some()).map(|file| &file.source).collect();
    assert_eq!(failed, ["bad.pdf", "blank.txt"]);
    assert_eq!(chunks(&index).len(), 2);
    // What is remembered as bad is not read again; a good version takes its place.
    assert_eq!(ingest(&index, &folder, &[]).0.unchanged(), 4);
    std::fs::write(folder.join("blank.txt"), "Sentence 0 of document says little.").unwrap();
    ingest(&index, &folder, &[]);
    assert_eq!(chunks(&index)["blank.txt"], 1);
    // A version that cannot be read does not take a good one away.
    std::fs::write(folder.join("blank.txt"), "  ").unwrap();
    let (kept, _) = ingest(&index, &folder, &[]);
    let error = kept.files.iter().find(|file| file.source == "blank.txt").unwrap().error.clone().unwrap();
    assert!(error.contains("kept"), "{error}");
    assert_eq!(chunks(&index)["blank.txt"], 1);
}

#[test]
fn a_reader_of_the_progress_that_goes_away_does_not_end_the_ingestion() {
    let dir = tempfile::tempdir().unwrap();
    let (index, folder) = (dir.path().join("index"), dir.path().join("docs"));
    std::fs::create_dir(&folder).unwrap();
    corpus(&folder, 4);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = command(&index, &["ingest", folder.to_str().unwrap()]).stdout(full).status().unwrap();
    assert!(status.success());
    assert_eq!(chunks(&index).len(), 4);
}

#[test]
fn wrong_usage_and_missing_folders_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["ingest", "no/such/folder"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/folder"));
    assert_eq!(run(dir.path(), &["ingest", "--no-such-flag"]).status.code(), Some(2));
    let wrong =
        command(dir.path(), &["index", "status"]).env("PORT", "x").env("TOP_SECRET", "y").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("PORT must be"));
}

#[test]
fn an_interrupt_keeps_what_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (index, folder) = (dir.path().join("index"), dir.path().join("docs"));
    std::fs::create_dir(&folder).unwrap();
    // So many that the signal arrives long before the last one.
    let files = 900;
    corpus(&folder, files);
    let child = start_and_wait_for_work(&index, &folder);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("run again to continue"));
    let kept = chunks(&index).len();
    assert!(kept > 0 && kept < files, "{kept} files are in");
    let (rest, _) = ingest(&index, &folder, &[]);
    assert!(rest.unchanged() >= kept);
    assert_eq!(chunks(&index).len(), files);
}

/// Kills, at moments spread over the whole run, a run that puts another version of every file in place
/// and commits after each. Set `KILLS` for more of them.
#[test]
fn a_kill_at_any_moment_leaves_every_source_whole() {
    let kills: u32 = std::env::var("KILLS").map_or(6, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (index, folder) = (dir.path().join("index"), dir.path().join("docs"));
    std::fs::create_dir(&folder).unwrap();
    let versions = [0, 1].map(|version| {
        corpus(&folder, 30);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.replace("little", &format!("little in version{version}")).repeat(1 + version);
            std::fs::write(path, text).unwrap();
        }
        let start = std::time::Instant::now();
        let report = ingest(&index, &folder, &[]).0;
        assert_eq!(report.failed(), 0);
        let files: Vec<(String, Vec<u8>)> = report
            .files
            .iter()
            .map(|file| (file.source.clone(), std::fs::read(folder.join(&file.source)).unwrap()))
            .collect();
        (files, chunks(&index), start.elapsed())
    });
    let whole_run = versions[1].2;
    let (mut mixed, mut current) = (0, 1);
    for kill in 0..kills {
        current = 1 - current;
        for (source, text) in &versions[current].0 {
            std::fs::write(folder.join(source), text).unwrap();
        }
        let mut child = command(&index, &["ingest", folder.to_str().unwrap()])
            .env("INGEST_COMMIT_SECONDS", "0")
            .spawn()
            .unwrap();
        std::thread::sleep(whole_run.mul_f64(spread(kill)));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = chunks(&index);
        let mut new = 0;
        for (source, count) in &found {
            let is = |version: usize| versions[version].1.get(source) == Some(count);
            assert!(is(0) || is(1), "{source} is not whole after kill {kill}: {count} chunks");
            new += usize::from(is(current));
        }
        assert_eq!(found.len(), 30, "a source is gone after kill {kill}");
        mixed += u32::from(new > 0 && new < 30);
        let (report, _) = ingest(&index, &folder, &[]);
        assert_eq!((report.failed(), &chunks(&index)), (0, &versions[current].1), "after kill {kill}");
    }
    println!(
        "{kills} kills: {kills} indexes opened, every source whole, all completed; {mixed} held both versions"
    );
}

/// Evenly spread numbers in 0.05..1.0 (golden ratio sequence), the same in every run.
fn spread(step: u32) -> f64 {
    0.05 + 0.95 * (f64::from(step) * 0.618_033_988_749_895).fract()
}

fn start_and_wait_for_work(index: &Path, folder: &Path) -> Child {
    let mut child = command(index, &["ingest", folder.to_str().unwrap()]).spawn().unwrap();
    let vectors = index.join("vectors");
    for _ in 0..1_000 {
        let written = std::fs::read_dir(&vectors).map_or(0, |files| {
            files.filter_map(|file| file.ok()?.metadata().ok()).map(|meta| meta.len()).sum::<u64>()
        });
        if written > 0 {
            return child;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("nothing was written: {}", String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr));
}
