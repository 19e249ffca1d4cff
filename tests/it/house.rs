//! Lists that must agree, and habits of the house that a reader would have to check by hand.

mod source;

use std::{collections::BTreeSet, fs, path::Path};

use rag_api::config::{Config, EnvReader};
use source::Source;

/// What each room may import of ours, besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("telemetry", &["config"]),
    ("embedding", &["domain", "config", "telemetry"]),
    ("upstream", &["domain", "config", "telemetry"]),
    ("retrieval", &["domain", "config", "telemetry", "upstream"]),
    ("generation", &["domain", "config", "telemetry", "upstream"]),
    ("emulator", &["domain", "config", "telemetry", "retrieval"]),
    ("ingest", &["domain", "config", "telemetry", "embedding", "retrieval", "generation"]),
    ("rag", &["domain", "config", "telemetry", "embedding", "retrieval", "generation"]),
    ("evaluation", &["domain", "config", "telemetry", "embedding", "retrieval", "generation", "ingest"]),
    ("http", &["domain", "config", "telemetry", "rag", "ingest"]),
    ("app", EVERYTHING),
    ("cli", EVERYTHING),
    ("lib", &[]),
    ("main", &[]),
];

const EVERYTHING: &[&str] = &[
    "domain",
    "config",
    "telemetry",
    "upstream",
    "embedding",
    "retrieval",
    "generation",
    "ingest",
    "rag",
    "evaluation",
    "emulator",
    "http",
    "app",
    "cli",
];

/// Where crates of others may be named; a trailing `*` stands for any ending. Crates that are not
/// listed may be named anywhere.
const VENDORS: &[(&str, &[&str])] = &[
    ("candle_*", &["embedding"]),
    ("tokenizers", &["embedding"]),
    ("hf_hub", &["embedding/fetch"]),
    ("zip", &["embedding/fetch"]),
    ("axum", &["http", "emulator", "app"]),
    ("tower", &["http", "emulator", "app"]),
    ("tower_http", &["http", "emulator", "app"]),
    ("clap", &["cli"]),
    ("tantivy", &["retrieval/local"]),
    ("pdf_oxide", &["ingest/extract"]),
    ("pdf_extract", &["ingest/extract"]),
    ("opentelemetry*", &["telemetry"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("datadog_opentelemetry", &["telemetry"]),
    ("azure_*", &["upstream"]),
    (
        "reqwest",
        &[
            "upstream",
            "retrieval/azure",
            "generation",
            "embedding/fetch",
            "cli/healthcheck",
            "telemetry/push",
        ],
    ),
    ("anyhow", &["main", "cli", "app"]),
];

/// Memory maps and SIMD kernels: nothing else has a reason.
const UNSAFE: &[&str] = &["embedding/kernels", "embedding/weights", "retrieval/local/vectors"];

const MAX_LINES: usize = 450;

#[test]
fn rooms_import_only_what_the_table_allows() {
    let sources = Source::all(&["src"]);
    assert!(sources.len() > 10, "the sources were not found");
    assert_none(sources.iter().flat_map(forbidden_imports));
}

#[test]
fn a_forbidden_import_would_be_seen() {
    for (path, text) in [
        ("src/domain/x.rs", "use crate::config::Config;"),
        ("src/domain/x.rs", "use crate::{\n    domain::{Hit, Answer},\n    http::router,\n};"),
        ("src/embedding/a/b.rs", "use super::super::super::retrieval::Index;"),
        ("src/embedding/mod.rs", "use super::{domain::Hit, generation};"),
        ("src/rag.rs", "fn f() { crate::http::serve() }"),
        ("src/generation/x.rs", "mod tests { use super::super::super::embedding::E; }"),
        ("src/ingest/chunk.rs", "use tokenizers::Tokenizer;"),
        ("src/ingest/chunk.rs", "use candle_core as c;"),
        ("src/ingest/mod.rs", "fn f() -> pdf_oxide::Error {}"),
        ("src/retrieval/fusion.rs", "use std::io;\nuse tantivy::{Index, Term};"),
        ("src/rag.rs", "use {anyhow::Context, std::io};"),
        ("src/newroom.rs", "use crate::domain::Hit;"),
    ] {
        let source = Source::new(path, text);
        assert_eq!(forbidden_imports(&source).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        (
            "src/domain/x.rs",
            "// use crate::http;\nconst A: &str = \"crate::http\"; /* tantivy::x /* */ axum::y */",
        ),
        (
            "src/domain/x.rs",
            "const A: &str = r#\"use \"crate::http::x\"#; const C: char = '\"'; use super::Hit;",
        ),
        (
            "src/embedding/worker.rs",
            "use super::{Embedder, kernels}; fn f<'a>(x: &'a str) { x.tantivy::<u8>() }",
        ),
        (
            "src/http/query.rs",
            "use crate::{domain::Hit, rag::Rag}; use axum::Json; mod tests { use reqwest::Client; }",
        ),
        ("src/retrieval/local/mod.rs", "use tantivy::Index; use crate::retrieval::RetrievalError;"),
        ("src/cli/mod.rs", "use clap::Parser; use crate::http;"),
    ] {
        let source = Source::new(path, text);
        assert_eq!(forbidden_imports(&source), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    assert_none(Source::all(&["src", "tests", "benches"]).iter().flat_map(|source| {
        let lines = source.text.lines().count();
        let long =
            (lines > MAX_LINES).then(|| format!("{} has {lines} lines, at most {MAX_LINES}", source.path));
        let mute = (!source.text.starts_with("//! "))
            .then(|| format!("{} does not open with a //! sentence", source.path));
        long.into_iter().chain(mute)
    }));
}

#[test]
fn only_commands_print() {
    assert_none(Source::all(&["src"]).iter().filter(|source| !source.is_in(&["cli"])).flat_map(|source| {
        ["print!", "println!", "eprint!", "eprintln!"]
            .into_iter()
            .flat_map(|call| places(source, source.lines_with(call), call))
            .collect::<Vec<_>>()
    }));
    let printing =
        Source::new("src/rag.rs", "fn f() {\n    println!(\"x\");\n}\nmod tests { fn g() { println!(); } }");
    assert_eq!(printing.lines_with("println!"), [2]);
}

#[test]
fn unsafe_code_is_where_the_table_says() {
    assert_none(
        Source::all(&["src"])
            .iter()
            .filter(|source| !source.is_in(UNSAFE))
            .flat_map(|source| places(source, source.lines_with("unsafe"), "unsafe")),
    );
    let lint = Source::new("src/x.rs", "#![deny(unsafe_code)]\n// unsafe\nfn f() { unsafe { g() } }");
    assert_eq!(lint.lines_with("unsafe"), [3]);
}

#[test]
fn exceptions_from_lints_carry_their_reason() {
    assert_none(
        Source::all(&["src", "tests", "benches"])
            .iter()
            .flat_map(|source| places(source, source.unexplained_exceptions(), "allow without a reason")),
    );
    let bare = Source::new("src/x.rs", "#[allow(dead_code)]\nfn f() {}\n#![allow(a, reason = \"b\")]");
    assert_eq!(bare.unexplained_exceptions(), [1]);
}

#[test]
fn the_env_example_names_every_variable_once_with_a_comment() {
    let text = read(".env.example");
    let lines: Vec<_> = text.lines().collect();
    let mut names = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some((name, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let explained = at > 0 && lines[at - 1].strip_prefix("# ").is_some_and(|text| text.len() > 10);
            assert!(explained, "{name} has no comment of one line above it");
            names.push(name);
        }
    }
    let once: BTreeSet<_> = names.iter().copied().collect();
    assert_eq!(once.len(), names.len(), "a variable stands twice");
    assert_eq!(once, Config::variable_names().into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn the_env_example_shows_the_real_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    let pairs: Vec<_> = dotenvy::from_path_iter(path).unwrap().map(Result::unwrap).collect();
    let copied = EnvReader::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let (copied, empty) = (Config::read(copied).unwrap(), Config::read(EnvReader::from_pairs([])).unwrap());
    assert_eq!(
        format!("{copied:#?}"),
        format!("{empty:#?}"),
        "copying .env.example to .env changes something"
    );
    for (name, _) in pairs.iter().filter(|(_, value)| value.is_empty()) {
        assert!(!MUST_SHOW.contains(&name.as_str()), "{name} has a default: show it");
    }
}

/// Variables whose default is a plain value, so that a blank in `.env.example` would hide it.
const MUST_SHOW: &[&str] = &[
    "PORT",
    "HOST",
    "MODEL_DIR",
    "INDEX_DIR",
    "SEARCH_BACKEND",
    "CHUNK_TOKENS",
    "MIN_EVIDENCE_COSINE",
    "REQUEST_TIMEOUT_SECONDS",
    "MAX_CONCURRENT_REQUESTS",
    "EMBEDDING_QUEUE_CAPACITY",
    "OPENAI_TIMEOUT_SECONDS",
];

#[test]
fn the_readme_names_every_variable() {
    let readme = read("README.md");
    let words: BTreeSet<_> = readme.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    assert_none(
        Config::variable_names()
            .into_iter()
            .filter(|name| !words.contains(name))
            .map(|name| format!("README.md does not name {name}")),
    );
}

fn forbidden_imports(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: the room {room} is not in the table", source.path)];
    };
    let mut found = Vec::new();
    for import in source.imports() {
        let name = import.name.as_str();
        let fine = if import.ours {
            name == room || allowed.contains(&name)
        } else {
            import.in_tests || VENDORS.iter().all(|(vendor, at)| !matches(vendor, name) || source.is_in(at))
        };
        if !fine {
            found.push(format!("{}:{}: {room} may not import {name}", source.path, import.line));
        }
    }
    found
}

fn matches(vendor: &str, name: &str) -> bool {
    vendor.strip_suffix('*').map_or(vendor == name, |start| name.starts_with(start))
}

fn places(source: &Source, lines: Vec<usize>, what: &str) -> Vec<String> {
    lines.into_iter().map(|line| format!("{}:{line}: {what}", source.path)).collect()
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assert_none(found: impl IntoIterator<Item = String>) {
    let found: Vec<_> = found.into_iter().collect();
    assert!(found.is_empty(), "\n  {}", found.join("\n  "));
}
