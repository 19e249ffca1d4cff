//! The second reader: pdf-extract, for what the first one refuses.

use pdf_extract::{Document, PlainTextOutput, output_doc_page};

use super::sanity;
use crate::ingest::extract::{
    cleanup,
    protocol::{Frame, short},
    worker::{Sink, Stop, guarded},
};

/// Reads `wanted`, or every page when it is empty.
pub(super) fn read(bytes: &[u8], wanted: &[u32], max_pages: u32, sink: &mut Sink) -> Result<(), Stop> {
    let (document, pages) = match guarded(|| open(bytes)) {
        Ok(Ok(opened)) => opened,
        Ok(Err(reason)) | Err(reason) => return sink.end(Frame::Unreadable { reason }),
    };
    if pages > max_pages {
        return sink.end(Frame::TooManyPages { pages });
    }
    sink.emit(&Frame::Opened { pages, title: None, tags: Vec::new(), language: None })?;
    let all: Vec<u32> = if wanted.is_empty() { (1..=pages).collect() } else { wanted.to_vec() };
    for number in all {
        match guarded(|| page(&document, number)) {
            Ok(Frame::Page { number, text }) => sink.page(number, text)?,
            Ok(frame) => sink.emit(&frame)?,
            Err(reason) => sink.emit(&Frame::Doubt { number, reason, text: None })?,
        }
    }
    Ok(())
}

fn open(bytes: &[u8]) -> Result<(Document, u32), String> {
    let mut document = Document::load_mem(bytes).map_err(|error| short(&error.to_string()))?;
    if document.is_encrypted() {
        document.decrypt("").map_err(|error| short(&error.to_string()))?;
    }
    match document.get_pages().len() {
        0 => Err("it has no pages".into()),
        pages => Ok((document, u32::try_from(pages).unwrap_or(u32::MAX))),
    }
}

fn page(document: &Document, number: u32) -> Frame {
    let mut raw = String::new();
    if let Err(error) = output_doc_page(document, &mut PlainTextOutput::new(&mut raw), number) {
        return Frame::Doubt { number, reason: short(&error.to_string()), text: None };
    }
    let text = cleanup::pdf_page(&raw);
    match sanity::check(&raw) {
        _ if raw.trim().is_empty() => Frame::Blank { number, images: false },
        _ if text.is_empty() => Frame::Doubt { number, reason: sanity::NO_MAP.into(), text: None },
        Ok(()) => Frame::Page { number, text },
        Err(reason) => Frame::Doubt { number, reason, text: None },
    }
}
