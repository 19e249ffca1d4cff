//! Names of numbers, units and months in the languages that claims are checked in.

/// A unit of one kind; `factor` of its kind's base.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    pub kind: &'static str,
    pub factor: f64,
}

pub const ABOUT: &[&str] = &[
    "about",
    "around",
    "roughly",
    "nearly",
    "almost",
    "approximately",
    "approx",
    "over",
    "circa",
    "ca",
    "some",
    "close",
    "etwa",
    "rund",
    "ungefähr",
    "knapp",
    "fast",
    "environ",
    "près",
    "presque",
    "unos",
    "unas",
    "casi",
    "aproximadamente",
    "约",
    "約",
];
pub const TOTAL: &[&str] = &[
    "total",
    "together",
    "combined",
    "altogether",
    "insgesamt",
    "zusammen",
    "en tout",
    "合计",
    "总共",
    "一共",
    "合計",
    "全部で",
];

const UNITS: &[(&str, f64, &str)] = &[
    ("time", 1e-3, "ms millisecond milliseconds millisekunden ミリ秒 毫秒"),
    ("time", 1.0, "s sec secs second seconds sekunde sekunden seconde secondes segundo segundos 秒"),
    ("time", 60.0, "min mins minute minutes minuten minuto minutos 分 分钟 分間"),
    ("time", 3600.0, "h hr hrs hour hours stunde stunden heure heures hora horas 小时 時間"),
    ("time", 86400.0, "day days tag tage tagen jour jours día días 天 日間 日"),
    ("time", 604800.0, "week weeks woche wochen semaine semaines semana semanas 周 週間 星期"),
    ("month", 1.0, "month months monat monate monaten mois mes meses 个月 か月 ヶ月 カ月 月"),
    ("month", 3.0, "quarter quarters"),
    ("month", 12.0, "year years yr yrs jahr jahre jahren an ans année années año años 年 年间 年間"),
    ("length", 1e-3, "mm millimetre millimetres millimeter millimeters ミリ 毫米"),
    ("length", 1e-2, "cm centimetre centimetres centimeter centimeters センチ 厘米"),
    ("length", 1.0, "m metre metres meter meters mètre mètres metro metros メートル 米"),
    ("length", 1e3, "km kilometre kilometres kilometer kilometers kilomètres kilómetros キロ 公里"),
    ("mile", 1.0, "mile miles meile meilen"),
    ("foot", 1.0, "foot feet ft"),
    ("mass", 1e-3, "mg milligram milligrams"),
    ("mass", 1.0, "g gram grams gramm grammes gramos グラム 克"),
    ("mass", 1e3, "kg kilo kilos kilogram kilograms kilogramm キログラム 公斤 千克"),
    ("mass", 1e6, "t tonne tonnes ton tons tonnen トン 吨"),
    ("pound", 1.0, "lb lbs pound pounds"),
    ("volume", 1e-3, "ml millilitre millilitres milliliter milliliters 毫升"),
    ("volume", 1.0, "l litre litres liter liters litros リットル 升"),
    ("bytes", 1e3, "kb kilobyte kilobytes"),
    ("bytes", 1e6, "mb megabyte megabytes"),
    ("bytes", 1e9, "gb gigabyte gigabytes"),
    ("bytes", 1e12, "tb terabyte terabytes"),
    ("share", 1.0, "% percent percentage prozent パーセント"),
    ("celsius", 1.0, "°c celsius degrees degree grad degrés grados 度 摄氏度"),
    ("fahrenheit", 1.0, "°f fahrenheit"),
    ("power", 1.0, "w watt watts"),
    ("power", 1e3, "kw kilowatt kilowatts"),
    ("power", 1e6, "mw megawatt megawatts"),
    ("volt", 1.0, "v volt volts"),
    ("hertz", 1.0, "hz hertz"),
    ("hertz", 1e3, "khz"),
    ("hertz", 1e6, "mhz"),
    ("hertz", 1e9, "ghz"),
];

pub fn unit(name: &str) -> Option<Unit> {
    let among = |list: &str| list.split(' ').any(|known| known == name);
    UNITS.iter().find(|(_, _, list)| among(list)).map(|(kind, factor, _)| Unit { kind, factor: *factor })
}

pub fn currency(name: &str) -> Option<Unit> {
    let kind = match name {
        "$" | "usd" | "dollar" | "dollars" => "dollar",
        "€" | "eur" | "euro" | "euros" => "euro",
        "£" | "gbp" => "sterling",
        "¥" | "jpy" | "yen" | "円" => "yen",
        "元" | "cny" | "yuan" => "yuan",
        _ => return None,
    };
    Some(Unit { kind, factor: 1.0 })
}

pub fn multiplier(name: &str) -> Option<f64> {
    Some(match name {
        "hundred" | "百" => 1e2,
        "thousand" | "k" | "tausend" | "mille" | "mil" | "千" => 1e3,
        "dozen" => 12.0,
        "万" | "萬" => 1e4,
        "million" | "millions" | "m" | "mio" | "millionen" | "millón" | "millones" => 1e6,
        "亿" | "億" => 1e8,
        "billion" | "billions" | "bn" | "milliarde" | "milliarden" | "milliard" | "milliards" => 1e9,
        _ => return None,
    })
}

/// The values that digits with separators can mean.
pub fn readings(text: &str) -> Vec<f64> {
    let groups = |mark: char| {
        let mut parts = text.split(mark);
        let first = parts.next().unwrap_or_default();
        let mut rest = parts.peekable();
        (1..=3).contains(&first.len())
            && rest.peek().is_some()
            && rest.all(|part| part.split(['.', ',']).next().is_some_and(|p| p.len() == 3))
    };
    let mut values = Vec::new();
    let mut add = |text: String| values.extend(text.parse::<f64>().ok().filter(|value| value.is_finite()));
    add(text.to_owned());
    for (group, point) in [(',', '.'), ('.', ',')] {
        if groups(group) {
            add(text.replace(group, "").replace(point, "."));
        }
    }
    if !groups(',') {
        add(text.replacen(',', ".", 1));
    }
    values.dedup();
    values
}

const ONES: &[&str] = &[
    "zero null zéro cero",
    "one eins un une uno una",
    "two zwei deux dos twice",
    "three drei trois tres",
    "four vier quatre cuatro",
    "five fünf cinq cinco",
    "six sechs seis",
    "seven sieben sept siete",
    "eight acht huit ocho",
    "nine neun neuf nueve",
    "ten zehn dix diez",
    "eleven elf onze once",
    "twelve zwölf douze doce",
    "thirteen dreizehn treize trece",
    "fourteen vierzehn quatorze catorce",
    "fifteen fünfzehn quinze quince",
    "sixteen sechzehn seize",
    "seventeen siebzehn",
    "eighteen achtzehn",
    "nineteen neunzehn",
    "twenty zwanzig vingt veinte",
];
const TENS: &[(&str, f64)] = &[
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("dreißig", 30.0),
    ("trente", 30.0),
    ("treinta", 30.0),
    ("forty", 40.0),
    ("vierzig", 40.0),
    ("quarante", 40.0),
    ("cuarenta", 40.0),
    ("fifty", 50.0),
    ("fünfzig", 50.0),
    ("cinquante", 50.0),
    ("cincuenta", 50.0),
    ("sixty", 60.0),
    ("sechzig", 60.0),
    ("soixante", 60.0),
    ("sesenta", 60.0),
    ("seventy", 70.0),
    ("eighty", 80.0),
    ("ninety", 90.0),
    ("neunzig", 90.0),
    ("noventa", 90.0),
    ("hundred", 100.0),
];

/// A number in words: its values, how many tokens it takes, and whether it may be no number at all.
pub fn spelled<'a>(token: impl Fn(usize) -> Option<&'a str>) -> Option<(Vec<f64>, usize, bool)> {
    let word = token(0)?;
    let ones = |word: &str| {
        ONES.iter().position(|list| list.split(' ').any(|known| known == word)).map(|value| value as f64)
    };
    match word {
        "half" => return Some((vec![0.5, 50.0], 1, true)),
        "quarter" => return Some((vec![0.25, 25.0], 1, true)),
        "third" => return Some((vec![1.0 / 3.0, 33.0, 3.0], 1, true)),
        _ => {}
    }
    if let Some((_, tens)) = TENS.iter().find(|(name, _)| *name == word) {
        let at = if token(1) == Some("-") { 2 } else { 1 };
        return match token(at).and_then(ones).filter(|value| (1.0..10.0).contains(value)) {
            Some(value) => Some((vec![tens + value], at + 1, false)),
            None => Some((vec![*tens], 1, false)),
        };
    }
    // "One", "un" and "once" (eleven in Spanish) are mostly no numbers.
    let vague = ["one", "un", "une", "uno", "una", "once", "null", "elf", "acht", "neuf"].contains(&word);
    ones(word).map(|value| (vec![value], 1, vague || value < 2.0))
}

const HAN: &str = "〇一二三四五六七八九";

pub fn is_han_digit(text: &str) -> bool {
    HAN.contains(text) || ["十", "百", "千", "两", "零"].contains(&text)
}

/// 二十五 is 25.
pub fn han(text: &str) -> Option<f64> {
    let (mut sum, mut digit, mut any) = (0.0, 0.0, false);
    for c in text.chars() {
        any = true;
        let factor = match c {
            '十' => 10.0,
            '百' => 100.0,
            '千' => 1000.0,
            '零' => 0.0,
            '两' => {
                digit = 2.0;
                continue;
            }
            _ => {
                digit = HAN.chars().position(|known| known == c)? as f64;
                continue;
            }
        };
        sum += if digit == 0.0 { factor } else { digit * factor };
        digit = 0.0;
    }
    any.then_some(sum + digit)
}

const MONTHS: &[&str] = &[
    "january jan januar janvier enero",
    "february feb februar février febrero",
    "march mar märz mars marzo",
    "april apr avril abril",
    "may mai mayo",
    "june jun juni juin junio",
    "july jul juli juillet julio",
    "august aug août agosto",
    "september sep sept septembre septiembre",
    "october oct oktober octobre octubre",
    "november nov novembre noviembre",
    "december dec dezember décembre diciembre",
];

pub fn month(lower: &str, written: &str) -> Option<u32> {
    // "may" and "march" are verbs, "mar" is a sea.
    let named = written.chars().next().is_some_and(char::is_uppercase)
        || !["may", "march", "mar", "mars", "mai"].contains(&lower);
    let at = MONTHS.iter().position(|list| list.split(' ').any(|known| known == lower)).filter(|_| named)?;
    Some(at as u32 + 1)
}
