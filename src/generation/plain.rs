//! A sentence as it is shown: without Markdown's marks, on one line.

use pulldown_cmark::{Event, Options, Parser, Tag};

use super::{
    sentences::{Kind, Sentence},
    words::is_unspaced,
};

/// How a sentence of this source reads in an answer. Reference marks such as `[3]` go, as they would
/// pass for citations; a table row is spelled out with the head of its table.
pub fn plain(sentence: &Sentence<'_>, source: &str) -> String {
    let unmarked = |text: &str| {
        let literal = [".pdf", ".txt", ".text"].iter().any(|ending| source.to_lowercase().ends_with(ending));
        without_references(&one_line(&if literal { text.to_owned() } else { without_markdown(text) }))
    };
    match sentence.kind {
        Kind::Code => sentence.text.to_owned(),
        Kind::TableRow { head } => row(sentence.text, head, unmarked),
        Kind::TableHead => cells(sentence.text).map(unmarked).collect::<Vec<_>>().join(", "),
        Kind::Prose | Kind::Heading => unmarked(sentence.text),
    }
}

/// Joins lines: with a space, but with nothing between characters that are written without spaces.
pub fn one_line(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let glue = joined.chars().next_back().is_some_and(wide) && word.chars().next().is_some_and(wide);
        if !(joined.is_empty() || glue) {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

fn wide(c: char) -> bool {
    (is_unspaced(c) && !matches!(c, '\u{0E00}'..='\u{17FF}' | '\u{AC00}'..='\u{D7AF}'))
        || matches!(c, '\u{3000}'..='\u{303F}' | '\u{FF00}'..='\u{FFEF}')
}

/// "Full time – Days: 25; Notice: 4 weeks".
fn row(text: &str, head: Option<&str>, unmarked: impl Fn(&str) -> String) -> String {
    let names: Vec<String> = head.map(|head| cells(head).map(&unmarked).collect()).unwrap_or_default();
    let mut cells = cells(text).map(&unmarked).enumerate();
    let Some((_, mut shown)) = cells.next() else { return String::new() };
    let mut first = true;
    for (column, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
        shown.push_str(if !first {
            "; "
        } else if shown.is_empty() {
            ""
        } else {
            " – "
        });
        first = false;
        if let Some(name) = names.get(column).filter(|name| !name.is_empty()) {
            shown.push_str(&format!("{name}: "));
        }
        shown.push_str(&cell);
    }
    shown
}

fn cells(row: &str) -> impl Iterator<Item = &str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    row.strip_suffix('|').unwrap_or(row).split('|').map(str::trim)
}

fn without_markdown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // The sentence was cut from its block, so nothing in it may open one.
    for (event, range) in Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH).into_offset_iter() {
        match event {
            Event::Text(words) | Event::Code(words) => shown.push_str(&words),
            Event::SoftBreak | Event::HardBreak => shown.push('\n'),
            // A generic such as Vec<String> is no tag.
            Event::Html(tag) | Event::InlineHtml(tag) if !is_tag(&tag) => shown.push_str(&tag),
            Event::Html(_) | Event::InlineHtml(_) => shown.push(' '),
            // The number or bullet that the parser took for a list's.
            Event::Start(Tag::Item) => shown.push_str(
                text.get(range).and_then(|item| item.split_inclusive(' ').next()).unwrap_or_default(),
            ),
            _ => {}
        }
    }
    let tasks = ["[ ] ", "[x] ", "[X] "];
    tasks.iter().find_map(|task| shown.strip_prefix(task)).map(str::to_owned).unwrap_or(shown)
}

fn is_tag(html: &str) -> bool {
    const TAGS: &[&str] = &[
        "a", "abbr", "b", "br", "code", "del", "div", "em", "font", "i", "img", "kbd", "li", "mark", "p",
        "s", "small", "span", "strong", "sub", "sup", "td", "th", "tr", "u", "ul",
    ];
    let name: String =
        html.trim_start_matches(['<', '/']).chars().take_while(char::is_ascii_alphanumeric).collect();
    html.starts_with("<!--") || TAGS.contains(&name.to_ascii_lowercase().as_str())
}

fn without_references(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let inside = &rest[open + 1..];
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        if (1..=3).contains(&digits) && inside[digits..].starts_with(']') {
            shown.push_str(rest[..open].trim_end());
            rest = &inside[digits + 1..];
        } else {
            shown.push_str(&rest[..=open]);
            rest = inside;
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::sentences::sentences;

    fn shown(text: &str) -> Vec<String> {
        sentences(text).iter().map(|sentence| plain(sentence, "a.md")).collect()
    }

    #[test]
    fn marks_links_tags_and_references_go() {
        for (text, expected) in [
            ("Use **bold** and *soft* `code` here.", "Use bold and soft code here."),
            ("See the [guide](https://x.example/y \"t\") now.", "See the guide now."),
            ("![logo](x.png) Logo first.", "logo Logo first."),
            ("Keep snake_case and Vec<String> as they are.", "Keep snake_case and Vec<String> as they are."),
            ("One<br>two, <b>three</b>.", "One two, three ."),
            ("Founded in 1990.[3]", "Founded in 1990."),
            ("- [ ] Open task", "Open task"),
            ("> Quoted words.", "Quoted words."),
            (
                "全职员工在每个自然年度内享有的带薪年假\n为25天。",
                "全职员工在每个自然年度内享有的带薪年假为25天。",
            ),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(shown(text), [expected], "{text}");
        }
    }

    #[test]
    fn a_row_is_spelled_out_with_its_head() {
        let rows = shown(
            "| Plan | Days | Notice |\n|---|---|---|\n| Full time | **25** | 4 weeks |\n| Part | | 2 |",
        );
        assert_eq!(rows[1..], ["Full time – Days: 25; Notice: 4 weeks", "Part – Notice: 2"]);
        assert_eq!(shown("| a | b |"), ["a – b"]);
    }

    #[test]
    fn plain_text_is_taken_as_it_is() {
        let sentence = sentences("Width is 5*3*2 cm.")[0];
        assert_eq!(plain(&sentence, "Notes.TXT"), "Width is 5*3*2 cm.");
    }
}
