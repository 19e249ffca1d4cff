//! The program under test as a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::load::{Outcome, model_dir, project};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rag-api");

/// Fills the index with the sample documents.
pub fn index_samples(index: &Path) -> Outcome<()> {
    let ingested = program(index).arg("ingest").arg(project().join("data")).status()?.success();
    if ingested { Ok(()) } else { Err("data/ was not indexed".into()) }
}

/// Ends with its owner.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn program(index: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env("INDEX_DIR", index).env("MODEL_DIR", model_dir()).env("LOG_FORMAT", "json");
    command.env("HOST", "127.0.0.1").env("PORT", "0").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The server and its address, which it logs; its further lines are read and thrown away.
pub fn serve(index: &Path, variables: &[(&str, &str)]) -> Outcome<(Running, String)> {
    let mut command = program(index);
    let mut process = command.arg("serve").envs(variables.iter().copied()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("no stdout")?).lines();
    let running = Running(process);
    for line in lines.by_ref() {
        let line: serde_json::Value = serde_json::from_str(&line?)?;
        if let Some(address) = line["address"].as_str() {
            let address = address.to_owned();
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((running, address));
        }
    }
    Err("the server did not start".into())
}
