//! Which formats are read, told by the name and verified by the content.

use std::path::Path;

use super::ExtractError;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Format {
    Pdf,
    Markdown,
    Text,
}

const EXTENSIONS: [(&str, Format); 11] = [
    ("pdf", Format::Pdf),
    ("md", Format::Markdown),
    ("markdown", Format::Markdown),
    ("mdown", Format::Markdown),
    ("mkd", Format::Markdown),
    ("txt", Format::Text),
    ("text", Format::Text),
    ("log", Format::Text),
    ("rst", Format::Text),
    ("csv", Format::Text),
    ("tsv", Format::Text),
];

impl Format {
    /// By the extension of the name, in any case.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        EXTENSIONS.iter().find(|(known, _)| *known == extension).map(|(_, format)| *format)
    }

    /// The extensions that are read, as a list for people.
    pub fn extensions() -> String {
        EXTENSIONS.map(|(extension, _)| format!(".{extension}")).join(", ")
    }

    /// Refuses content that its name does not fit.
    pub(super) fn verify(self, bytes: &[u8]) -> Result<(), ExtractError> {
        if bytes.is_empty() {
            return Err(ExtractError::Empty { reason: "the file has 0 bytes".into() });
        }
        let found = kind_of(bytes);
        match (self, found) {
            // Readers accept junk before the header, and so do people's programs: the first kilobyte, as Acrobat.
            (Self::Pdf, _) if has_pdf_header(bytes) => Ok(()),
            (Self::Pdf, found) => Err(ExtractError::Refused {
                reason: format!(
                    "the file is named as a PDF file but {}; bring the real document",
                    found.map_or("has no PDF header".to_owned(), |kind| format!("is {kind}"))
                ),
            }),
            (Self::Markdown | Self::Text, None | Some(HTML)) => Ok(()),
            (Self::Markdown | Self::Text, Some(kind)) => Err(ExtractError::Refused {
                reason: format!("the file is named as text but is {kind}; give it its right extension"),
            }),
        }
    }
}

const HTML: &str = "an HTML page";

fn has_pdf_header(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(1024)];
    start.windows(5).any(|window| window == b"%PDF-")
}

/// What well-known first bytes say.
fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 16] = [
        (b"%PDF-", "a PDF file"),
        (b"\x89PNG\r\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF87a", "a GIF image"),
        (b"GIF89a", "a GIF image"),
        (b"II*\0", "a TIFF image"),
        (b"MM\0*", "a TIFF image"),
        (b"PK\x03\x04", "a ZIP archive or an Office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"\xfd7zXZ\0", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive"),
        (b"\x7fELF", "a program"),
        (b"SQLite format 3\0", "a database"),
    ];
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(kind);
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).to_ascii_lowercase();
    let start = start.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    (start.starts_with("<!doctype html") || start.starts_with("<html")).then_some(HTML)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_counts_in_any_case() {
        assert_eq!(Format::of(Path::new("a/B.PDF")), Some(Format::Pdf));
        assert_eq!(Format::of(Path::new("notes.markdown")), Some(Format::Markdown));
        assert_eq!(Format::of(Path::new("a.docx")), None);
        assert_eq!(Format::of(Path::new("README")), None);
    }

    #[test]
    fn content_must_fit_the_name_and_the_refusal_says_what_it_is() {
        let png = Format::Pdf.verify(b"\x89PNG\r\n\x1a\n....").unwrap_err().to_string();
        assert!(png.contains("PNG image"), "{png}");
        let html = Format::Pdf.verify(b"\n<!DOCTYPE html><p>404").unwrap_err().to_string();
        assert!(html.contains("HTML page"), "{html}");
        let zip = Format::Text.verify(b"PK\x03\x04word/document.xml").unwrap_err().to_string();
        assert!(zip.contains("Office"), "{zip}");
        assert!(Format::Markdown.verify(b"<html>is Markdown too").is_ok());
    }

    #[test]
    fn a_pdf_header_may_come_late_but_not_later_than_a_kilobyte() {
        let mut junk = vec![b'x'; 1019];
        junk.extend(b"%PDF-1.7");
        assert!(Format::Pdf.verify(&junk).is_ok());
        junk.insert(0, b'x');
        assert!(Format::Pdf.verify(&junk).is_err());
    }

    #[test]
    fn no_bytes_are_nothing_to_index() {
        assert!(matches!(Format::Pdf.verify(b""), Err(ExtractError::Empty { .. })));
    }
}
