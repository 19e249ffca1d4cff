//! Whether a claim says the opposite of its passage: a negation on one side alone, or a word against its antonym.

use std::collections::BTreeSet;

use super::words::{Terms, is_kana, is_unspaced};

const NEGATORS: &[&str] = &[
    "not", "no", "never", "cannot", "without", "neither", "nor", "none", "nobody", "nothing", "hardly",
    "except", "nicht", "kein", "keine", "keinen", "keiner", "keinem", "nie", "niemals", "ohne", "pas",
    "jamais", "sans", "aucun", "aucune", "nunca", "sin", "ningún", "ninguna", "jamás",
];
/// "No later than" is a bound and no negation.
const BOUNDS: &[&str] = &[
    "only",
    "later",
    "more",
    "less",
    "fewer",
    "longer",
    "earlier",
    "solo",
    "nur",
    "seulement",
    "mehr",
    "más",
    "plus",
];
/// Words that hold a negation of their own: with one of them a lone "not" on the other side may say the same.
const NEGATIVE: &[&str] = &[
    "forbid",
    "forbidden",
    "prohibit",
    "ban",
    "refus",
    "lack",
    "fail",
    "exclud",
    "deny",
    "deni",
    "closed",
    "clos",
    "unabl",
    "avoid",
    "absent",
    "verboten",
    "interdit",
    "interdite",
    "prohibido",
    "prohibida",
    "reject",
    "declin",
];
/// Stems that cannot both be true of one thing.
const ANTONYMS: &[(&str, &str)] = &[
    ("more", "less fewer"),
    ("before", "after"),
    ("increas rise rises grow grew rose", "decreas reduc fall fell drop lower shrink"),
    ("least minimum", "most maximum"),
    ("allow permit permitted welcome may", "forbid forbidden prohibit ban banned"),
    ("open opens", "closed clos"),
    ("includ", "exclud"),
    ("abov over exceed", "below under"),
    ("first", "last"),
    ("rais raise", "lower"),
    ("early earlier earliest", "late later latest"),
    ("mandatory required requir compulsory must", "optional voluntary"),
    ("higher highest high", "lower lowest low"),
    ("faster fast fastest", "slower slow slowest"),
    ("start begin", "end finish stop"),
    ("accept", "reject refus declin"),
    ("enabl", "disabl"),
    ("import", "export"),
    ("buy", "sell"),
    ("gain", "los lost"),
    ("hot hotter heat warm warmer", "cold colder cool cooler"),
    ("left", "right"),
    ("north northern", "south southern"),
    ("east eastern", "west western"),
    ("insid indoor indoors", "outsid outdoor outdoors"),
    ("always", "never"),
    ("internal", "external"),
    ("add", "remov delet"),
    ("public", "privat"),
    ("weekday", "weekend"),
    ("morning", "evening afternoon"),
    ("daily", "weekly monthly yearly annually"),
    ("weekly", "monthly yearly annually"),
    ("monthly", "yearly annually"),
    ("oldest older", "newest newer youngest"),
    ("arriv arrival", "depart departur leav"),
    ("entry entranc enter", "exit"),
    ("larger bigger largest large", "smaller smallest small"),
    ("longer longest long", "shorter shortest short"),
    ("cheaper cheapest cheap", "expensiv dearer"),
    ("heavier heavy", "lighter light"),
    ("summer", "winter"),
    ("upper top", "bottom"),
    ("absorb", "emit releas reflect"),
    ("attract", "repel"),
    ("expand", "contract shrink"),
    ("approv", "deny reject"),
    ("lock", "unlock"),
    ("wet", "dry"),
    ("temporary", "permanent"),
    ("manual manually", "automatic automatically"),
    ("up", "down"),
    ("with", "without"),
    ("sender", "recipient receiver"),
    ("stronger strongest", "weaker weakest"),
    ("soft softer", "hard harder"),
    ("free", "paid charg fee cost"),
    ("deeper deep", "shallower shallow"),
    ("domestic", "international abroad"),
    ("odd", "even"),
    ("full", "empty"),
    ("safe", "dangerous unsafe"),
    ("raw", "cooked"),
    ("clockwise", "counterclockwise anticlockwise"),
    ("possible", "impossible"),
    ("vor", "nach"),
    ("mindestens", "höchstens"),
    ("erlaubt gestattet", "verboten untersagt"),
    ("geöffnet", "geschlossen"),
    ("steigt erhöht", "sinkt gesenkt"),
    ("avant", "après"),
    ("moins minimum", "plus maximum"),
    ("ouvert ouverte", "fermé fermée"),
    ("autorisé autorisée permis", "interdit interdite"),
    ("gratuit gratuite", "payant payante"),
    ("antes", "después"),
    ("más", "menos"),
    ("abierto abierta", "cerrado cerrada"),
    ("permitido permitida", "prohibido prohibida"),
    ("gratis gratuito gratuita", "pago"),
    ("kostenlos", "kostenpflichtig"),
];
const UNSPACED_ANTONYMS: &[(&str, &str)] = &[
    ("之前 以前 前に 前まで", "之后 以后 以降 後に"),
    ("增加 上升 提高 増加 上昇 増え", "减少 下降 降低 減少 低下 減り 減る"),
    ("以上", "以下 未満 不足"),
    ("至少 不少于 少なくとも 最低", "至多 最多 不超过 多くとも 最大"),
    ("允许 可以 許可 可能", "禁止 不可 不得"),
    ("最高 最大", "最低 最小"),
    ("高于 高い", "低于 低い"),
    ("开放 开门", "关闭 关门"),
    ("免费 無料", "收费 付费 有料"),
    ("必须 必須 必要", "可选 任意 不要 自愿"),
    ("上午 午前", "下午 午後"),
    ("包括 包含 含む 含まれ", "不包括 不含 除く 含まれま"),
    ("大于 长于 多于", "小于 短于 少于"),
    ("冷", "热 熱"),
    ("左", "右"),
    ("东 東", "西"),
    ("南", "北"),
    ("室内 屋内", "室外 屋外"),
    ("早い 早く", "遅い 遅く"),
    ("夏", "冬"),
    ("平日 工作日", "周末 週末 土日"),
    ("每天 毎日", "每周 毎週 每月 毎月"),
    ("每周 毎週", "每月 毎月 每年 毎年"),
    ("自动 自動", "手动 手動"),
    ("公開 公开", "非公開 保密"),
    ("吸收 吸収", "释放 放出"),
    ("膨胀 膨張", "收缩 収縮"),
    ("开始 開始", "结束 終了"),
    ("入口", "出口"),
    ("第一", "最后"),
    ("強い 强", "弱い 弱"),
];

/// `quote` is what the passage says on the claim's matter.
pub fn opposed(claim: &str, quote: &str) -> bool {
    if claim.chars().filter(|c| is_unspaced(*c)).count() * 3 > claim.chars().count() {
        return unspaced_opposed(claim, quote);
    }
    let (claim, quote) = (Sides::of(claim), Sides::of(quote));
    let excused = |one: &Sides, other: &Sides| other.negative && !one.negative;
    let lone = |one: &Sides, other: &Sides| {
        !excused(one, other)
            && one.scopes.len() != other.scopes.len()
            && one.scopes.iter().any(|scope| {
                let shared: Vec<&String> = scope.iter().filter(|word| other.all.contains(*word)).collect();
                !shared.is_empty()
                    && shared.len() * 2 >= scope.len()
                    && !shared
                        .iter()
                        .any(|word| other.negated.contains(*word) || other.all.contains(&format!("un{word}")))
            })
    };
    if lone(&claim, &quote) || lone(&quote, &claim) {
        return true;
    }
    let balanced = claim.negated.is_empty() == quote.negated.is_empty();
    let says = |side: &Sides, list: &str| list.split(' ').any(|word| side.all.contains(word));
    let against = |one: &str, other: &str| {
        says(&claim, one) && !says(&claim, other) && says(&quote, other) && !says(&quote, one)
    };
    balanced && ANTONYMS.iter().any(|(one, other)| against(one, other) || against(other, one))
}

/// The words of a sentence, and which of them a negation stands in front of.
struct Sides {
    all: BTreeSet<String>,
    negated: BTreeSet<String>,
    scopes: Vec<BTreeSet<String>>,
    negative: bool,
}

impl Sides {
    fn of(text: &str) -> Self {
        const SCOPE: usize = 4;
        let lower = text.to_lowercase().replace('’', "'");
        let mut sides =
            Self { all: BTreeSet::new(), negated: BTreeSet::new(), scopes: Vec::new(), negative: false };
        let mut open: Option<BTreeSet<String>> = None;
        let words: Vec<&str> = lower.split_whitespace().collect();
        for (at, raw) in words.iter().enumerate() {
            let word = raw.trim_matches(|c: char| !c.is_alphanumeric());
            let stems: Vec<String> = Terms::of(word).words.into_iter().collect();
            sides.all.extend(stems.iter().cloned());
            sides.all.insert(word.to_owned());
            sides.negative |=
                stems.iter().any(|stem| NEGATIVE.contains(&stem.as_str())) || NEGATIVE.contains(&word);
            let next = words.get(at + 1).map_or("", |next| next.trim_matches(|c: char| !c.is_alphanumeric()));
            let negator = (NEGATORS.contains(&word) || word.ends_with("n't")) && !BOUNDS.contains(&next);
            if negator || word == "but" {
                sides.scopes.extend(open.take());
            }
            if negator {
                open = Some(BTreeSet::new());
            } else if let Some(scope) = &mut open
                && !super::language::is_function_word(word)
            {
                scope.extend(stems);
            }
            if raw.ends_with([',', ';', ':', '.']) || open.as_ref().is_some_and(|scope| scope.len() >= SCOPE)
            {
                sides.scopes.extend(open.take());
            }
        }
        sides.scopes.extend(open);
        sides.scopes.retain(|scope| !scope.is_empty());
        sides.negated = sides.scopes.iter().flatten().cloned().collect();
        sides
    }
}

fn unspaced_opposed(claim: &str, quote: &str) -> bool {
    let clause = nearest_clause(claim, quote);
    let against = |one: &str, other: &str| {
        let says = |text: &str, list: &str| list.split(' ').any(|word| text.contains(word));
        says(claim, one) && !says(claim, other) && says(&clause, other) && !says(&clause, one)
    };
    let antonyms = UNSPACED_ANTONYMS.iter().any(|(one, other)| against(one, other) || against(other, one));
    antonyms || negations(claim).is_multiple_of(2) != negations(&clause).is_multiple_of(2)
}

/// The part of the quote between commas that shares most with the claim; all of it for a claim of parts.
fn nearest_clause(claim: &str, quote: &str) -> String {
    let commas = ['，', '、', '；', '。', ';', ','];
    if claim.trim_end_matches(commas).contains(['，', '；', ';']) {
        return quote.to_owned();
    }
    let own = Terms::of(claim);
    let share = |clause: &&str| Terms::of(clause).covered_by(&own).unwrap_or(0.0);
    let clauses = quote.split(['，', '；', '。', ';', ',']).filter(|clause| clause.chars().count() >= 4);
    clauses.max_by(|a, b| share(a).total_cmp(&share(b))).unwrap_or(quote).to_owned()
}

fn negations(text: &str) -> usize {
    const HARMLESS: &[&str] = &[
        "不仅",
        "不但",
        "不少于",
        "不超过",
        "不晚于",
        "不同",
        "不过",
        "無料",
        "少なくとも",
        "未満",
        "无论",
        "非常",
        "なければなりません",
        "なければならない",
        "不锈",
        "无线",
        "無線",
        "不断",
        "必不可少",
        "かもしれない",
    ];
    let mut text = text.to_owned();
    for phrase in HARMLESS {
        text = text.replace(phrase, "〓");
    }
    if text.chars().any(is_kana) {
        const JAPANESE: &[&str] = &["ない", "ません", "なく", "なかった", "禁止", "不可", "ず、", "ずに"];
        return JAPANESE.iter().map(|word| text.matches(word).count()).sum::<usize>().min(1);
    }
    const CHINESE: &[&str] = &["不", "没", "無", "无", "未", "禁止", "勿", "别"];
    CHINESE.iter().map(|word| text.matches(word).count()).sum::<usize>().min(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_negation_and_an_antonym_oppose() {
        for (claim, quote) in [
            ("Guests may not use the pool.", "Guests may use the pool."),
            ("Visitors can park in the yard.", "Visitors cannot park in the yard."),
            ("The shop opens before noon.", "The shop opens after noon."),
            ("Pressure rises with at least 3 bar.", "Pressure rises with at most 3 bar."),
            ("Hunde sind im Garten erlaubt.", "Hunde sind im Garten nicht erlaubt."),
            ("会员可以带客人。", "会员不可以带客人。"),
            ("会議室は予約できます。", "会議室は予約できません。"),
            ("気温は上昇します。", "気温は低下します。"),
        ] {
            assert!(opposed(claim, quote), "{claim} / {quote}");
            assert!(opposed(quote, claim), "{quote} / {claim}");
            assert!(!opposed(claim, claim), "{claim}");
        }
    }

    #[test]
    fn a_negation_of_something_else_and_two_ways_of_saying_no_do_not() {
        for (claim, quote) in [
            ("Members may bring guests.", "Members may bring guests, but children are not admitted."),
            ("Smoking is forbidden.", "Smoking is not allowed."),
            ("Reports are due by Friday.", "Reports are due no later than Friday."),
            ("The pool is not open on Sunday.", "The pool is closed on Sunday."),
            ("馆内禁止拍照。", "馆内不得拍照。"),
            ("館内は撮影禁止です。", "館内では撮影できません。"),
        ] {
            assert!(!opposed(claim, quote), "{claim} / {quote}");
        }
    }
}
