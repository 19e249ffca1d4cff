//! Cuts a passage or an answer into sentences that know where they stand.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// What a sentence is made of; decides how it is shown and whether it can answer anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    Prose,
    Heading,
    TableHead,
    /// A row with the head of its table, where that stands in the same text.
    TableRow {
        head: Option<&'a str>,
    },
    /// A whole fenced block, fences included.
    Code,
}

/// A stretch of the text, verbatim; bullets and heading marks in front of it are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence<'a> {
    pub text: &'a str,
    /// In Unicode scalar values: `start..end`.
    pub start: usize,
    pub end: usize,
    pub kind: Kind<'a>,
}

/// Longer ones are cut, so that a quote stays a quote where a text has no punctuation.
const MAX_SENTENCE_CHARS: usize = 500;
/// Bounds the look-ahead of the sentence rules, which is quadratic on hostile text.
const MAX_PIECE_CHARS: usize = 2_000;

/// Sentences in reading order, never overlapping, never blank.
pub fn sentences(text: &str) -> Vec<Sentence<'_>> {
    let mut cutter = Cutter { text, spans: Vec::new(), block: None };
    cutter.run();
    let (mut at, mut chars) = (0, 0);
    cutter
        .spans
        .into_iter()
        .map(|(span, kind)| {
            let start = chars + text[at..span.start].chars().count();
            let end = start + text[span.clone()].chars().count();
            (at, chars) = (span.end, end);
            Sentence { text: &text[span], start, end, kind }
        })
        .collect()
}

struct Cutter<'a> {
    text: &'a str,
    spans: Vec<(Range<usize>, Kind<'a>)>,
    /// The paragraph or list item being gathered.
    block: Option<Range<usize>>,
}

impl<'a> Cutter<'a> {
    fn run(&mut self) {
        let mut lines = Vec::new();
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            lines.push((at, line));
            at += line.len();
        }
        // A fence that never closes is most likely the lower end of a block that the chunker cut.
        let mut fences = true;
        let mut table_head = None;
        let mut i = 0;
        while let Some(&(at, line)) = lines.get(i) {
            i += 1;
            let shape = shape(line);
            if !matches!(shape, Shape::Row | Shape::Rule) {
                table_head = None;
            }
            match shape {
                Shape::Text => self.extend(at..at + line.len()),
                Shape::Item(marker) => {
                    self.flush();
                    self.block = Some(at + marker..at + line.len());
                }
                Shape::Blank => self.flush(),
                Shape::Heading(marker) => {
                    self.flush();
                    self.push(at + marker..at + line.len(), Kind::Heading);
                }
                Shape::Row => {
                    self.flush();
                    self.push(at..at + line.len(), Kind::TableRow { head: table_head });
                }
                Shape::Rule => {
                    if let Some(block) = self.block.take() {
                        self.heading_or_paragraph(block);
                    } else if let Some((span, kind @ Kind::TableRow { head: None })) = self.spans.last_mut()
                        && line.contains('|')
                    {
                        *kind = Kind::TableHead;
                        table_head = Some(&self.text[span.clone()]);
                    }
                }
                Shape::Fence(mark) => {
                    self.flush();
                    let close =
                        lines[i..].iter().position(|(_, line)| line.trim() == mark).filter(|_| fences);
                    fences = close.is_some();
                    if let Some(offset) = close {
                        let (end_at, end_line) = lines[i + offset];
                        self.push(at..end_at + end_line.len(), Kind::Code);
                        i += offset + 1;
                    }
                }
            }
        }
        self.flush();
    }

    fn extend(&mut self, line: Range<usize>) {
        match &mut self.block {
            Some(block) => block.end = line.end,
            None => self.block = Some(line),
        }
    }

    /// A line over a rule is a heading; several lines over one are a paragraph.
    fn heading_or_paragraph(&mut self, block: Range<usize>) {
        if self.text[block.clone()].trim().contains('\n') {
            self.paragraph(block);
        } else {
            self.push(block, Kind::Heading);
        }
    }

    fn flush(&mut self) {
        if let Some(block) = self.block.take() {
            self.paragraph(block);
        }
    }

    /// Lines of one paragraph: wrapped ones belong together, short ones (titles, addresses, the
    /// rows of a table whose lines were lost) stand alone.
    fn paragraph(&mut self, block: Range<usize>) {
        let text = &self.text[block.clone()];
        let widest = text.lines().map(width).max().unwrap_or(0);
        let mut run = 0..0;
        for line in text.split_inclusive('\n') {
            let short = run.end > 0 && {
                let previous = text[run.clone()].lines().next_back().unwrap_or_default().trim();
                // Columns of unspaced scripts are narrower.
                let column = if previous.ends_with(super::words::is_unspaced) { 24 } else { 40 };
                width(previous) * 2 < widest || widest < column
            };
            let fresh = line.trim_start().chars().next().is_some_and(|c| !c.is_lowercase());
            if short && fresh {
                self.prose(block.start + run.start..block.start + run.end);
                run.start = run.end;
            }
            run.end += line.len();
        }
        self.prose(block.start + run.start..block.start + run.end);
    }

    fn prose(&mut self, range: Range<usize>) {
        for piece in cut(self.text, range, MAX_PIECE_CHARS) {
            // The rules end a sentence at a line end; here it is only where the line was wrapped.
            let unwrapped = self.text[piece.clone()].replace(['\n', '\r'], " ");
            let mut start = 0;
            for (at, part) in unwrapped.split_sentence_bound_indices() {
                let Some(end) = boundary(&unwrapped, start, at + part.len()) else { continue };
                for sentence in cut(self.text, piece.start + start..piece.start + end, MAX_SENTENCE_CHARS) {
                    self.push(sentence, Kind::Prose);
                }
                start = end;
            }
        }
    }

    fn push(&mut self, range: Range<usize>, kind: Kind<'a>) {
        let text = &self.text[range.clone()];
        let start = range.start + (text.len() - text.trim_start().len());
        let end = range.start + text.trim_end().len();
        if start < end && text.chars().any(char::is_alphanumeric) {
            self.spans.push((start..end, kind));
        }
    }
}

enum Shape<'a> {
    Blank,
    Text,
    /// With the bytes of the bullet or number in front.
    Item(usize),
    /// With the bytes of the marks in front.
    Heading(usize),
    Row,
    /// `---`, `===` or `|---|`.
    Rule,
    Fence(&'a str),
}

fn shape(line: &str) -> Shape<'_> {
    let text = line.trim();
    let indent = line.len() - line.trim_start().len();
    if text.is_empty() {
        return Shape::Blank;
    }
    for mark in ["```", "~~~"] {
        if text.starts_with(mark) {
            return Shape::Fence(mark);
        }
    }
    if text.len() >= 3
        && text.chars().all(|c| "-=|:+ _*".contains(c))
        && text.chars().any(|c| "-=_*".contains(c))
    {
        return Shape::Rule;
    }
    let hashes = text.len() - text.trim_start_matches('#').len();
    if (1..=6).contains(&hashes) && text[hashes..].starts_with([' ', '\t', '\u{3000}']) {
        return Shape::Heading(indent + hashes);
    }
    if text.starts_with('|') || text.matches(" | ").count() >= 2 {
        return Shape::Row;
    }
    let mut chars = text.char_indices();
    if let (Some((_, first)), Some((second, space))) = (chars.next(), chars.next())
        && "-*+•·▪◦‣–●○■・".contains(first)
        && (space.is_whitespace() || "•●○■・".contains(first))
    {
        return Shape::Item(indent + second);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if (1..=3).contains(&digits) {
        let rest = &text[digits..];
        if let Some(mark) = rest.chars().next().filter(|c| ".)、．）".contains(*c)) {
            let after = &rest[mark.len_utf8()..];
            if "、．）".contains(mark) || after.starts_with(char::is_whitespace) {
                return Shape::Item(indent + digits + mark.len_utf8());
            }
        }
    }
    Shape::Text
}

/// Cells on a terminal, roughly: a full-width character takes two.
fn width(line: &str) -> usize {
    line.trim().chars().map(|c| if c >= '\u{2E80}' { 2 } else { 1 }).sum()
}

/// Cuts a range into pieces of at most `max` characters, after punctuation or a space where there is one.
fn cut(text: &str, range: Range<usize>, max: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = range.start;
    while let Some((over, _)) = text[start..range.end].char_indices().nth(max) {
        let head = &text[start..start + over];
        let at = head
            .rfind([';', '；', '，', '、', '。'])
            .or_else(|| head.rfind(char::is_whitespace))
            .filter(|at| at * 2 > over)
            .map_or(over, |at| at + head[at..].chars().next().map_or(0, char::len_utf8));
        pieces.push(start..start + at);
        start += at;
    }
    pieces.push(start..range.end);
    pieces
}

/// Where the sentence from `start` ends if the rules of Unicode end it at `end`; `None` when it goes on.
fn boundary(text: &str, start: usize, end: usize) -> Option<usize> {
    let sentence = text.get(start..end).filter(|sentence| !sentence.is_empty())?;
    let next = &text[end..];
    if next.is_empty() {
        return Some(end);
    }
    // The rules count an opening bracket behind the full stop to the sentence.
    let openers = ['「', '『', '（', '《', '“', '‘', '【', '[', '('];
    let body = sentence.trim_end_matches(openers);
    if body.len() < sentence.len() {
        if body.ends_with(['。', '！', '？', '」', '』', '”']) {
            return Some(start + body.len());
        }
        // A reference such as [3] belongs to what it follows; other brackets go on, as in ![image].
        let digits = next.bytes().take_while(u8::is_ascii_digit).count();
        return ((1..=3).contains(&digits) && next[digits..].starts_with(']')).then_some(end + digits + 1);
    }
    // As in `Create\.Type` of escaped Markdown.
    let inside_word = sentence.ends_with(['.', '!', '?']) && !next.starts_with(super::words::is_unspaced);
    let quoted = sentence.ends_with(['」', '』']) && next.starts_with(super::words::is_kana);
    let goes_on =
        inside_word || quoted || ends_in_abbreviation(sentence) || !next.chars().any(char::is_alphanumeric);
    (!goes_on).then_some(end)
}

/// After these a capital letter does not begin a sentence.
const ABBREVIATIONS: &[&str] = &[
    "e.g", "i.e", "cf", "vs", "dr", "mr", "mrs", "ms", "prof", "st", "no", "nos", "fig", "figs", "sec",
    "art", "approx", "incl", "eq", "vol", "pp", "al", "dept", "est", "z.b", "d.h", "bzw", "ca", "nr", "abs",
    "vgl", "usw", "sog", "inkl", "p.ex", "sra", "mme", "jan", "feb", "aug", "sept", "oct", "nov", "dec",
];

fn ends_in_abbreviation(sentence: &str) -> bool {
    let Some(stem) = sentence.trim_end().strip_suffix('.') else { return false };
    let word = stem.rsplit(|c: char| c.is_whitespace() || "([\"'“‘".contains(c)).next().unwrap_or(stem);
    let initials = !word.is_empty()
        && word.split('.').all(|part| part.len() == 1 && part.as_bytes()[0].is_ascii_alphabetic());
    // "I" ends sentences, other single letters are initials.
    (initials && word != "I") || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        let all = sentences(text);
        let chars: Vec<char> = text.chars().collect();
        for sentence in &all {
            assert_eq!(chars[sentence.start..sentence.end].iter().collect::<String>(), sentence.text);
        }
        all.into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn english_ends_at_full_stops_but_not_at_abbreviations() {
        assert_eq!(
            texts("Ask Dr. Lee, e.g. Monday. It takes 3.5 days! In the U.S. Army, no. OK?"),
            ["Ask Dr. Lee, e.g. Monday.", "It takes 3.5 days!", "In the U.S. Army, no. OK?"]
        );
    }

    #[test]
    fn chinese_and_japanese_end_without_spaces_and_keep_closing_quotes() {
        assert_eq!(
            texts("年假为25天。他说：“可以。”病假呢？"),
            ["年假为25天。", "他说：“可以。”", "病假呢？"]
        );
        assert_eq!(
            texts("有給休暇は年20日です。「はい。」と答えた！"),
            ["有給休暇は年20日です。", "「はい。」と答えた！"]
        );
    }

    #[test]
    fn a_full_stop_inside_a_word_ends_nothing() {
        assert_eq!(
            texts("Set `[Create\\.Type](a.md)` first. Then 你好.再见"),
            ["Set `[Create\\.Type](a.md)` first.", "Then 你好.", "再见"]
        );
    }

    #[test]
    fn wrapped_lines_belong_together_and_a_short_line_above_them_does_not() {
        let text = "Annual Leave\nEvery employee who works full time is entitled to\ntwenty-five days of leave. More text follows on this line.";
        assert_eq!(
            texts(text),
            [
                "Annual Leave",
                "Every employee who works full time is entitled to\ntwenty-five days of leave.",
                "More text follows on this line."
            ]
        );
    }

    #[test]
    fn markdown_blocks_break_and_lose_their_marks() {
        let text = "# Leave\n\n- First item\n  goes on\n- Second. Third\n1. Step\n\nTitle\n=====\n```sh\nls. Foo.\n```\nEnd";
        let all = sentences(text);
        assert_eq!(
            all.iter().map(|s| s.text).collect::<Vec<_>>(),
            [
                "Leave",
                "First item\n  goes on",
                "Second.",
                "Third",
                "Step",
                "Title",
                "```sh\nls. Foo.\n```",
                "End"
            ]
        );
        assert_eq!((all[0].kind, all[5].kind, all[6].kind), (Kind::Heading, Kind::Heading, Kind::Code));
    }

    #[test]
    fn table_rows_know_their_head() {
        let all = sentences("| Plan | Days |\n|---|:--|\n| Full | 25 |\n\n| lone | row |");
        assert_eq!(all[0].kind, Kind::TableHead);
        assert_eq!(all[1].kind, Kind::TableRow { head: Some("| Plan | Days |") });
        assert_eq!(all[2].kind, Kind::TableRow { head: None });
    }

    #[test]
    fn a_fence_that_never_closes_hides_nothing() {
        assert_eq!(
            texts("code end\n```\nThe answer is here. Truly."),
            ["code end", "The answer is here.", "Truly."]
        );
    }

    #[test]
    fn hostile_text_is_cut_in_linear_time() {
        let text = format!("a.{}", ")".repeat(400_000));
        let begun = std::time::Instant::now();
        let _ = sentences(&text);
        let _ = sentences(&"```\n".repeat(50_000));
        let _ = sentences(&"あ".repeat(200_000));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
        assert!(texts(&"word ".repeat(1_000)).iter().all(|s| s.chars().count() <= MAX_SENTENCE_CHARS));
        assert!(texts(" \n\t\n---\n").is_empty());
    }
}
