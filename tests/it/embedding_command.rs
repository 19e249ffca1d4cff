//! `rag-api embed` as others call it: vectors of lines in order, and the JSON of `--stats`.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::support::model_dir;

fn embed(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rag-api"))
        .arg("embed")
        .args(arguments)
        .env("MODEL_DIR", model_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn every_line_gives_its_vector_in_order() {
    let lines: Vec<String> = (0..150).map(|n| format!("line {n} {}", "word ".repeat(n % 7))).collect();
    let output = embed(&[], &format!("{}\n", lines.join("\n")));
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let vectors: Vec<Vec<f32>> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(vectors.len() == 150 && vectors.iter().all(|vector| vector.len() == 384));
    let alone: Vec<f32> = serde_json::from_slice(&embed(&[], &lines[149]).stdout).unwrap();
    assert_eq!(vectors[149], alone);
    assert!(embed(&[], "").stdout.is_empty());
}

#[test]
fn stats_have_the_agreed_fields() {
    let output = embed(&["--stats", "--repeat", "2", "--threads", "1"], "short\na somewhat longer line\n");
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats["threads"], 1);
    assert!(stats["kernel"].is_string() && stats["bulk_tokens_per_second"].as_f64().unwrap() > 0.0);
    let tokens: Vec<_> =
        stats["texts"].as_array().unwrap().iter().map(|t| t["tokens"].as_u64().unwrap()).collect();
    assert_eq!(tokens, [3, 6]);
    assert!(stats["texts"][0]["median_ms"].as_f64() <= stats["texts"][0]["p90_ms"].as_f64());
}

#[test]
fn mistakes_are_named() {
    let unknown = embed(&["--kernel", "abacus"], "x");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("portable"));
    assert_eq!(embed(&["--threads", "0"], "x").status.code(), Some(2));
    assert_eq!(embed(&["--stats"], "").status.code(), Some(1));
    assert_eq!(embed(&["/no/such/file"], "").status.code(), Some(1));
}
