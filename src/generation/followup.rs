//! What a question lacks to stand alone, and the words of another text that could fill it. Signs and not
//! grammar: lists for English, Chinese and Japanese, and the commonest "and …?" of their neighbours.

use unicode_segmentation::UnicodeSegmentation;

use super::{
    language::{Language, is_function_word},
    words::is_unspaced,
};

/// What a question takes from the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It stands alone.
    Nothing,
    /// Something is left out: "And in France?"
    Ellipsis,
    /// A word stands for something said before: "How long is it valid?"
    Pronoun,
}

pub(super) fn need(text: &str) -> Need {
    match Language::of(text) {
        Language::English => english(&words(text), text.trim_end().ends_with('?')),
        Language::Chinese | Language::TraditionalChinese => chinese(&letters(text)),
        Language::Japanese => japanese(&letters(text)),
        Language::Korean => Need::Nothing,
        _ => neighbour(&words(text)),
    }
}

/// The words with content of a text, in its order; in scripts without spaces, what stands between
/// particles and question words. Left out is what a later question replaces: "in Germany" by "in France".
pub(super) fn content(text: &str, later: &[String]) -> Vec<String> {
    let slots: Vec<String> = later.iter().flat_map(|text| slots(text)).collect();
    let japanese = Language::of(text) == Language::Japanese;
    let mut open = text.to_owned();
    if text.chars().any(is_unspaced) {
        for filler in split(if japanese { JAPANESE_FILLERS } else { CHINESE_FILLERS }) {
            open = open.replace(filler, " ");
        }
    }
    let mut kept = Vec::new();
    let mut replaced = false;
    let pieces =
        open.split(|c: char| c.is_whitespace() || "?!.,;:？！。、，；：「」『』（）()[]\"“”".contains(c));
    for piece in pieces.filter(|piece| piece.chars().any(char::is_alphanumeric)) {
        let lower = piece.to_lowercase();
        if is_function_word(&lower)
            || listed(PREPOSITIONS, &lower)
            || listed(MEASURES, &lower)
            || listed(OPENERS, &lower)
        {
            replaced = slots.contains(&lower);
        } else if !replaced && (!japanese || piece.chars().any(|c| !matches!(c, '\u{3041}'..='\u{309F}'))) {
            kept.push(piece.trim_matches(|c: char| !c.is_alphanumeric() && c != '_').to_owned());
        }
    }
    kept
}

/// Prepositions that a follow-up fills anew.
fn slots(text: &str) -> Vec<String> {
    words(text).into_iter().filter(|word| listed(PREPOSITIONS, word)).collect()
}

fn english(words: &[String], asks: bool) -> Need {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let has = |list: &str| words.iter().any(|word| listed(list, word));
    let content = |words: &[String]| {
        words.iter().filter(|word| !is_function_word(word) && !listed(MEASURES, word)).count()
    };
    if words.is_empty() {
        return Need::Nothing;
    }
    if (word(0) == "what" || word(0) == "how") && word(1) == "about" {
        return if content(words) <= 4 { Need::Ellipsis } else { Need::Nothing };
    }
    let opened = listed(OPENERS, word(0));
    if opened && (listed(QUESTION_WORDS, word(1)) || listed(AUXILIARIES, word(1))) {
        return english(&words[1..], asks);
    }
    let last = words.len() - 1;
    for (at, word) in words.iter().enumerate() {
        let before = content(&words[..at]);
        let after = words.get(at + 1).map_or("", String::as_str);
        let previous = at.checked_sub(1).map_or("", |before| words[before].as_str());
        let bound =
            listed(AUXILIARIES, previous) || listed(PREPOSITIONS, previous) || at == 0 || previous == "about";
        // What the pronoun stands for may be in the question itself.
        let alone = before < if at == last { 3 } else { 2 };
        let points =
            match word.as_str() {
                "it" => alone && !impersonal(&words[at + 1..]),
                "he" | "she" | "they" | "him" | "her" | "them" | "his" | "their" | "its" | "theirs"
                | "hers" => alone,
                "this" | "that" | "these" | "those" => bound || at == last,
                "one" | "ones" => ["that", "this", "which", "other", "another", "first", "second", "last"]
                    .contains(&previous),
                "former" | "latter" | "same" | "others" => previous == "the",
                "there" => at == last && alone && !listed(AUXILIARIES, previous),
                "else" => before == 0 && after != "if",
                _ => false,
            };
        if points {
            return Need::Pronoun;
        }
    }
    let whole = has(QUESTION_WORDS) || has(AUXILIARIES);
    let elliptic = content(words) == 0
        || (opened && content(words) <= 4)
        || (listed(PREPOSITIONS, word(0)) && !whole && content(words) <= 4)
        || (asks && !whole && words.len() <= 3)
        || (content(words) <= 2 && ["too", "instead", "then"].contains(&word(last)))
        || (content(words) <= 1 && has(RELATIONS))
        || (word(0) == "how" && word(1) == "many" && (last == 1 || listed(AUXILIARIES, word(2))));
    if elliptic { Need::Ellipsis } else { Need::Nothing }
}

/// "Is it possible to …", "How long does it take to …": nothing is pointed to.
fn impersonal(after: &[String]) -> bool {
    let of = |list: &[&str], most: usize| after.iter().take(most).any(|word| list.contains(&word.as_str()));
    of(
        &[
            "possible",
            "allowed",
            "necessary",
            "required",
            "true",
            "safe",
            "take",
            "cost",
            "make",
            "mean",
            "ok",
        ],
        3,
    ) && of(&["to", "that", "if", "when"], 6)
}

/// German, French, Spanish, Portuguese, Italian: "Und in Frankreich?"
fn neighbour(words: &[String]) -> Need {
    let opened =
        words.first().is_some_and(|word| ["und", "et", "y", "e", "oder", "ou", "o"].contains(&word.as_str()));
    if opened && words.len() <= 5 { Need::Ellipsis } else { Need::Nothing }
}

fn chinese(text: &str) -> Need {
    let rest = split(CHINESE_OPENERS).find_map(|opener| text.strip_prefix(opener)).unwrap_or(text);
    let opened = rest.len() < text.len();
    let mut plain = rest.to_owned();
    for word in split(CHINESE_COMPOUNDS) {
        plain = plain.replace(word, "");
    }
    if split(CHINESE_PRONOUNS).any(|pronoun| plain.contains(pronoun)) {
        return Need::Pronoun;
    }
    let asks = split(CHINESE_QUESTION_WORDS).any(|word| rest.contains(word));
    let left = without(rest, &[CHINESE_QUESTION_WORDS, CHINESE_FILLERS]);
    let short = rest.chars().count() <= 12;
    let elliptic =
        left <= 1 || (!asks && short && rest.ends_with('呢')) || (opened && left <= if asks { 2 } else { 6 });
    if elliptic { Need::Ellipsis } else { Need::Nothing }
}

fn japanese(text: &str) -> Need {
    let rest = split(JAPANESE_OPENERS).find_map(|opener| text.strip_prefix(opener)).unwrap_or(text);
    let opened = rest.len() < text.len();
    let mut plain = rest.to_owned();
    for word in split(JAPANESE_COMPOUNDS) {
        plain = plain.replace(word, "");
    }
    if split(JAPANESE_PRONOUNS).any(|pronoun| plain.contains(pronoun)) {
        return Need::Pronoun;
    }
    let asks = split(JAPANESE_QUESTION_WORDS).any(|word| rest.contains(word));
    let left = without(rest, &[JAPANESE_QUESTION_WORDS, JAPANESE_FILLERS]);
    let topic = ["は", "場合", "については", "のほうは"].iter().any(|end| rest.ends_with(end));
    let short = rest.chars().count() <= 12;
    let elliptic = left <= 1 || (!asks && short && topic) || (opened && !asks && left <= 6);
    if elliptic { Need::Ellipsis } else { Need::Nothing }
}

/// How many characters are left when these words are taken out.
fn without(text: &str, lists: &[&str]) -> usize {
    let mut text = text.to_owned();
    for word in lists.iter().copied().flat_map(split) {
        text = text.replace(word, "");
    }
    text.chars().count()
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split_whitespace()
}

fn listed(list: &str, word: &str) -> bool {
    split(list).any(|listed| listed == word)
}

fn words(text: &str) -> Vec<String> {
    text.unicode_words().map(str::to_lowercase).collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || *c == 'ー').collect()
}

const OPENERS: &str = "and or but so also then plus ok okay yes no";
const QUESTION_WORDS: &str = "how what when where which who whom whose why";
/// Of what? "What is the default?"
const RELATIONS: &str = "condition conditions deadline default difference exception exceptions limit maximum minimum price reason";
const AUXILIARIES: &str = "\
    am are can could did do does had has have is may might must shall should was were will would doesn't \
    isn't can't don't aren't";
const PREPOSITIONS: &str =
    "after at before by during for from in of on over per since to under until with within without";
/// What is asked for beside "how".
const MEASURES: &str = "big exactly far fast high large long low often old soon well";

const CHINESE_OPENERS: &str = "那么 那麼 还有 還有 另外 然后 然後 如果是 换成 換成 那";
const CHINESE_PRONOUNS: &str = "它 他 她 这 這 那 其 该 該 此 前者 后者 後者 上述 同样 同樣";
/// Words in which such a character is no pronoun.
const CHINESE_COMPOUNDS: &str = "\
    其他 其它 其中 其实 其實 其余 其餘 尤其 应该 應該 该怎 該怎 该如何 該如何 该不该 那么 那麼 因此 此外 \
    如此 这么 這麼 彼此 吉他";
const CHINESE_QUESTION_WORDS: &str = "\
    为什么 為什麼 什么时候 什麼時候 什么 什麼 怎么办 怎麼辦 怎么 怎麼 怎样 怎樣 如何 多少 多久 多长 多長 \
    多大 多高 几 幾 哪里 哪裡 哪些 哪个 哪個 哪 谁 誰 吗 嗎 能否 是否 有没有 有沒有";
const CHINESE_FILLERS: &str = "\
    请问 請問 什么时候 什麼時候 为什么 為什麼 有没有 有沒有 什么 什麼 怎么 怎麼 怎样 怎樣 如何 多少 多久 \
    多长 多長 哪里 哪裡 哪些 哪个 哪個 可以 能否 是否 需要 的 了 吗 嗎 呢 吧 啊 是 有 在 会 會 能 我 谁 誰 \
    几 幾";

const JAPANESE_OPENERS: &str = "それでは では じゃあ また ちなみに あと そして でも それなら なら";
const JAPANESE_PRONOUNS: &str =
    "それ その これ この あれ あの そこ ここ そちら こちら 彼 同じ 前者 後者 上記";
const JAPANESE_COMPOUNDS: &str =
    "それぞれ これから これまで ここ数 その他 そのまま このまま このサービス このシステム このプログラム";
const JAPANESE_QUESTION_WORDS: &str = "\
    どのように どのくらい どれくらい どうすれば どうして どうやって いくつ いくら どんな どの どう どこ どれ \
    どちら いつ なぜ 誰 だれ 何 なに なん とは";
const JAPANESE_FILLERS: &str = "\
    どのように どのくらい どれくらい どうすれば どうして どうやって いくつ いくら どんな どの どう どこ いつ \
    なぜ 教えてください ください ありますか できますか されますか しますか ますか ですか でしょうか ません \
    ます です まで から 場合 とは 誰 何 は が を に で と も へ の か";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_told_from_their_look_alikes() {
        for (text, needed) in [
            ("Why?", Need::Ellipsis),
            ("How long?", Need::Ellipsis),
            ("And how do I reset my password?", Need::Nothing),
            ("And how many?", Need::Ellipsis),
            ("Contractors?", Need::Ellipsis),
            ("S3 bucket policy", Need::Nothing),
            ("In which format are logs written?", Need::Nothing),
            ("How do employees submit their expenses?", Need::Nothing),
            ("When do they expire?", Need::Pronoun),
            ("How long does it take to ingest a file?", Need::Nothing),
            ("How long does it take?", Need::Pronoun),
            ("Is there a plan that covers dental care?", Need::Nothing),
            ("Who is responsible for that?", Need::Pronoun),
            ("Und in Frankreich?", Need::Ellipsis),
            ("其他文件格式支持吗？", Need::Nothing),
            ("它支持哪些格式？", Need::Pronoun),
            ("为什么？", Need::Ellipsis),
            ("それはいつですか", Need::Pronoun),
            ("それぞれの料金は何円ですか", Need::Nothing),
            ("法国呢？", Need::Ellipsis),
            ("", Need::Nothing),
        ] {
            assert_eq!(need(text), needed, "{text}");
        }
    }

    #[test]
    fn content_is_what_is_left_without_grammar_and_what_was_replaced() {
        let later = ["And in France?".to_owned()];
        assert_eq!(
            content("How many days of leave do I get in Germany per year?", &later),
            ["days", "leave", "year"]
        );
        assert_eq!(content("What is `top_k`?", &[]), ["top_k"]);
        assert_eq!(content("德国的年假有多少天？", &[]), ["德国", "年假", "天"]);
        assert_eq!(content("Azure の料金はいくらですか", &[]), ["Azure", "料金"]);
    }
}
