//! PDF files: pdf_oxide reads first, pdf-extract what the first refuses, each in a process of its own.
//!
//! Neither promises to survive hostile files, and both can return text that looks like success and is
//! rubbish; so no page counts before [`sanity`] has looked at it.

mod first;
mod sanity;
mod second;
mod title;

pub(super) use sanity::better;

use super::{
    ExtractError, Extracted, Format, Limits, WorkerCommand,
    protocol::{Job, Work},
    reading::{Failure, Reading},
    worker::{Sink, Stop},
};

/// The service's side: as many runs as it takes, within the time of one file.
pub(super) async fn read(
    bytes: &[u8],
    limits: &Limits,
    worker: &WorkerCommand,
) -> Result<Extracted, ExtractError> {
    let mut reading = Reading::new(Format::Pdf, limits.clone());
    let failure = read_first(&mut reading, bytes, worker).await?;
    let pages = reading.doubted();
    if !pages.is_empty() || failure.is_some() || !reading.unreadable.is_empty() {
        let second = reading.run(Work::Second { pages }, bytes, worker).await;
        match (failure, second) {
            // Nothing of the file was read: what ended the readers is the answer.
            (Some(Failure::OutOfMemory), Ok(Some(Failure::OutOfMemory))) => {
                return Err(ExtractError::OutOfMemory { limit: limits.memory_bytes });
            }
            (Some(Failure::Slow), Ok(Some(Failure::Slow)) | Err(ExtractError::Timeout { .. })) => {
                return Err(ExtractError::Timeout { after: limits.time });
            }
            (Some(first), Ok(Some(second))) => {
                return Err(ExtractError::Crashed {
                    reason: format!("first reader {first}; second reader {second}"),
                });
            }
            (Some(first), Ok(None)) => reading.unreadable.insert(0, first.to_string()),
            // What the first reader gave stands without the pages that were left.
            (None, Ok(Some(failure))) => leave(&mut reading, &failure),
            (None, Err(ExtractError::Timeout { .. })) => leave(&mut reading, &Failure::Slow),
            (_, Err(error)) => return Err(error),
            (None, Ok(None)) => {}
        }
    }
    reading.finish()
}

/// `Some`: the first reader did not get as far as opening the file.
async fn read_first(
    reading: &mut Reading,
    bytes: &[u8],
    worker: &WorkerCommand,
) -> Result<Option<Failure>, ExtractError> {
    const MOST_RESTARTS: u32 = 3;
    let mut from_page = 1;
    for restarts in 0..=MOST_RESTARTS {
        let Some(failure) = reading.run(Work::First { from_page }, bytes, worker).await? else { break };
        let Some(count) = reading.page_count else { return Ok(Some(failure)) };
        // The page it died of goes to the other reader, the pages behind it get a fresh process.
        let fatal = reading.last_page.max(from_page - 1) + 1;
        let last = if restarts == MOST_RESTARTS { count } else { fatal };
        for number in fatal..=last {
            reading.doubt(number, failure.to_string(), None);
        }
        if last >= count {
            break;
        }
        from_page = fatal + 1;
    }
    Ok(None)
}

fn leave(reading: &mut Reading, failure: &Failure) {
    for number in reading.doubted() {
        reading.doubt(number, failure.to_string(), None);
    }
    if !reading.unreadable.is_empty() {
        reading.unreadable.push(failure.to_string());
    }
}

/// The reader's side.
pub(super) fn read_here(bytes: Vec<u8>, job: &Job, sink: &mut Sink) -> Result<(), Stop> {
    match &job.work {
        Work::First { from_page } => first::read(bytes, *from_page, job.max_pages, sink),
        Work::Second { pages } => second::read(&bytes, pages, job.max_pages, sink),
    }
}
