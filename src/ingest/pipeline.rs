//! Files to index: read, cut, embedded side by side, written by one hand, whole source by whole source.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    io::AsyncReadExt,
    sync::{Semaphore, mpsc},
};
use tracing::{Instrument, Span};

use super::{
    chunk::{Chunker, Markup, Passage},
    extract::{self, ExtractError, Extracted, Format, Limits, WorkerCommand},
    files::{Shard, SourceFile, find},
    language,
    remembered::Remembered,
    report::{FileReport, Report},
};
use crate::{
    config::IngestConfig,
    domain::{Chunk, ChunkId},
    embedding::{Embedder, EmbeddingError},
    retrieval::{IndexWriter, RetrievalError, SourceChunks},
    telemetry::spans,
};

/// Sources between reading and writing at once; what bounds the memory of a run.
const SOURCES_AT_ONCE: usize = 8;
/// A commit comes after this many chunks or `INGEST_COMMIT_SECONDS`, whichever is first.
const COMMIT_CHUNKS: u64 = 4_000;

/// Why a run ended early. What was committed before stays.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Path(#[from] std::io::Error),
    #[error(
        "no PDF, Markdown or text file is under the given paths; --prune would empty the index, `rag-api index clear` does it"
    )]
    NothingToKeep,
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
}

/// What a run tells while it works.
#[derive(Debug)]
pub enum Progress<'a> {
    Found { files: usize },
    File(&'a FileReport),
}

/// A text that is already read, as a test collection brings it.
#[derive(Debug, Clone)]
pub struct Document {
    pub source: String,
    pub title: Option<String>,
    pub text: String,
}

/// Which files a run looks at.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    pub paths: &'a [PathBuf],
    /// Take out sources whose file is gone.
    pub prune: bool,
    pub shard: Shard,
}

/// A source on its way to the writer; the content is absent when there is nothing to write.
type Prepared = (FileReport, Option<SourceChunks>);

/// Everything a run needs but the index.
#[derive(Clone)]
pub struct Ingestion {
    embedder: Embedder,
    chunker: Chunker,
    limits: Limits,
    commit_interval: Duration,
    worker: WorkerCommand,
    /// Reader processes at once: one a core.
    readers: Arc<Semaphore>,
}

impl Ingestion {
    pub fn new(embedder: Embedder, config: &IngestConfig, worker: WorkerCommand) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            chunker: Chunker::new(embedder.tokenizer().clone(), config),
            embedder,
            limits: config.into(),
            commit_interval: config.commit_interval,
            worker,
            readers: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Brings the index up to date with the files of the plan. Resolving `stop` ends the run early:
    /// sources that are complete are committed, others are left for the next run.
    ///
    /// Writing may block; call it on a multi-threaded runtime.
    pub async fn run(
        &self,
        plan: Plan<'_>,
        writer: IndexWriter,
        stop: impl Future<Output = ()>,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Report, IngestError> {
        let span = spans::ingest_run();
        let result = self.work(plan, writer, stop, progress).instrument(span.clone()).await;
        match &result {
            Ok(report) => spans::ingested(&span, report.counts()),
            Err(error) => spans::failure(&span, error),
        }
        result
    }

    async fn work(
        &self,
        plan: Plan<'_>,
        mut writer: IndexWriter,
        stop: impl Future<Output = ()>,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Report, IngestError> {
        let start = Instant::now();
        let Plan { paths, prune, shard } = plan;
        let mut found = find(paths)?;
        if prune && found.files.is_empty() {
            return Err(IngestError::NothingToKeep);
        }
        found.files.retain(|file| shard.holds(&file.source));
        progress(Progress::Found { files: found.files.len() });
        // What could not be looked at is not known to be gone.
        let saw_everything = found.problems.is_empty();
        let mut report = Report::default();
        for (source, error) in found.problems {
            let file = FileReport { source, error: Some(error), ..FileReport::default() };
            progress(Progress::File(&file));
            report.files.push(file);
        }
        let expected = report.files.len() + found.files.len();
        let present: HashSet<String> = found.files.iter().map(|file| file.source.clone()).collect();
        let known: std::collections::HashMap<String, Remembered> = writer
            .known_sources()
            .iter()
            .filter_map(|(source, known)| Some((source.clone(), serde_json::from_str(&known.document).ok()?)))
            .collect();
        let known = &known;
        let run = Span::current();
        let prepared = stream::iter(found.files)
            .map(|file| {
                let this = self.clone();
                // It lives until the source is written.
                let span = spans::document(&run, &file.source);
                async move {
                    let remembered = known.get(&file.source);
                    let prepared = this.prepare(&file, remembered).instrument(span.clone()).await;
                    (span, prepared)
                }
            })
            .buffer_unordered(SOURCES_AT_ONCE)
            .take_until(stop);
        // Reading and embedding go on while a search service takes its time with what it was sent.
        let (send, receive) = mpsc::channel(1);
        let prepare = async {
            let mut prepared = std::pin::pin!(prepared);
            while let Some(source) = prepared.next().await {
                if send.send(source).await.is_err() {
                    break;
                }
            }
            drop(send);
        };
        let write = self.write(receive, &mut writer, &mut report, &mut progress);
        let ((), uncommitted) = futures_util::future::join(prepare, write).await;
        let uncommitted = uncommitted?;
        report.interrupted = report.files.len() < expected;
        if prune && !saw_everything {
            tracing::warn!("nothing is pruned, because some folder could not be read");
        }
        if prune && saw_everything && !report.interrupted {
            let gone = |source: &&String| shard.holds(source) && !present.contains(*source);
            report.removed = writer.known_sources().keys().filter(gone).cloned().collect();
            report.removed.sort();
            for source in &report.removed {
                writer.remove(source).await?;
            }
        }
        if report.chunks > 0 || uncommitted > 0 || !report.removed.is_empty() {
            writer.finish().await?;
        }
        report.files.sort_by(|a, b| a.source.cmp(&b.source));
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Writes sources as they come; gives how much of them is not committed at the end.
    async fn write(
        &self,
        mut prepared: mpsc::Receiver<(Span, Result<Prepared, IngestError>)>,
        writer: &mut IndexWriter,
        report: &mut Report,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<u64, IngestError> {
        let (mut uncommitted, mut last_commit) = (0, Instant::now());
        while let Some((span, prepared)) = prepared.recv().await {
            let (file, content) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    spans::failure(&span, &error);
                    // The sources before it are whole, and were reported as done.
                    writer.commit().await?;
                    return Err(error);
                }
            };
            if let Some(content) = content {
                uncommitted += content.chunks.len() as u64 + 1;
                report.chunks += content.chunks.len() as u64;
                let upsert = span.in_scope(|| spans::step("index.upsert"));
                writer.replace(content).instrument(upsert).await?;
            }
            let FileReport { pages, chunks, unchanged, error, .. } = &file;
            spans::document_done(&span, *pages as usize, *chunks as usize, *unchanged, error.as_deref());
            drop(span);
            progress(Progress::File(&file));
            report.files.push(file);
            if uncommitted >= COMMIT_CHUNKS
                || (uncommitted > 0 && last_commit.elapsed() >= self.commit_interval)
            {
                writer.commit().await?;
                (uncommitted, last_commit) = (0, Instant::now());
            }
        }
        Ok(uncommitted)
    }

    /// Cuts and embeds a text that is already read.
    pub async fn document(&self, document: &Document) -> Result<SourceChunks, IngestError> {
        let passages = self.chunker.cut(&document.text, Markup::Plain, document.title.as_deref());
        let passages = passages.into_iter().map(|passage| (None, passage)).collect();
        let origin = Origin { source: &document.source, language: None, tags: &[] };
        self.embed(&origin, passages, String::new()).await
    }

    /// Everything up to writing. The content is `None` when there is nothing to write.
    async fn prepare(&self, file: &SourceFile, known: Option<&Remembered>) -> Result<Prepared, IngestError> {
        let failed = |error: String| FileReport {
            source: file.source.clone(),
            error: Some(error),
            ..FileReport::default()
        };
        let bytes = match self.read(&file.path).await {
            Ok(bytes) => bytes,
            Err(error) => return Ok((failed(error.to_string()), None)),
        };
        let hash = format!("{:x}", Sha256::digest(&bytes));
        let settings = self.chunker.settings();
        if let Some(known) = known.filter(|known| known.hash == hash && known.settings == settings) {
            return Ok((FileReport { unchanged: true, ..known.report(&file.source) }, None));
        }
        let permit = self.readers.acquire().await;
        let extracted = extract::extract(&file.path, &bytes, &self.limits, &self.worker)
            .instrument(spans::step("extract"))
            .await;
        drop((permit, bytes));
        let mut remembered = Remembered { hash, settings, ..Remembered::default() };
        let mut extracted = match extracted {
            Ok(extracted) => extracted,
            // What an earlier version gave stays retrievable until there is something to replace it.
            Err(error) if known.is_some_and(|known| known.chunks > 0) => {
                return Ok((failed(format!("{error}; the version ingested before is kept")), None));
            }
            Err(error) => {
                // Only what the bytes themselves cause is remembered; a machine short of time or memory
                // today may manage tomorrow.
                let lasting = matches!(error, ExtractError::Empty { .. } | ExtractError::Refused { .. });
                remembered.error = Some(error.to_string());
                let report = remembered.report(&file.source);
                let content = lasting.then(|| remembered.content(&file.source, Vec::new()));
                return Ok((report, content));
            }
        };
        remembered.warnings = std::mem::take(&mut extracted.warnings);
        remembered.pages = extracted.page_count;
        remembered.characters = extracted.characters;
        let language = extracted.language.take().or_else(|| {
            extracted.pages.iter().find_map(|page| language::detect(&page.text)).map(str::to_owned)
        });
        let tags = std::mem::take(&mut extracted.tags);
        // A text the libraries stumble over costs its own file and no other.
        let passages = match self.cut(&file.path, extracted).await {
            Ok(passages) => passages,
            Err(error) => return Ok((failed(error.to_string()), None)),
        };
        remembered.chunks = u32::try_from(passages.len()).unwrap_or(u32::MAX);
        if passages.is_empty() {
            remembered.error = Some("nothing to index: the text has no letters or digits".into());
        }
        let report = remembered.report(&file.source);
        let origin = Origin { source: &file.source, language, tags: &tags };
        let document = remembered.to_json();
        match self.embed(&origin, passages, document).await {
            Ok(content) => Ok((report, Some(content))),
            Err(IngestError::Embedding(EmbeddingError::Model(reason))) => Ok((failed(reason), None)),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, ExtractError> {
        let unreadable = |error: std::io::Error| ExtractError::Refused {
            reason: format!("the file cannot be read: {error}"),
        };
        let meta = tokio::fs::metadata(path).await.map_err(unreadable)?;
        if !meta.is_file() {
            return Err(ExtractError::Refused { reason: "it is not a regular file".into() });
        }
        self.limits.check_size(meta.len())?;
        // A file that grows while it is read is read to the limit and one byte, and refused for it.
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        file.take(self.limits.file_bytes + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
        Ok(bytes)
    }

    async fn cut(
        &self,
        path: &Path,
        extracted: Extracted,
    ) -> Result<Vec<(Option<u32>, Passage)>, IngestError> {
        let markup = match extracted.format {
            Format::Markdown => Markup::Markdown,
            Format::Pdf | Format::Text => Markup::Plain,
        };
        let title = extracted.title.clone().or_else(|| title_from_name(path));
        let chunker = self.chunker.clone();
        let cut = move || {
            extracted
                .pages
                .iter()
                .flat_map(|page| {
                    let passages = chunker.cut(&page.text, markup, title.as_deref());
                    passages.into_iter().map(|passage| (page.number, passage))
                })
                .collect()
        };
        tokio::task::spawn_blocking(cut)
            .await
            .map_err(|error| EmbeddingError::Model(format!("cutting the text failed: {error}")).into())
    }

    async fn embed(
        &self,
        origin: &Origin<'_>,
        passages: Vec<(Option<u32>, Passage)>,
        document: String,
    ) -> Result<SourceChunks, IngestError> {
        let texts: Vec<_> = passages.iter().map(|(_, passage)| passage.embedding_text()).collect();
        let span = spans::embed("embed.passages", texts.len());
        let vectors = self.embedder.embed_passages(texts).instrument(span).await?;
        let created_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let chunks = (0u32..).zip(passages).map(|(index, passage)| origin.chunk(index, passage, &created_at));
        Ok(SourceChunks { source: origin.source.to_owned(), chunks: chunks.zip(vectors).collect(), document })
    }
}

/// What all chunks of a source share.
struct Origin<'a> {
    source: &'a str,
    language: Option<String>,
    tags: &'a [String],
}

impl Origin<'_> {
    fn chunk(&self, index: u32, (page_number, passage): (Option<u32>, Passage), created_at: &str) -> Chunk {
        Chunk {
            id: ChunkId(chunk_id(self.source, index)),
            source: self.source.to_owned(),
            content_hash: format!("{:x}", Sha256::digest(passage.embedding_text())),
            title: passage.title,
            content: passage.content,
            page_number,
            chunk_index: index,
            language: self.language.clone(),
            tags: self.tags.to_vec(),
            created_at: created_at.to_owned(),
        }
    }
}

/// From source and position alone: 32 hex digits of SHA-256, which every index takes as a key.
fn chunk_id(source: &str, index: u32) -> String {
    let digest = Sha256::digest(format!("{source}\0{index}"));
    format!("{digest:x}")[..32].to_owned()
}

/// A file name in words, for documents that do not name themselves.
fn title_from_name(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_string_lossy();
    let words: Vec<&str> = stem.split(['_', '-', ' ', '.']).filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_source_and_position_only_and_suit_every_index() {
        assert_eq!(chunk_id("a.md", 0), chunk_id("a.md", 0));
        assert_ne!(chunk_id("a.md", 1), chunk_id("a.md", 0));
        assert_ne!(chunk_id("a.md1", 0), chunk_id("a.md", 10));
        assert!(chunk_id("日本.md", 7).bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn names_become_titles() {
        assert_eq!(
            title_from_name(Path::new("x/Benefit_Options-2024.pdf")).as_deref(),
            Some("Benefit Options 2024")
        );
    }
}
