//! Microsoft's own client against the emulator as it is shipped.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use crate::programs::{Running, python};

struct Server {
    process: Running,
    address: String,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_rag-api"))
            .args(["emulate", "--port", "0"])
            .current_dir(dir)
            .env("INDEX_DIR", dir)
            .env("AZURE_SEARCH_API_KEY", "admin-key")
            .env("AZURE_SEARCH_QUERY_KEY", "query-key")
            .env_remove("AZURE_SEARCH_ENDPOINT")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process: Running(process), address: line.trim().to_owned() }
    }
}

#[test]
fn the_official_client_works_against_it() {
    let Some(python) = python("azure-search-client", &[&["azure-search-documents==12.0.0"]]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/azure_search_client.py");
    let output = Command::new(python).arg(script).arg(&server.address).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("calls passed") && last.ends_with(" 0 failed"), "{last}");
}

#[test]
fn wrong_flags_are_told_with_exit_code_2() {
    for flags in [["--port", "99999"], ["--host", "nowhere"], ["--fault", "status=200"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_rag-api")).arg("emulate").args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(output.stdout.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn it_stops_in_order_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    assert!(server.address.starts_with("http://127.0.0.1:"), "{}", server.address);
    let status = Command::new("kill").arg("-TERM").arg(server.process.0.id().to_string()).status().unwrap();
    assert!(status.success());
    assert_eq!(server.process.0.wait().unwrap().code(), Some(0));
}
