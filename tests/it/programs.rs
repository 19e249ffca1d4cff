//! Programs that tests bring along: Python and Node packages, installed once and kept under `target`.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command},
};

/// A process that ends with its owner.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The Python of a virtual environment that holds what these calls of `pip install` bring; `None` (said
/// loudly) where it cannot be had.
pub fn python(name: &str, installs: &[&[&str]]) -> Option<PathBuf> {
    let dir = installed(name, |dir| {
        try_to(Command::new("python3").args(["-m", "venv"]).arg(dir))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        installs
            .iter()
            .try_for_each(|packages| try_to(Command::new(dir.join("bin/python")).args(pip).args(*packages)))
    })?;
    Some(dir.join("bin/python"))
}

/// A folder whose `node_modules` holds this package.
pub fn node(name: &str, packages: &[&str]) -> Option<PathBuf> {
    installed(name, |dir| {
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        std::fs::write(dir.join("package.json"), r#"{"private":true}"#).map_err(|error| error.to_string())?;
        let npm = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
        try_to(Command::new("npm").args(npm).args(packages).current_dir(dir))
    })
}

/// The program of this name, installed from the system's packages where that is allowed.
pub fn system(program: &str, package: &str) -> Option<PathBuf> {
    let find = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .map(|dir| dir.join(program))
            .find(|file| file.is_file())
    };
    find().or_else(|| {
        let lock = File::create(target().join(format!("{package}.lock"))).ok()?;
        lock.lock().ok()?;
        let apt = ["install", "-y", "-qq", "--no-install-recommends", package];
        let _ = Command::new("apt-get").args(["update", "-qq"]).output();
        let _ = Command::new("apt-get").args(apt).env("DEBIAN_FRONTEND", "noninteractive").output();
        let found = find();
        if found.is_none() {
            eprintln!("SKIPPED: {program} is not installed and could not be");
        }
        found
    })
}

fn installed(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Option<PathBuf> {
    let dir = target().join(name);
    let ready = dir.join("ready");
    // Several tests may come here at once, from several processes.
    let lock = File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        let _ = std::fs::remove_dir_all(&dir);
        if let Err(reason) = install(&dir) {
            eprintln!("SKIPPED: {name} cannot be installed: {reason}");
            return None;
        }
        File::create(ready).unwrap();
    }
    Some(dir)
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_path_buf()
}

fn try_to(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Err(error) => Err(format!("{command:?} does not start: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
