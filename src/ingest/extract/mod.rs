//! One file into text: every format is read in a child process with limits on time, memory, pages and output.
//!
//! Markdown and text go through the child too: starting it costs a few milliseconds, and so no argument
//! about the YAML and encoding readers is needed to know that hostile input cannot hang the service. (The
//! chunker parses the Markdown that came out once more, in the parent: its parser is linear and safe.)

mod cleanup;
mod decode;
mod format;
mod markdown;
mod notes;
mod pdf;
mod process;
mod protocol;
mod reading;
mod worker;

use std::{ffi::OsString, io, path::Path, path::PathBuf, time::Duration};

pub use format::Format;
pub use worker::run as run_worker;

use crate::config::IngestConfig;

/// The word on the command line that makes the binary a reader process; see [`run_worker`].
pub const WORKER_ARGUMENT: &str = "extract-worker";

/// Reads `bytes`, the content of a file called `path`; nothing is opened, so the text belongs to the very
/// bytes that the caller hashed.
///
/// # Errors
///
/// [`ExtractError`], whose text is for the person who brought the file.
pub async fn extract(
    path: &Path,
    bytes: &[u8],
    limits: &Limits,
    worker: &WorkerCommand,
) -> Result<Extracted, ExtractError> {
    let format = Format::of(path).ok_or_else(|| ExtractError::UnsupportedType {
        extension: path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default(),
    })?;
    limits.check_size(bytes.len() as u64)?;
    format.verify(bytes)?;
    match format {
        Format::Pdf => pdf::read(bytes, limits, worker).await,
        Format::Markdown | Format::Text => reading::read_unpaged(format, bytes, limits, worker).await,
    }
}

/// The text of one page; a format without pages is one page without a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: Option<u32>,
    /// Never blank.
    pub text: String,
}

/// What a file holds. Pages without usable text are absent and named in `warnings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    pub format: Format,
    pub title: Option<String>,
    pub tags: Vec<String>,
    /// ISO 639 code, where the file names its language.
    pub language: Option<String>,
    /// In order; at least one.
    pub pages: Vec<Page>,
    /// Pages of the file with those that gave no text; 0 for formats without pages.
    pub page_count: u32,
    /// Unicode scalar values over all pages.
    pub characters: u64,
    pub warnings: Vec<String>,
}

/// Why a file gives no text. The texts are for the person who brought it and quote nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    #[error(
        "files of type {extension:?} are not read; bring PDF, Markdown or text ({})",
        Format::extensions()
    )]
    UnsupportedType { extension: String },
    #[error("nothing to index: {reason}")]
    Empty { reason: String },
    #[error("{reason}")]
    Refused { reason: String },
    #[error("the file has {bytes} bytes, at most {limit} are read; split it or raise INGEST_MAX_FILE_BYTES")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("the file has {pages} pages, at most {limit} are read; split it or raise INGEST_MAX_PAGES")]
    TooManyPages { pages: u32, limit: u32 },
    #[error("the file gives more than {limit} characters of text; split it or raise INGEST_MAX_CHARACTERS")]
    TooMuchText { limit: u64 },
    #[error(
        "reading the file took longer than {} s and was stopped; split it or raise INGEST_FILE_TIMEOUT_SECONDS",
        after.as_secs_f64()
    )]
    Timeout { after: Duration },
    #[error(
        "reading the file needs more than {limit} bytes of memory; split it or raise INGEST_FILE_MEMORY_BYTES"
    )]
    OutOfMemory { limit: u64 },
    /// The reader died of the file; the service did not.
    #[error(
        "the file makes its reader fail ({reason}); save it again with another program and bring that copy"
    )]
    Crashed { reason: String },
    /// Not the file's fault.
    #[error("the reader process cannot be started: {reason}")]
    Worker { reason: String },
}

/// What one file may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    pub file_bytes: u64,
    pub pages: u32,
    /// Unicode scalar values of text.
    pub characters: u64,
    /// Wall clock for the whole file, all its reader processes together.
    pub time: Duration,
    /// Address space of a reader process.
    pub memory_bytes: u64,
}

impl Limits {
    /// For callers that know the size before they read the file.
    pub fn check_size(&self, bytes: u64) -> Result<(), ExtractError> {
        if bytes > self.file_bytes {
            return Err(ExtractError::TooLarge { bytes, limit: self.file_bytes });
        }
        Ok(())
    }
}

impl From<&IngestConfig> for Limits {
    fn from(config: &IngestConfig) -> Self {
        Self {
            file_bytes: config.max_file_bytes,
            pages: config.max_pages,
            characters: config.max_characters,
            time: config.extract_timeout,
            memory_bytes: config.extract_memory_bytes,
        }
    }
}

/// How a reader process is started.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// The binary `program` of this crate as a reader process.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: vec![WORKER_ARGUMENT.into()] }
    }

    /// The running binary itself.
    pub fn current() -> io::Result<Self> {
        std::env::current_exe().map(Self::new)
    }
}
