//! Microsoft's own client against the emulator as it is shipped.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The server; ends with its owner.
struct Server {
    process: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
        Self { process, address: line.trim().to_owned() }
    }
}

#[test]
fn the_official_client_works_against_it() {
    let Some(python) = environment() else { return };
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
    let status = Command::new("kill").arg("-TERM").arg(server.process.id().to_string()).status().unwrap();
    assert!(status.success());
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

/// The Python of a virtual environment that holds the client; installed once, kept under `target`.
fn environment() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("azure-search-client");
    let python = dir.join("bin/python");
    let ready = dir.join("ready");
    // Several tests may come here at once, from several processes.
    let lock = File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&dir);
        let made = Command::new("python3").args(["-m", "venv"]).arg(&dir).output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: python3 makes no virtual environment");
            return None;
        }
        let pip = ["-m", "pip", "install", "--quiet", "azure-search-documents==12.0.0"];
        let output = Command::new(&python).args(pip).output().unwrap();
        if !output.status.success() {
            eprintln!("SKIPPED: pip cannot install the client: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        File::create(ready).unwrap();
    }
    Some(python)
}
