//! Bytes of unknown encoding into text.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::cleanup;

/// Text with `\n` line ends and without invisible characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub text: String,
    /// What a person should know about the decoding.
    pub warning: Vec<String>,
}

/// Decodes by byte order mark, else as UTF-8, else as the encoding that fits best.
///
/// # Errors
///
/// The reason why the bytes are no text.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let (text, name) = if let Some(text) = utf32(bytes)? {
        (text, Some("UTF-32"))
    } else if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(&bytes[mark..]);
        (text.into_owned(), (encoding != UTF_8).then(|| encoding.name()))
    } else if let Some(encoding) = utf16_without_mark(bytes) {
        (encoding.decode_without_bom_handling(bytes).0.into_owned(), Some(encoding.name()))
    } else {
        unmarked(bytes)
    };

    let mut warning: Vec<String> = name.map(|name| format!("decoded as {name}")).into_iter().collect();
    let controls = text.chars().filter(|c| c.is_control() && !c.is_whitespace()).count();
    let characters = text.chars().count();
    // Compressed and compiled files have one control character in ten; a log with terminal colours has one in fifty.
    if controls * 20 > characters {
        return Err("the file is binary, not text; give it its right extension".into());
    }
    let replaced = text.matches('\u{fffd}').count();
    if replaced * 10 > characters {
        return Err("the encoding of the file cannot be told; save it as UTF-8".into());
    }
    if replaced > 0 {
        warning.push(format!(
            "{replaced} invalid byte sequences were replaced by U+FFFD; save the file as UTF-8"
        ));
    }
    let nuls = text.matches('\0').count();
    if nuls > 0 {
        warning.push(format!("{nuls} NUL bytes were removed"));
    }
    Ok(Decoded { text: cleanup::plain(&text), warning })
}

/// Neither marked nor UTF-16: UTF-8 with or without faults, else a legacy encoding.
fn unmarked(bytes: &[u8]) -> (String, Option<&'static str>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // ISO-2022-JP is made of ASCII bytes.
        if !bytes.contains(&0x1b) {
            return (text.to_owned(), None);
        }
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let encoding = detector.guess(None, Utf8Detection::Allow);
    let (good, faults) = utf8_evidence(bytes);
    // Legacy text forms valid UTF-8 characters by accident only, one-byte encodings hardly ever: where they
    // weigh as much as the faulty bytes, the file is UTF-8 that was damaged, and decoding it as anything else
    // would damage the rest.
    let accidents = if encoding.is_single_byte() { 2 } else { 1 };
    if encoding == UTF_8 || (good > 0 && good * accidents >= faults) {
        return (String::from_utf8_lossy(bytes).into_owned(), None);
    }
    let (text, had_errors) = encoding.decode_without_bom_handling(bytes);
    if had_errors && text.matches('\u{fffd}').count() > faults {
        return (String::from_utf8_lossy(bytes).into_owned(), None);
    }
    (text.into_owned(), (faults > 0 || encoding == encoding_rs::ISO_2022_JP).then(|| encoding.name()))
}

/// Bytes of valid characters beyond ASCII, and bytes that are not UTF-8.
fn utf8_evidence(bytes: &[u8]) -> (usize, usize) {
    bytes.utf8_chunks().fold((0, 0), |(good, faults), chunk| {
        let beyond_ascii = chunk.valid().bytes().filter(|byte| !byte.is_ascii()).count();
        (good + beyond_ascii, faults + chunk.invalid().len())
    })
}

/// UTF-16 shows in zero bytes at every other place: the blanks and line ends, if nothing else.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    const SAMPLE: usize = 1 << 16;
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let (mut even, mut odd, mut pairs) = (0_usize, 0_usize, 0_usize);
    for pair in bytes[..bytes.len().min(SAMPLE)].chunks_exact(2) {
        even += usize::from(pair[0] == 0);
        odd += usize::from(pair[1] == 0);
        pairs += 1;
    }
    // UTF-8 with a few NUL bytes looks alike and is rubbish as UTF-16.
    if even.max(odd) * 4 < pairs && std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    let encoding = if odd * 50 >= pairs && odd >= 20 * even {
        UTF_16LE
    } else if even * 50 >= pairs && even >= 20 * odd {
        UTF_16BE
    } else {
        return None;
    };
    // So does text in a legacy encoding.
    let (text, had_errors) = encoding.decode_without_bom_handling(bytes);
    let zeros = even.max(odd);
    let ascii = text.chars().take(pairs).filter(char::is_ascii).count();
    let letters = text.chars().take(pairs).filter(|c| c.is_alphanumeric()).count();
    (!had_errors && ascii >= zeros && letters * 4 >= pairs && zeros > 0 && plausible(&text))
        .then_some(encoding)
}

/// Whether text beyond ASCII keeps to a few scripts, as people's texts do: blocks of 256 characters, ideographs
/// and syllables counted as one.
fn plausible(text: &str) -> bool {
    let mut blocks: Vec<u32> = text
        .chars()
        .take(4096)
        .map(|c| match u32::from(c) {
            0x3400..=0x9fff => 0x4e,
            0xac00..=0xd7ff => 0xac,
            c => c >> 8,
        })
        .collect();
    blocks.sort_unstable();
    blocks.dedup();
    blocks.len() <= 12
}

/// UTF-32 by its mark; `None`: it has none.
fn utf32(bytes: &[u8]) -> Result<Option<String>, String> {
    let read: fn([u8; 4]) -> u32 = match bytes {
        [0xff, 0xfe, 0, 0, ..] => u32::from_le_bytes,
        [0, 0, 0xfe, 0xff, ..] => u32::from_be_bytes,
        _ => return Ok(None),
    };
    let (chars, rest) = bytes[4..].as_chunks::<4>();
    if !rest.is_empty() {
        return Err("the file is marked as UTF-32 but cut in a character; bring a complete copy".into());
    }
    Ok(Some(chars.iter().map(|c| char::from_u32(read(*c)).unwrap_or('\u{fffd}')).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAPANESE: &str = "梅雨は、北海道と小笠原諸島を除く日本で見られる特有の気象現象である。\n次の行。";

    fn decoded(bytes: &[u8]) -> (String, Vec<String>) {
        let Decoded { text, warning } = decode(bytes).unwrap();
        (text, warning)
    }

    #[test]
    fn utf8_with_and_without_mark_needs_no_word() {
        assert_eq!(decoded("naïve\r\ntext".as_bytes()), ("naïve\ntext".into(), vec![]));
        assert_eq!(decoded(b"\xef\xbb\xbf# Head"), ("# Head".into(), vec![]));
    }

    #[test]
    fn utf16_is_read_with_and_without_mark() {
        for text in [JAPANESE, "plain words, one per line\nand so on"] {
            let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            assert_eq!(decoded(&[b"\xff\xfe", &le[..]].concat()).0, text);
            assert_eq!(decoded(&le), (text.to_owned(), vec!["decoded as UTF-16LE".to_owned()]));
            assert_eq!(decoded(&be), (text.to_owned(), vec!["decoded as UTF-16BE".to_owned()]));
        }
        let utf32: Vec<u8> = "\u{feff}añ".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_eq!(decoded(&utf32).0, "añ");
    }

    #[test]
    fn legacy_encodings_are_told_apart_and_named() {
        for (encoding, text) in [
            (encoding_rs::SHIFT_JIS, JAPANESE),
            (encoding_rs::EUC_JP, JAPANESE),
            (encoding_rs::ISO_2022_JP, JAPANESE),
            (encoding_rs::GBK, "黑豹队的防守只丢了三百零八分，在联赛中排名第六。"),
            (encoding_rs::BIG5, "黑豹隊的防守只丟了三百零八分，在聯賽中排名第六。"),
            (encoding_rs::WINDOWS_1252, "La información está en inglés y en español, señor Óscar."),
            (encoding_rs::WINDOWS_1251, "Оборона пропустила всего триста восемь очков."),
        ] {
            let (bytes, _, _) = encoding.encode(text);
            let (got, warning) = decoded(&bytes);
            assert_eq!(got, text, "{}", encoding.name());
            assert_eq!(warning.len(), 1, "{}", encoding.name());
        }
    }

    #[test]
    fn damaged_utf8_stays_utf8_and_says_how_much_was_lost() {
        let (text, warning) = decoded("6½ sacks \u{1}".as_bytes().strip_suffix(b"\x01").unwrap());
        assert_eq!((text.as_str(), warning.len()), ("6½ sacks ", 0));
        let (text, warning) = decoded(b"6\xc2\xbd sacks, \xff\xfe\xc3( and a few good words");
        assert_eq!(text, "6½ sacks, \u{fffd}\u{fffd}\u{fffd}( and a few good words");
        assert!(warning[0].starts_with("3 invalid"), "{warning:?}");
    }

    #[test]
    fn few_nul_bytes_are_removed_and_many_mean_binary() {
        let (text, warning) = decoded(b"The \0Panthers defense gave up just 308 points.");
        assert_eq!(text, "The Panthers defense gave up just 308 points.");
        assert_eq!(warning, ["1 NUL bytes were removed"]);
        assert!(
            decode(&(0..=255_u8).cycle().take(4_000).collect::<Vec<_>>()).unwrap_err().contains("binary")
        );
        assert!(decode(&[0; 64]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Ok(Decoded { text, .. }) = decode(&bytes) {
                proptest::prop_assert!(!text.contains(['\0', '\r']));
            }
        }
    }
}
