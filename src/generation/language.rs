//! The language of a question, and the few texts the service says itself.

use std::{collections::HashSet, sync::LazyLock};

use unicode_segmentation::UnicodeSegmentation;

use super::words::is_kana;

/// Languages that the service's own texts exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
    Japanese,
    Korean,
    German,
    French,
    Spanish,
}

impl Language {
    /// By script where that decides, by function words otherwise; English when in doubt.
    pub fn of(text: &str) -> Self {
        let is_han = |c: char| matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}');
        if text.chars().any(is_kana) {
            return Self::Japanese;
        }
        if text.chars().any(|c| matches!(c, '\u{AC00}'..='\u{D7AF}')) {
            return Self::Korean;
        }
        if text.chars().any(is_han) {
            return Self::Chinese;
        }
        // Trigrams are unsure of texts as short as questions; function words and letters are not.
        let words: Vec<String> = text.unicode_words().map(str::to_lowercase).collect();
        let votes = |language: &str, letters: &str| {
            let list = FUNCTION_WORDS.iter().find(|(name, _)| *name == language).map_or("", |(_, list)| list);
            let words = words.iter().filter(|word| list.split(' ').any(|known| known == *word)).count();
            words + 2 * usize::from(text.chars().any(|c| letters.contains(c)))
        };
        let mut best = (Self::English, votes("en", ""));
        for (language, letters) in
            [(Self::German, "äöüßÄÖÜ"), (Self::French, "çèêàùûœ"), (Self::Spanish, "ñ¿¡íóú")]
        {
            let votes = votes(language.code(), letters);
            if votes > best.1 {
                best = (language, votes);
            }
        }
        best.0
    }

    /// ISO 639-1, as chunks carry it.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
            Self::Japanese => "ja",
            Self::Korean => "ko",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
        }
    }

    /// Said when nothing similar enough was found.
    pub fn no_evidence(self) -> &'static str {
        match self {
            Self::English => "There is not enough evidence in the indexed documents to answer this question.",
            Self::Chinese => "已收录的文档中没有足够的依据来回答这个问题。",
            Self::Japanese => "登録されている文書には、この質問に答えるための十分な根拠がありません。",
            Self::Korean => "색인된 문서에는 이 질문에 답할 충분한 근거가 없습니다.",
            Self::German => {
                "Die indizierten Dokumente enthalten nicht genug Belege, um diese Frage zu beantworten."
            }
            Self::French => {
                "Les documents indexés ne contiennent pas assez d'éléments pour répondre à cette question."
            }
            Self::Spanish => {
                "Los documentos indexados no contienen pruebas suficientes para responder a esta pregunta."
            }
        }
    }

    /// Said when the model or its filter declines.
    pub fn declined(self) -> &'static str {
        match self {
            Self::English => "The language model declined to answer this question.",
            Self::Chinese => "语言模型拒绝回答这个问题。",
            Self::Japanese => "言語モデルがこの質問への回答を控えました。",
            Self::Korean => "언어 모델이 이 질문에 대한 답변을 거부했습니다.",
            Self::German => "Das Sprachmodell hat die Antwort auf diese Frage abgelehnt.",
            Self::French => "Le modèle de langage a refusé de répondre à cette question.",
            Self::Spanish => "El modelo de lenguaje se negó a responder a esta pregunta.",
        }
    }

    /// Heads the last line of an extractive answer.
    pub fn sources(self) -> &'static str {
        match self {
            Self::English | Self::French => "Sources:",
            Self::Chinese => "来源：",
            Self::Japanese => "出典：",
            Self::Korean => "출처:",
            Self::German => "Quellen:",
            Self::Spanish => "Fuentes:",
        }
    }

    pub fn page(self, number: u32) -> String {
        match self {
            Self::English | Self::French => format!("page {number}"),
            Self::Chinese => format!("第 {number} 页"),
            Self::Japanese => format!("{number} ページ"),
            Self::Korean => format!("{number}쪽"),
            Self::German => format!("Seite {number}"),
            Self::Spanish => format!("página {number}"),
        }
    }
}

/// Words that carry grammar and no content, in any of the languages.
pub fn is_function_word(word: &str) -> bool {
    static ALL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        FUNCTION_WORDS.iter().flat_map(|(_, list)| list.split(' ')).chain(["passage", "source"]).collect()
    });
    ALL.contains(word)
}

/// Words that nearly every question of a language has one of.
const FUNCTION_WORDS: &[(&str, &str)] = &[
    (
        "en",
        "a about after all also am an and any are as at be been but by can could did do does for from get had has \
         have he her his how i if in into is it its many may me much my not of on or our shall she should so such \
         than that the their them then there these they this those to us was we were what when where which who \
         whom whose why will with would you your",
    ),
    (
        "de",
        "aber alle als am an auch auf aus bei bin bis das dem den der des die ein eine einem einen einer er es für \
         gibt habe haben hat ich im in ist kann kein man mein mit muss nach nicht oder sich sie sind und viel viele \
         vom von wann war warum was welche welchen welcher welches wenn wer werden wie wird wir wo zu zum zur",
    ),
    (
        "fr",
        "a ai après au aux avec ce ces cette combien comment dans de des dois du elle en est et il ils je la le les \
         leur ma mes mon ne nous où ou par pas peut peux pour pourquoi quand que quel quelle quelles quels qui quoi \
         sa se ses son sont sur un une vous",
    ),
    (
        "es",
        "a al como con cómo cual cuál cuándo cuánto cuántos cuántas de debe del dónde el ella en es esta este está \
         hay la las lo los me mi no o para pero por porque puede puedo que qué quién se ser si son su sus tengo \
         tiene un una y yo",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_apart_by_script_and_words() {
        for (text, language) in [
            ("How many vacation days do I get?", Language::English),
            ("What is BM25?", Language::English),
            ("S3 bucket policy", Language::English),
            ("vacation", Language::English),
            ("GPU", Language::English),
            ("年假有多少天？", Language::Chinese),
            ("有給休暇は何日ですか", Language::Japanese),
            ("カード", Language::Japanese),
            ("휴가는 며칠입니까?", Language::Korean),
            ("Wie viele Urlaubstage habe ich im Jahr?", Language::German),
            ("Combien de jours de congé ai-je par an ?", Language::French),
            ("¿Cuántos días de vacaciones tengo al año?", Language::Spanish),
            ("", Language::English),
            ("Was kostet ein Parkplatz?", Language::German),
            ("An error in die casting, is it an issue?", Language::English),
            ("Qui approuve les notes de frais ?", Language::French),
            ("Quién aprueba los gastos", Language::Spanish),
        ] {
            assert_eq!(Language::of(text), language, "{text}");
        }
    }
}
