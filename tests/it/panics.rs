//! What a panic leaves behind, seen from outside of the process.

use std::process::{Command, Stdio};

use rag_api::{
    config::{LogFormat, ServiceInfo, TelemetryConfig, TraceExport},
    telemetry::{LogTarget, TraceId, spans},
};
use serde_json::Value;

/// Set in the process that is to panic.
const CHILD: &str = "PANICS_CHILD";
const SECRET: &str = "xylophone-canary";

#[test]
fn a_panic_is_one_line_of_the_log_in_its_trace_and_quotes_nothing() {
    if std::env::var_os(CHILD).is_some() {
        return panic_in_a_request();
    }
    let test = "panics::a_panic_is_one_line_of_the_log_in_its_trace_and_quotes_nothing";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{err}");
    let lines: Vec<Value> = out
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [trace, panic] = &lines[..] else { panic!("not two lines: {out}") };
    assert_eq!((&panic["message"], &panic["status"]), (&"panicked".into(), &"error".into()), "{panic}");
    assert_eq!(panic["reason"], "no answer to");
    assert_eq!(panic["thread"], "worker-of-test");
    assert!(panic["location"].as_str().unwrap().contains("panics.rs:"), "{panic}");
    assert_eq!(panic["dd"]["service"], "rag-test");
    assert_eq!(panic["dd"]["trace_id"], trace["id"], "{panic}");
    // The harness around it says a few lines of its own, but nothing of the panic.
    assert!(!out.contains(SECRET) && !err.contains(SECRET) && !err.contains("panicked"), "{out}{err}");
}

fn panic_in_a_request() {
    let config = TelemetryConfig {
        log_format: Some(LogFormat::Json),
        log_filter: None,
        traces: TraceExport::Off,
        metrics: None,
    };
    let service = ServiceInfo {
        name: "rag-test".into(),
        version: "1".into(),
        build_sha: "unknown".into(),
        image_tag: "unknown".into(),
        env: "test".into(),
    };
    let telemetry = rag_api::telemetry::start(&config, &service, LogTarget::Stdout, false).unwrap();
    let worker = std::thread::Builder::new().name("worker-of-test".into()).spawn(|| {
        let span = spans::request("POST", "/query", false);
        let id = TraceId::of_root(&span);
        let _entered = span.entered();
        tracing::info!(id = %id, "started");
        panic!("no answer to {SECRET:?}");
    });
    assert!(worker.unwrap().join().is_err());
    telemetry.shutdown();
}
