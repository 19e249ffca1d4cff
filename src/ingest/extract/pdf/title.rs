//! The title in a PDF file's own metadata, where it is one.

/// A text string as PDF files write it: UTF-16 or UTF-8 by mark, else close to Windows-1252 (ISO 32000-2, 7.9.2.2).
pub(super) fn decode(bytes: &[u8]) -> String {
    match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, mark)) => encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned(),
        None => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// The title on one line, unless it is what a program wrote there: a file name, a path, a placeholder.
pub(super) fn plausible(title: &str) -> Option<String> {
    const MAX_CHARS: usize = 200;
    const PROGRAMS: [&str; 5] = [
        "microsoft word -",
        "microsoft powerpoint -",
        "microsoft excel -",
        "untitled",
        "powerpoint presentation",
    ];
    const PLACEHOLDERS: [&str; 8] =
        ["document", "presentation", "title", "slide", "print", "book", "folie", "microsoft word"];
    const DOCUMENTS: [&str; 16] = [
        "doc", "docx", "pdf", "ppt", "pptx", "xls", "xlsx", "odt", "odp", "rtf", "txt", "tex", "dvi", "indd",
        "qxd", "html",
    ];

    let text: String = crate::ingest::extract::cleanup::pdf_page(title);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = text.to_lowercase();
    let program = PROGRAMS.iter().any(|start| lower.starts_with(start));
    let placeholder =
        PLACEHOLDERS.contains(&lower.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' '));
    // "report v2.docx", "IBM-PDFs.graffle"; a sentence may end in "3.5" or "etc."
    let extension = lower.rsplit_once('.').map_or("", |(_, end)| end);
    let file = DOCUMENTS.contains(&extension)
        || (3..=8).contains(&extension.len())
            && !text.contains(' ')
            && extension.bytes().all(|b| b.is_ascii_alphanumeric())
        || text.contains('\\')
        || text.starts_with('/')
        || lower.starts_with("file:");
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let chars = text.chars().count();
    let words = letters >= 2 && letters * 3 >= chars && chars <= MAX_CHARS && !text.contains('\u{fffd}');
    (words && !program && !placeholder && !file).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_is_no_title() {
        for junk in [
            "",
            "Microsoft Word - report.doc",
            "Untitled-1",
            "PowerPoint Presentation",
            "Document1",
            "C:\\Users\\x\\report",
            "/var/x",
            "handbook_final.docx",
            "12345-678",
            "IBM-PDFs.graffle",
            "\u{fffd}\u{fffd}abc",
        ] {
            assert_eq!(plausible(junk), None, "{junk}");
        }
    }

    #[test]
    fn titles_are_titles() {
        for title in [
            "Employee Handbook",
            "取扱説明書",
            "Q3 2024: Results",
            "Documents of the State",
            "Rules, ed. 3.5",
            "Tools etc.",
        ] {
            assert_eq!(plausible(&format!(" {title}\0\r\n")).as_deref(), Some(title));
        }
    }

    #[test]
    fn text_strings_come_in_three_encodings() {
        assert_eq!(decode(b"\xfe\xff\x65\xe5\x67\x2c"), "日本");
        assert_eq!(decode(b"\xef\xbb\xbf\xc3\xa9"), "é");
        assert_eq!(decode(b"caf\xe9"), "café");
    }
}
