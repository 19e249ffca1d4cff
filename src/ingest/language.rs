//! Which language a document is written in, as ISO 639-1.

use whatlang::{Lang, Script};

/// The language of the first thousands of characters; `None` where it cannot be told reliably.
pub fn detect(text: &str) -> Option<&'static str> {
    const SAMPLE_CHARS: usize = 4_000;
    let sample: String = text.chars().filter(|c| !c.is_ascii_punctuation()).take(SAMPLE_CHARS).collect();
    let info = whatlang::detect(&sample)?;
    // Scripts of one language need no statistics, however short the text.
    let certain = matches!(
        info.script(),
        Script::Hiragana
            | Script::Katakana
            | Script::Mandarin
            | Script::Hangul
            | Script::Thai
            | Script::Greek
    );
    (certain || info.is_reliable()).then(|| iso_639_1(info.lang())).flatten()
}

fn iso_639_1(lang: Lang) -> Option<&'static str> {
    Some(match lang {
        Lang::Ara => "ar",
        Lang::Bul => "bg",
        Lang::Cat => "ca",
        Lang::Ces => "cs",
        Lang::Cmn => "zh",
        Lang::Dan => "da",
        Lang::Deu => "de",
        Lang::Ell => "el",
        Lang::Eng => "en",
        Lang::Est => "et",
        Lang::Fin => "fi",
        Lang::Fra => "fr",
        Lang::Heb => "he",
        Lang::Hin => "hi",
        Lang::Hrv => "hr",
        Lang::Hun => "hu",
        Lang::Ind => "id",
        Lang::Ita => "it",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Lav => "lv",
        Lang::Lit => "lt",
        Lang::Nld => "nl",
        Lang::Nob => "no",
        Lang::Pes => "fa",
        Lang::Pol => "pl",
        Lang::Por => "pt",
        Lang::Ron => "ro",
        Lang::Rus => "ru",
        Lang::Slk => "sk",
        Lang::Slv => "sl",
        Lang::Spa => "es",
        Lang::Srp => "sr",
        Lang::Swe => "sv",
        Lang::Tha => "th",
        Lang::Tur => "tr",
        Lang::Ukr => "uk",
        Lang::Vie => "vi",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_languages_are_told_apart() {
        for (text, language) in [
            ("The operator drains the old revision before the new one takes its traffic.", Some("en")),
            ("サービスは質問に出典つきで答えます。", Some("ja")),
            ("这项服务用自己的文档回答问题。", Some("zh")),
            ("Der Dienst beantwortet Fragen mit Belegen aus den eigenen Dokumenten.", Some("de")),
            ("", None),
            ("12 34 56", None),
        ] {
            assert_eq!(detect(text), language, "{text}");
        }
    }
}
