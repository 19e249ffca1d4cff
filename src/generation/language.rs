//! The language of a question, and the few texts the service says itself.

use std::{collections::HashSet, sync::LazyLock};

use unicode_segmentation::UnicodeSegmentation;

use super::words::{is_kana, is_unspaced};

/// Languages that the service's own texts exist in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
    TraditionalChinese,
    Japanese,
    Korean,
    German,
    French,
    Spanish,
    Portuguese,
    Italian,
}

impl Language {
    /// By script where that decides, by function words and letters otherwise; English when in doubt.
    /// A sentence in Latin letters that quotes a foreign word keeps its language.
    pub fn of(text: &str) -> Self {
        let mut words: Vec<String> =
            text.unicode_words().map(|word| word.to_lowercase().replace('’', "'")).collect();
        // "l'ufficio" is an article and a noun.
        let elided: Vec<String> =
            words.iter().filter_map(|word| Some(format!("{}'", word.split_once('\'')?.0))).collect();
        words.extend(elided);
        let letters = |of: fn(char) -> bool| text.chars().filter(|c| c.is_alphabetic() && of(*c)).count();
        let foreign = letters(is_unspaced);
        let grammar = words.iter().filter(|word| is_function_word(word)).count();
        if foreign > 0 && !(grammar >= 2 && letters(|c| !is_unspaced(c)) > 2 * foreign) {
            return Self::by_script(text);
        }
        // Trigrams are unsure of texts as short as questions; function words and letters are not.
        let votes = |(language, marks, list): &(Self, &str, &str)| {
            let known =
                words.iter().filter(|word| list.split_whitespace().any(|known| known == *word)).count();
            (*language, known + 2 * usize::from(text.chars().any(|c| marks.contains(c))))
        };
        let mut best = (Self::English, 0);
        for (language, votes) in LATIN.iter().map(votes) {
            if votes > best.1 {
                best = (language, votes);
            }
        }
        best.0
    }

    fn by_script(text: &str) -> Self {
        let any = |of: fn(char) -> bool| text.chars().any(of);
        if any(is_kana) {
            return Self::Japanese;
        }
        if any(|c| matches!(c, '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '\u{AC00}'..='\u{D7AF}')) {
            return Self::Korean;
        }
        let count = |of: &str| text.chars().filter(|c| of.contains(*c)).count();
        let (japanese, simplified, traditional) = (count(JAPANESE), count(SIMPLIFIED), count(TRADITIONAL));
        if japanese > simplified {
            Self::Japanese
        } else if traditional > simplified {
            Self::TraditionalChinese
        } else if any(
            |c| matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{20000}'..='\u{323AF}'),
        ) {
            Self::Chinese
        } else {
            Self::English
        }
    }

    /// Said when nothing similar enough was found.
    pub fn no_evidence(self) -> &'static str {
        match self {
            Self::English => "There is not enough evidence in the indexed documents to answer this question.",
            Self::Chinese => "已收录的文档中没有足够的依据来回答这个问题。",
            Self::TraditionalChinese => "已收錄的文件中沒有足夠的依據來回答這個問題。",
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
            Self::Portuguese => {
                "Os documentos indexados não contêm evidências suficientes para responder a esta pergunta."
            }
            Self::Italian => {
                "I documenti indicizzati non contengono elementi sufficienti per rispondere a questa domanda."
            }
        }
    }

    /// Said when the model or its filter declines.
    pub fn declined(self) -> &'static str {
        match self {
            Self::English => "The language model declined to answer this question.",
            Self::Chinese => "语言模型拒绝回答这个问题。",
            Self::TraditionalChinese => "語言模型拒絕回答這個問題。",
            Self::Japanese => "言語モデルがこの質問への回答を控えました。",
            Self::Korean => "언어 모델이 이 질문에 대한 답변을 거부했습니다.",
            Self::German => "Das Sprachmodell hat die Antwort auf diese Frage abgelehnt.",
            Self::French => "Le modèle de langage a refusé de répondre à cette question.",
            Self::Spanish => "El modelo de lenguaje se negó a responder a esta pregunta.",
            Self::Portuguese => "O modelo de linguagem recusou-se a responder a esta pergunta.",
            Self::Italian => "Il modello linguistico ha rifiutato di rispondere a questa domanda.",
        }
    }

    /// Heads the last line of an extractive answer.
    pub fn sources(self) -> &'static str {
        match self {
            Self::English | Self::French => "Sources:",
            Self::Chinese => "来源：",
            Self::TraditionalChinese => "來源：",
            Self::Japanese => "出典：",
            Self::Korean => "출처:",
            Self::German => "Quellen:",
            Self::Spanish => "Fuentes:",
            Self::Portuguese => "Fontes:",
            Self::Italian => "Fonti:",
        }
    }

    pub fn page(self, number: u32) -> String {
        match self {
            Self::English | Self::French => format!("page {number}"),
            Self::Chinese => format!("第 {number} 页"),
            Self::TraditionalChinese => format!("第 {number} 頁"),
            Self::Japanese => format!("{number} ページ"),
            Self::Korean => format!("{number}쪽"),
            Self::German => format!("Seite {number}"),
            Self::Spanish | Self::Portuguese => format!("página {number}"),
            Self::Italian => format!("pagina {number}"),
        }
    }
}

/// Words that carry grammar and no content, in any of the languages.
pub fn is_function_word(word: &str) -> bool {
    static ALL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let listed = LATIN.iter().flat_map(|(_, _, list)| list.split_whitespace());
        listed.filter(|word| !CONTENT_ELSEWHERE.contains(word)).chain(["passage", "source"]).collect()
    });
    ALL.contains(word)
}

/// Function words of one language that are words with content in English.
const CONTENT_ELSEWHERE: &[&str] = &[
    "com", "come", "da", "di", "dove", "eu", "fa", "foi", "ha", "ho", "io", "ma", "mais", "per", "si", "sin",
];

/// Characters of everyday questions that only one of the ways of writing them has. Those that Japanese shares
/// with either are left to the kana, which hardly any Japanese question is without.
const SIMPLIFIED: &str = "这个们时说对过还没为么样请问题几吗应该员据档总经费华业东车报销实习责让间门开关机动产发现电话长边办认识试卖买价网络务级给线绍绩设码预连递税额标准择种类头条约议论讲师获权险备订购显质询纪环";
const TRADITIONAL: &str = "這個們來時說國會對過還沒為麼樣請問題幾嗎應該員數據檔總經費華業東車報銷實習責讓間門開關機動產發現電話長邊辦認識試賣買價網絡務級給線紹績誰頁與於處則錄檢證獎傳無號變區將從後腦資訊軟體選單標裡轉設碼預連遞稅額準擇種類頭條約議論講師獲權險備訂購顯質詢紀環";
const JAPANESE: &str =
    "々〆円図気発売続読単検験駅込働畑圧栄営塩歩沢涙犠竜粛縄繊脳覧応経拠拡権歓帰従変遅総両仮伝団実労県価払";

/// Languages in Latin letters: letters of theirs, and words that nearly every question has
/// one of. The earlier language wins where the votes are even, so English is the answer in doubt.
const LATIN: &[(Language, &str, &str)] = &[
    (
        Language::English,
        "",
        "a about after all also am an and any are as at be been but by can could did do does for from get had has \
         have he her his how i if in into is it its many may me much my not of on or our shall she should so such \
         than that the their them then there these they this those to us was we were what when where which who \
         whom whose why will with would you your per",
    ),
    (
        Language::German,
        "äöüßÄÖÜ",
        "aber alle als am an auch auf aus bei bin bis das dem den der des die ein eine einem einen einer er es für \
         gibt habe haben hat ich im in ist kann kein man mein mit muss nach nicht oder sich sie sind und viel viele \
         vom von wann war warum was welche welchen welcher welches wenn wer werden wie wird wir wo zu zum zur \
         darf dürfen gilt ihr können lange mir seit soll um unser wem wen wofür woher wohin während über bedeutet",
    ),
    (
        Language::French,
        "çèêàùûœâî",
        "a ai après au aux avec ce ces cette combien comment dans de des dois du elle en est et ils je la le les \
         leur ma mes mon ne nous où ou par pas peut peux pour pourquoi quand que quel quelle quelles quels qui quoi \
         sa se ses son sont sur un une vous l' d' qu' j' n' s' m' faut fait",
    ),
    (
        Language::Spanish,
        "ñ¿¡íóúá",
        "a al como con cómo cual cuál cuándo cuánto cuántos cuántas de debe del dónde el ella en es esta este está \
         hay la las lo los me mi no para pero por porque puede puedo que qué quién se ser si son su sus tengo \
         tiene un una y yo cuales cuáles cuanta cuánta cuando desde donde hasta quien quiénes sin sobre",
    ),
    (
        Language::Portuguese,
        "ãõçêâíóúáà",
        "a ao aos as com como da das de do dos e ela ele em essa esse esta este está eu foi há isso mais me meu minha na \
         nas no nos não o onde os ou para pela pelo pode podem por porque posso precisa qual quais quando quanto \
         quanta quantas quantos que quem se sem ser seu sua são tem tenho um uma é",
    ),
    (
        Language::Italian,
        "èìòùà",
        "a agli ai al alla alle che chi ci come con cosa da dal dalla de dei del della delle deve di dove e ed fa gli ha ho i il \
         in io la le lo ma mi mio nei nel nella non o per perché più posso può qual quale quali quando quanta quante \
         quanti quanto questa questo se si sono su sul sulla un una uno è devo entro l' un' dell' all' dall' nell' sull' d' cos' dov' quest'",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_is_the_answer_in_doubt() {
        for text in ["", "?!", "GPU", "vacation", "S3 bucket policy", "Ωμέγα", "BM25", "42"] {
            assert_eq!(Language::of(text), Language::English, "{text}");
        }
    }

    #[test]
    fn words_with_content_in_english_are_no_function_words() {
        assert!(is_function_word("the") && is_function_word("warum") && is_function_word("perché"));
        assert!(!is_function_word("come") && !is_function_word("io") && !is_function_word("leave"));
    }

    #[test]
    fn every_text_exists_once_a_language() {
        let all: HashSet<&str> = LATIN
            .iter()
            .map(|(language, ..)| *language)
            .chain([Language::Chinese, Language::TraditionalChinese, Language::Japanese, Language::Korean])
            .flat_map(|language| [language.no_evidence(), language.declined()])
            .collect();
        assert_eq!(all.len(), 20);
    }
}
