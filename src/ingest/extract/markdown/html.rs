//! HTML inside Markdown: comments go, tags go, text stays.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// Only what CommonMark takes for HTML is touched, so code keeps its angle brackets; and only elements
/// that HTML has, so `Vec<String>` and `<your-bucket>` in prose stay what the reader sees.
pub(super) fn strip(body: &str) -> String {
    if !body.contains('<') {
        return body.to_owned();
    }
    let mut text = String::with_capacity(body.len());
    let mut copied = 0;
    for range in html_ranges(body) {
        text.push_str(&body[copied..range.start]);
        strip_tags(&body[range.clone()], &mut text);
        copied = range.end;
    }
    text.push_str(&body[copied..]);
    text
}

/// In order and apart from each other.
fn html_ranges(body: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut block: Option<usize> = None;
    for (event, range) in Parser::new_ext(body, super::options()).into_offset_iter() {
        match event {
            Event::Start(Tag::HtmlBlock) => block = Some(range.start),
            Event::End(TagEnd::HtmlBlock) => {
                if let Some(start) = block.take() {
                    ranges.push(start..range.end);
                }
            }
            Event::InlineHtml(_) if block.is_none() => ranges.push(range),
            _ => {}
        }
    }
    // Parsers give nested things in any order; overlapping ranges would copy text twice.
    ranges.sort_by_key(|range| range.start);
    let mut end = 0;
    ranges.retain(|range| {
        let apart = range.start >= end;
        if apart {
            end = range.end;
        }
        apart
    });
    ranges
}

fn strip_tags(html: &str, text: &mut String) {
    let lower = html.to_ascii_lowercase();
    let ends = Ends::of(&lower);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match markup(rest, &lower, &ends) {
            Some((length, between)) => {
                let line = text.trim_end_matches([' ', '\t']).len();
                if line == 0 || text[..line].ends_with('\n') {
                    text.truncate(line);
                }
                // A tag between words separates them, one at a line's start leaves no indent: that would mean code.
                if !(text.is_empty() || text.ends_with(['\n', ' '])) {
                    text.push_str(between);
                }
                rest = &rest[length..];
                if text.is_empty() || text.ends_with('\n') {
                    rest = rest.trim_start_matches([' ', '\t']);
                }
            }
            None => {
                text.push('<');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
}

/// Where the last ends stand that are searched for from many places: none behind them need be searched, and a
/// file of openings without ends is not read to its end for each of them.
struct Ends {
    comment: usize,
    script: usize,
    style: usize,
}

impl Ends {
    fn of(lower: &str) -> Self {
        let last = |mark: &str| lower.rfind(mark).unwrap_or(0);
        Self { comment: last("-->"), script: last("</script>"), style: last("</style>") }
    }
}

/// The length of the markup at the start of `rest`, and what stands for it; `lower` is the whole in lower case.
fn markup(rest: &str, lower: &str, ends: &Ends) -> Option<(usize, &'static str)> {
    let at = lower.len() - rest.len();
    let end = |from: usize, mark: &str, last: usize| {
        (at + from <= last)
            .then(|| lower[at + from..].find(mark).map(|end| from + end + mark.len()))
            .flatten()
    };
    let lower = &lower[at..];
    if rest.starts_with("<!--") {
        // Without an end the rest of the file would be lost: the mark alone goes.
        return Some((end(4, "-->", ends.comment).unwrap_or(4), ""));
    }
    let name = lower[1..].trim_start_matches('/');
    let name = &name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())];
    let inline = INLINE.contains(&name);
    if !inline && !BLOCK.contains(&name) {
        return None;
    }
    let length = tag_end(rest)?;
    let close = match name {
        _ if lower.starts_with("</") => None,
        "script" => end(length, "</script>", ends.script),
        "style" => end(length, "</style>", ends.style),
        _ => None,
    };
    Some((close.unwrap_or(length), if inline { "" } else { " " }))
}

/// Behind the `>` that ends the tag; quoted values may hold one.
fn tag_end(tag: &str) -> Option<usize> {
    const MOST_CHARS: usize = 4096;
    let mut quote = None;
    for (at, c) in tag.char_indices().take(MOST_CHARS) {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('>', None) => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Elements that stand within a word or a line.
const INLINE: [&str; 28] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "img", "ins",
    "kbd", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "u", "var",
];

/// Elements that separate what is before from what is after, without those whose names people put in angle
/// brackets as placeholders: label, source, object.
const BLOCK: [&str; 52] = [
    "article",
    "aside",
    "audio",
    "blockquote",
    "body",
    "br",
    "button",
    "caption",
    "center",
    "col",
    "colgroup",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "embed",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "iframe",
    "input",
    "li",
    "meta",
    "nav",
    "ol",
    "p",
    "picture",
    "pre",
    "script",
    "section",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "tr",
    "ul",
    "video",
    "wbr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_except_in_code() {
        assert_eq!(strip("a <!-- secret --> b\n\n<!--\nmore\n\nsecrets\n-->\n\nc"), "a  b\n\n\n\nc");
        let code = "```html\n<!-- shown --><b>x</b>\n```\n\nand `<!-- too -->`";
        assert_eq!(strip(code), code);
    }

    #[test]
    fn tags_go_and_their_text_stays() {
        assert_eq!(strip("H<sub>2</sub>O and <b>bold</b>"), "H2O and bold");
        assert_eq!(strip("<div align=\"center\">\n    <h1>Big</h1><p>word</p>\n</div>\n"), "\nBig word \n\n");
        assert_eq!(
            strip("| a<br>b | c |\n|---|---|\n| 1<br/>2 | 3 |"),
            "| a b | c |\n|---|---|\n| 1 2 | 3 |"
        );
        assert_eq!(strip("<p title=\"a > b\">x</p>"), "x ");
        assert_eq!(strip("<style>\np { color: red }\n</style>\n\ntext"), "\n\ntext");
    }

    #[test]
    fn angle_brackets_that_are_not_html_stay() {
        for text in ["a Vec<String> here", "copy to <your-bucket>", "1 < 2 > 0", "<https://example.com>"] {
            assert_eq!(strip(text), text);
        }
    }

    #[test]
    fn an_unclosed_comment_does_not_swallow_the_document() {
        assert!(strip("<!-- oops\n\nThe rest of it").contains("The rest of it"));
    }

    #[test]
    fn hostile_markup_takes_no_time() {
        let start = std::time::Instant::now();
        for unit in ["<", "<!--", "<div ", "<a href='", "[", "*a_ ", "`", "> ", "<script>", "|-", "- "] {
            strip(&unit.repeat(200_000 / unit.len()));
            strip(&format!("{}-->", unit.repeat(200_000 / unit.len())));
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }

    proptest::proptest! {
        #[test]
        fn no_input_breaks_it(text in "[<>!/a-dpé\"'`\n -]{0,80}") {
            strip(&text);
        }
    }
}
