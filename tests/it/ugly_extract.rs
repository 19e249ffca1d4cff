//! Files that are hard to read, through the real reader process.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rag_api::ingest::extract::{ExtractError, Extracted, Limits, WorkerCommand, extract};
use unicode_normalization::UnicodeNormalization;

fn worker() -> WorkerCommand {
    WorkerCommand::new(env!("CARGO_BIN_EXE_rag-api"))
}

fn limits() -> Limits {
    Limits {
        file_bytes: 128 << 20,
        pages: 5_000,
        characters: 20_000_000,
        time: Duration::from_secs(25),
        memory_bytes: 1 << 30,
    }
}

async fn read(name: &str, bytes: &[u8]) -> Result<Extracted, ExtractError> {
    extract(Path::new(name), bytes, &limits(), &worker()).await
}

#[tokio::test]
async fn every_ugly_file_comes_out_as_its_manifest_says() {
    let Some(folder) = shared("eval/ugly") else { return };
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let (mut files, mut failed, mut slowest) = (0, Vec::new(), Duration::ZERO);
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (name, expected, phrases) = (columns[0], columns[4], columns[5]);
        let bytes = fs::read(folder.join("files").join(name)).unwrap();
        let start = Instant::now();
        let result = read(name, &bytes).await;
        let took = start.elapsed();
        slowest = slowest.max(took);
        files += 1;
        eprintln!("{name} [{expected}] {:.2} s: {}", took.as_secs_f64(), summary(&result));
        if let Err(reason) = judge(&result, expected, phrases) {
            failed.push(format!("{name} [{expected}]: {reason}"));
        } else if took > Duration::from_secs(30) {
            failed.push(format!("{name}: took {took:?}"));
        }
    }
    eprintln!("{} of {files} as expected, slowest {slowest:?}", files - failed.len());
    assert!(failed.is_empty(), "{} of {files} files failed:\n{}", failed.len(), failed.join("\n"));
}

fn judge(result: &Result<Extracted, ExtractError>, expected: &str, phrases: &str) -> Result<(), String> {
    match (result, expected) {
        (Err(error @ ExtractError::Worker { .. }), _) => Err(error.to_string()),
        (Ok(text), "text" | "text-or-error" | "text-or-skip") => {
            if text.pages.iter().any(|page| page.text.trim().is_empty()) {
                return Err("has a blank page".into());
            }
            let all = text.pages.iter().map(|page| page.text.as_str()).collect::<Vec<_>>().join("\n");
            let all = comparable(&all);
            match phrases.split(" | ").find(|phrase| !all.contains(&comparable(phrase))) {
                Some(missing) => Err(format!("misses {missing:?}")),
                None => Ok(()),
            }
        }
        (Err(error), "text") => Err(error.to_string()),
        (Ok(_), _) => Err("gives text".into()),
        (Err(error), "empty") if !matches!(error, ExtractError::Empty { .. }) => Err(error.to_string()),
        (Err(_), _) => Ok(()),
    }
}

fn comparable(text: &str) -> String {
    let bidi = |c: &char| !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.nfkc().filter(bidi).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn summary(result: &Result<Extracted, ExtractError>) -> String {
    match result {
        Ok(text) => format!(
            "{} of {} page(s), {} characters, title {:?}, {:?}",
            text.pages.len(),
            text.page_count,
            text.characters,
            text.title,
            text.warnings
        ),
        Err(error) => format!("{error}"),
    }
}

#[tokio::test]
async fn content_that_does_not_fit_the_name_is_refused_by_its_kind() {
    for (name, bytes, says) in [
        ("a.pdf", b"<!doctype html><title>404</title>".as_slice(), "an HTML page"),
        ("a.pdf", b"\x89PNG\r\n\x1a\n", "a PNG image"),
        ("a.pdf", b"just words", "no PDF header"),
        ("a.txt", b"%PDF-1.7\n", "a PDF file"),
        ("a.md", b"PK\x03\x04", "a ZIP archive"),
        ("a.docx", b"PK\x03\x04", "\"docx\""),
        ("a", b"words", "bring PDF"),
        ("a.txt", b"", "0 bytes"),
        ("a.pdf", b"%PDF-1.7\nand nothing of one", "damaged"),
        ("a.md", b"---\ntitle: x\n---\n<!-- c -->\n", "blanks only"),
    ] {
        let error = read(name, bytes).await.unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
    let binary: Vec<u8> = (0..=255).cycle().take(9_999).collect();
    assert!(read("a.log", &binary).await.unwrap_err().to_string().contains("binary"));
}

#[tokio::test]
async fn pages_keep_their_numbers_and_blank_ones_are_named_in_one_line() {
    let mut pages = vec![""; 40];
    pages[0] = "The first page.";
    pages[39] = "The last page.";
    let extracted = read("a.PDF", &pdf(&pages)).await.unwrap();
    assert_eq!(extracted.pages.iter().map(|page| page.number).collect::<Vec<_>>(), [Some(1), Some(40)]);
    assert_eq!(extracted.pages[1].text, "The last page.");
    assert_eq!((extracted.page_count, extracted.characters), (40, 29));
    assert_eq!(extracted.title.as_deref(), Some("A title"));
    assert_eq!(extracted.warnings, ["pages 2-39: empty"]);
}

#[tokio::test]
async fn markdown_and_text_have_one_page_without_a_number() {
    let extracted = read("a.md", b"---\ntags: [x]\n---\n# Head\r\n\r\nbody <!-- no -->\r\n").await.unwrap();
    assert_eq!(
        (extracted.title.as_deref(), extracted.tags.as_slice()),
        (Some("Head"), ["x".to_owned()].as_slice())
    );
    assert_eq!((extracted.pages[0].number, extracted.page_count), (None, 0));
    assert_eq!(extracted.pages[0].text, "# Head\n\nbody \n");
    let extracted = read("a.txt", b"se\xf1or \xd3scar cant\xf3 en Espa\xf1a").await.unwrap();
    assert_eq!(extracted.pages[0].text, "señor Óscar cantó en España");
    assert_eq!(extracted.warnings, ["decoded as windows-1252"]);
}

#[tokio::test]
async fn limits_of_size_pages_and_text_hold() {
    let small = Limits { file_bytes: 10, ..limits() };
    let error = extract(Path::new("a.txt"), b"eleven byte", &small, &worker()).await.unwrap_err();
    assert!(matches!(error, ExtractError::TooLarge { bytes: 11, limit: 10 }), "{error}");
    let two = Limits { pages: 2, ..limits() };
    let error = extract(Path::new("a.pdf"), &pdf(&["a", "b", "c"]), &two, &worker()).await.unwrap_err();
    assert!(matches!(error, ExtractError::TooManyPages { pages: 3, limit: 2 }), "{error}");
    let short = Limits { characters: 1_000, ..limits() };
    let error = extract(Path::new("a.txt"), &[b'x'; 1_001], &short, &worker()).await.unwrap_err();
    assert!(matches!(error, ExtractError::TooMuchText { limit: 1_000 }), "{error}");
    let memory = Limits { memory_bytes: 256 << 20, characters: u64::MAX, ..limits() };
    let error = extract(Path::new("a.txt"), &vec![b'x'; 120 << 20], &memory, &worker()).await.unwrap_err();
    assert!(matches!(error, ExtractError::OutOfMemory { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_that_hangs_is_killed_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pids");
    let hang = shell(&format!("echo $$ >> {}; exec sleep 600", pid_file.display()));
    let limits = Limits { time: Duration::from_millis(600), ..limits() };
    for (name, bytes) in [("a.pdf", pdf(&["text"])), ("a.txt", b"words".to_vec())] {
        let start = Instant::now();
        let error = extract(Path::new(name), &bytes, &limits, &hang).await.unwrap_err();
        assert!(matches!(error, ExtractError::Timeout { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(3));
    }
    let pids = fs::read_to_string(&pid_file).unwrap();
    assert!(pids.lines().count() >= 3);
    for pid in pids.lines() {
        assert!(!Path::new("/proc").join(pid).exists(), "reader {pid} is still there");
    }
    // The real reader as well.
    let none = Limits { time: Duration::from_micros(200), ..limits };
    let error = extract(Path::new("a.pdf"), &pdf(&["text"; 50]), &none, &worker()).await.unwrap_err();
    assert!(matches!(error, ExtractError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_whose_caller_gives_up_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let hang = shell(&format!("echo $$ > {}; exec sleep 600", pid_file.display()));
    let limits = limits();
    let gave_up = extract(Path::new("a.txt"), b"words", &limits, &hang);
    assert!(tokio::time::timeout(Duration::from_millis(500), gave_up).await.is_err());
    let pid = fs::read_to_string(&pid_file).unwrap();
    let gone = || !Path::new("/proc").join(pid.trim()).join("exe").exists();
    for _ in 0..50 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("reader {pid} is still there");
}

#[tokio::test]
async fn a_reader_that_dies_is_reported_with_both_reasons() {
    let file = pdf(&["text"]);
    for (script, says) in [
        ("cat > /dev/null; echo 'thread panicked at x' >&2; exit 101", "exit code 101: thread panicked at x"),
        ("kill -SEGV $$", "signal 11"),
        ("cat > /dev/null; echo noise; echo more", "stopped before the end"),
        ("cat > /dev/null; echo 'thread t has overflowed its stack' >&2; kill -ABRT $$", "nest too deep"),
    ] {
        let error = extract(Path::new("a.pdf"), &file, &limits(), &shell(script)).await.unwrap_err();
        assert!(matches!(error, ExtractError::Crashed { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("first reader") && text.contains("second reader") && text.contains(says),
            "{text}"
        );
    }
    let alloc = shell("cat > /dev/null; echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$");
    let error = extract(Path::new("a.pdf"), &file, &limits(), &alloc).await.unwrap_err();
    assert!(matches!(error, ExtractError::OutOfMemory { .. }), "{error}");
    let missing = WorkerCommand::new("/nonexistent/rag-api");
    let error = extract(Path::new("a.txt"), b"words", &limits(), &missing).await.unwrap_err();
    assert!(matches!(error, ExtractError::Worker { .. }), "{error}");
}

#[tokio::test]
async fn a_page_that_kills_the_reader_costs_that_page_alone() {
    // Dies after the first page, in every run: as a page does that breaks the reader.
    let frames = |pages: u32| {
        format!("\u{1e}{{\"Opened\":{{\"pages\":{pages},\"title\":null,\"tags\":[],\"language\":null}}}}")
    };
    let script = format!(
        "read job; cat > /dev/null; echo '{}'; case \"$job\" in \
         *'\"from_page\":1}}'*) echo '\u{1e}{{\"Page\":{{\"number\":1,\"text\":\"one\"}}}}'; kill -SEGV $$;; \
         *'\"from_page\":3}}'*) echo '\u{1e}{{\"Page\":{{\"number\":3,\"text\":\"three\"}}}}'; echo '\u{1e}\"Done\"';; \
         *) kill -SEGV $$;; esac",
        frames(3)
    );
    let extracted = extract(Path::new("a.pdf"), &pdf(&["x"]), &limits(), &shell(&script)).await.unwrap();
    assert_eq!(extracted.pages.iter().map(|page| page.text.as_str()).collect::<Vec<_>>(), ["one", "three"]);
    assert_eq!(extracted.warnings, ["page 2: not indexed: fails: signal 11"]);
}

#[tokio::test]
async fn endless_output_ends_at_the_limit() {
    let limits = Limits { characters: 100_000, ..limits() };
    let start = Instant::now();
    let error = extract(Path::new("a.txt"), b"words", &limits, &shell("exec yes")).await.unwrap_err();
    assert!(matches!(error, ExtractError::TooMuchText { .. }), "{error}");
    let chatter = shell("yes >&2 & sleep 1; kill $!; exit 4");
    let error = extract(Path::new("a.txt"), b"words", &limits, &chatter).await.unwrap_err();
    assert!(matches!(error, ExtractError::Crashed { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_reader_gets_nothing_of_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("env");
    let print = shell(&format!("env > {}", file.display()));
    let _ = extract(Path::new("a.txt"), b"words", &limits(), &print).await;
    let names: Vec<String> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
        .collect();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "the test itself has an environment");
    assert!(
        names.iter().all(|name| ["RUST_BACKTRACE", "PWD", "SHLVL", "OLDPWD", "_"].contains(&name.as_str())),
        "{names:?}"
    );
}

#[test]
fn the_reader_limits_itself_before_it_reads() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rag-api"))
        .arg("extract-worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let job = "{\"format\":\"Text\",\"work\":{\"First\":{\"from_page\":1}},\"max_pages\":1,\
               \"max_characters\":100,\"memory_bytes\":1073741824,\"cpu_seconds\":7}\nsome words";
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(job.as_bytes()).unwrap();
    let limits = || fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let holds = |limits: &str| {
        [
            ("Max address space", "1073741824"),
            ("Max cpu time", "7"),
            ("Max file size", "0"),
            ("Max open files", "3"),
        ]
        .iter()
        .all(|(name, value)| {
            limits.lines().any(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.split_whitespace().next() == Some(value))
            })
        })
    };
    let start = Instant::now();
    while !holds(&limits()) {
        assert!(start.elapsed() < Duration::from_secs(5), "{}", limits());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stdin);
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(output.contains("some words") && output.trim_end().ends_with("\"Done\""), "{output}");
}

fn shell(script: &str) -> WorkerCommand {
    WorkerCommand {
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".into(), format!("PATH=/usr/bin:/bin; {script}").into()],
    }
}

/// A PDF file with a line of text on each page; an empty line leaves the page empty.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Count {} /Kids [{}] >>",
            pages.len(),
            (0..pages.len()).map(|i| format!("{} 0 R", 5 + 2 * i)).collect::<Vec<_>>().join(" ")
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        "<< /Title (A title) >>".to_owned(),
    ];
    for (i, text) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
            6 + 2 * i
        ));
        let show =
            if text.is_empty() { String::new() } else { format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET") };
        objects.push(format!("<< /Length {} >>\nstream\n{show}\nendstream", show.len()));
    }
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        write!(file, "{} 0 obj\n{object}\nendobj\n", i + 1).unwrap();
    }
    let xref = file.len();
    write!(file, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).unwrap();
    for offset in offsets {
        writeln!(file, "{offset:010} 00000 n ").unwrap();
    }
    write!(
        file,
        "trailer\n<< /Size {} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{xref}\n%%EOF\n",
        objects.len() + 1
    )
    .unwrap();
    file
}

/// A folder of the shared test material.
fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("RAG_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(folder);
    if !path.exists() {
        eprintln!("SKIPPED: {folder} of the shared test material is absent");
        return None;
    }
    Some(path)
}

/// The same through the whole of `rag-api ingest`: refused files leave nothing, the others chunks.
#[test]
fn ingesting_the_ugly_files_ends_as_the_manifest_says() {
    let Some(folder) = shared("eval/ugly") else { return };
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.json");
    let status = Command::new(env!("CARGO_BIN_EXE_rag-api"))
        .args(["ingest".as_ref(), folder.join("files").as_os_str(), "--report".as_ref(), report.as_os_str()])
        .env("INDEX_DIR", dir.path().join("index"))
        .env("MODEL_DIR", crate::support::model_dir())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1), "files were refused, so the exit code is 1");
    let report: rag_api::ingest::Report = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let mut wrong = Vec::new();
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let Some(file) = report.files.iter().find(|file| file.source == columns[0]) else {
            wrong.push(format!("{} is not in the report", columns[0]));
            continue;
        };
        let indexed = file.chunks > 0 && file.error.is_none();
        let refused = file.chunks == 0 && file.error.is_some();
        let right = match columns[4] {
            "text" => indexed,
            "error" | "empty" => refused,
            _ => indexed || refused,
        };
        if !right {
            wrong.push(format!("{file:?}"));
        }
    }
    println!("{} of {} files as in the manifest", report.files.len() - wrong.len(), report.files.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
