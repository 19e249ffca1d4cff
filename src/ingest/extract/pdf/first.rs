//! The first reader: pdf_oxide.

use pdf_oxide::{PdfDocument, object::Object};

use super::{sanity, title};
use crate::ingest::extract::{
    cleanup,
    protocol::{Frame, short},
    worker::{Sink, Stop, guarded},
};

pub(super) fn read(bytes: Vec<u8>, from_page: u32, max_pages: u32, sink: &mut Sink) -> Result<(), Stop> {
    let document = match guarded(|| open(bytes)) {
        Ok(Ok(document)) => document,
        Ok(Err(Closed::Locked)) => {
            return sink.end(Frame::Refused {
                reason:
                    "the file is encrypted and does not open without its password; save a copy without one"
                        .into(),
            });
        }
        Ok(Err(Closed::Broken(reason))) | Err(reason) => return sink.end(Frame::Unreadable { reason }),
    };
    let pages = match guarded(|| document.page_count()) {
        Ok(Ok(pages)) => u32::try_from(pages).unwrap_or(u32::MAX),
        Ok(Err(error)) => return sink.end(Frame::Unreadable { reason: plain(&error) }),
        Err(reason) => return sink.end(Frame::Unreadable { reason }),
    };
    if pages == 0 {
        return sink.end(Frame::Unreadable { reason: "it has no pages".into() });
    }
    if pages > max_pages {
        return sink.end(Frame::TooManyPages { pages });
    }
    let title = guarded(|| info_title(&document)).ok().flatten();
    sink.emit(&Frame::Opened { pages, title, tags: Vec::new(), language: None })?;
    for number in from_page..=pages {
        match guarded(|| page(&document, number)) {
            Ok(Frame::Page { number, text }) => sink.page(number, text)?,
            Ok(frame) => sink.emit(&frame)?,
            Err(reason) => sink.emit(&Frame::Doubt { number, reason, text: None })?,
        }
    }
    Ok(())
}

enum Closed {
    Locked,
    Broken(String),
}

fn open(bytes: Vec<u8>) -> Result<PdfDocument, Closed> {
    // Opening tries the empty user password, as every viewer does.
    let document = PdfDocument::from_bytes(bytes).map_err(|error| Closed::Broken(plain(&error)))?;
    if document.is_encrypted() && !document.is_authenticated() {
        return Err(Closed::Locked);
    }
    // Without its page tree pdf_oxide collects whatever looks like a page: remains of a damaged file that
    // no other viewer shows, so nobody could verify a citation of them.
    let catalog = document.catalog().map_err(|error| Closed::Broken(plain(&error)))?;
    let tree =
        catalog.as_dict().and_then(|catalog| catalog.get("Pages")).map(|pages| resolve(&document, pages));
    if tree.as_ref().and_then(Object::as_dict).is_none() {
        return Err(Closed::Broken("its list of pages is missing".into()));
    }
    Ok(document)
}

fn page(document: &PdfDocument, number: u32) -> Frame {
    let index = (number - 1) as usize;
    let raw = match document.extract_text(index) {
        Ok(raw) => raw,
        Err(error) => return Frame::Doubt { number, reason: plain(&error), text: None },
    };
    let text = cleanup::pdf_page(&raw);
    if text.is_empty() {
        // Text that is drawn but cannot be read has no map to Unicode; pdf-extract may know the font.
        if document.get_page_content_data(index).is_err() {
            return Frame::Doubt { number, reason: "its content cannot be read".into(), text: None };
        }
        if !raw.trim().is_empty() || document.has_text_layer(index).unwrap_or(true) {
            return Frame::Doubt { number, reason: sanity::NO_MAP.into(), text: None };
        }
        let images = guarded(|| document.page_image_handles(index).is_ok_and(|images| !images.is_empty()));
        return Frame::Blank { number, images: images.unwrap_or(false) };
    }
    // Notes on a page whose own content is rubbish are remains of a damaged file.
    if !document.has_text_layer(index).unwrap_or(true)
        && document.get_page_content_data(index).is_ok_and(|content| !sanity::is_content(&content))
    {
        return Frame::Doubt { number, reason: "its content is damaged".into(), text: None };
    }
    match sanity::check(&raw) {
        Err(reason) => Frame::Doubt { number, reason, text: None },
        // pdf_oxide mirrors some lines that mix directions; whether it did shows beside another reading.
        Ok(()) if sanity::mixes_directions(&text) => {
            Frame::Doubt { number, reason: "its lines mix writing directions".into(), text: Some(text) }
        }
        Ok(()) => Frame::Page { number, text },
    }
}

fn info_title(document: &PdfDocument) -> Option<String> {
    let info = resolve(document, document.trailer().as_dict()?.get("Info")?);
    let value = resolve(document, info.as_dict()?.get("Title")?);
    title::plausible(&title::decode(value.as_string()?))
}

fn resolve(document: &PdfDocument, object: &Object) -> Object {
    match object.as_reference() {
        Some(reference) => document.load_object(reference).unwrap_or(Object::Null),
        None => object.clone(),
    }
}

/// The library's error in words that quote nothing of the file.
fn plain(error: &pdf_oxide::Error) -> String {
    use pdf_oxide::Error;
    match error {
        Error::InvalidHeader(_) => "it has no PDF header".into(),
        Error::InvalidXref => "its cross-reference table is damaged".into(),
        Error::UnexpectedEof => "it ends too early".into(),
        Error::ParseError { .. } | Error::InvalidObjectType { .. } => "its objects are damaged".into(),
        // The page's number stands in the note already; in the reason it would keep notes from collapsing.
        Error::InvalidPdf(text) if text.starts_with("Page index") => "the page is missing".into(),
        Error::ObjectNotFound(..) => "objects are missing".into(),
        Error::CircularReference(_) | Error::RecursionLimitExceeded(_) => {
            "its objects refer to each other in circles".into()
        }
        other => short(&other.to_string()),
    }
}
