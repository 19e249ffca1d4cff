//! A document's text to passages that the model can read whole.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use crate::{
    config::{ChunkStrategy, IngestConfig},
    embedding::{TokenCounter, Tokenizer},
};

/// Changes whenever the same text would be cut or embedded differently; part of the index's fingerprint.
pub const CHUNKER_VERSION: &str = "1";

/// Tokens of `[CLS]` and `[SEP]`.
const SPECIAL_TOKENS: usize = 2;
/// Tokens a title with its heading path may take from a chunk.
const MAX_TITLE_TOKENS: usize = 48;
/// Characters that count as one token at least. A word of more than 100 characters is one unknown token
/// to the model, and without this a file of one endless word would be one endless chunk.
const CHARS_PER_TOKEN: usize = 8;

/// A piece of text before it has an id and a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Title of the document and headings above the passage, joined by ` › `.
    pub title: Option<String>,
    pub content: String,
}

impl Passage {
    /// What is embedded: the title gives a passage the context it was cut from.
    pub fn embedding_text(&self) -> String {
        match &self.title {
            Some(title) => format!("{title}\n{}", self.content),
            None => self.content.clone(),
        }
    }
}

/// How a text marks its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    Plain,
    Markdown,
}

/// Cuts by the model's own tokenizer: [`Passage::embedding_text`] never exceeds the configured number of
/// tokens, `[CLS]` and `[SEP]` included.
#[derive(Clone)]
pub struct Chunker {
    tokenizer: Tokenizer,
    strategy: ChunkStrategy,
    tokens: usize,
    overlap: usize,
}

impl Chunker {
    pub fn new(tokenizer: Tokenizer, config: &IngestConfig) -> Self {
        Self {
            tokenizer,
            strategy: config.chunk_strategy,
            tokens: config.chunk_tokens,
            overlap: config.chunk_overlap_tokens,
        }
    }

    /// Tells one way of cutting from another: a source cut differently is ingested again.
    pub fn settings(&self) -> String {
        format!("{CHUNKER_VERSION}/{:?}/{}/{}", self.strategy, self.tokens, self.overlap)
    }

    /// Passages in reading order; none where there is no letter or digit.
    pub fn cut(&self, text: &str, markup: Markup, title: Option<&str>) -> Vec<Passage> {
        let counter = TokenCounter::new(&self.tokenizer);
        let headings = match markup {
            Markup::Plain => Vec::new(),
            Markup::Markdown => headings(text),
        };
        let titles = Titles::new(&counter, title, &headings);
        let capacity = self.tokens - SPECIAL_TOKENS - titles.most_tokens;
        let sizer = Sizer(&counter);
        let pieces = match self.strategy {
            ChunkStrategy::Characters => by_characters(text)
                .into_iter()
                .flat_map(|(start, piece)| {
                    within(piece, &TextSplitter::new(ChunkConfig::new(capacity).with_sizer(sizer)))
                        .into_iter()
                        .map(move |(offset, piece)| (start + offset, piece))
                })
                .collect(),
            ChunkStrategy::Tokens => {
                // A title may leave so little room that the overlap would fill it.
                let overlap = self.overlap.min(capacity / 2);
                let config = ChunkConfig::new(capacity).with_sizer(sizer);
                let config = config
                    .with_overlap(overlap)
                    .unwrap_or_else(|_| ChunkConfig::new(capacity).with_sizer(sizer));
                match markup {
                    Markup::Plain => within(text, &TextSplitter::new(config)),
                    Markup::Markdown => MarkdownSplitter::new(config).chunk_indices(text).collect(),
                }
            }
        };
        pieces
            .into_iter()
            .filter(|(_, piece)| piece.chars().any(char::is_alphanumeric))
            .map(|(start, piece)| Passage { title: titles.at(start), content: piece.to_owned() })
            .collect()
    }
}

fn within<'t>(text: &'t str, splitter: &TextSplitter<Sizer<'_>>) -> Vec<(usize, &'t str)> {
    splitter.chunk_indices(text).collect()
}

#[derive(Clone, Copy)]
struct Sizer<'c>(&'c TokenCounter<'c>);

impl ChunkSizer for Sizer<'_> {
    fn size(&self, chunk: &str) -> usize {
        // Counting bytes first spares the tokenizer texts that are far too long anyway.
        if chunk.len() > 256 * CHARS_PER_TOKEN * 8 {
            return chunk.len() / CHARS_PER_TOKEN;
        }
        self.0.count(chunk).max(chunk.chars().count().div_ceil(CHARS_PER_TOKEN))
    }
}

/// A heading and where it begins.
struct Heading {
    start: usize,
    level: usize,
    text: String,
}

fn headings(markdown: &str) -> Vec<Heading> {
    let mut headings = Vec::new();
    let mut open: Option<Heading> = None;
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                open = Some(Heading { start: range.start, level: level as usize, text: String::new() });
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut open {
                    heading.text.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => headings.extend(open.take()),
            _ => {}
        }
    }
    headings
}

/// The title that holds from each heading on.
struct Titles {
    /// By start, ascending; the first holds from the beginning.
    from: Vec<(usize, Option<String>)>,
    most_tokens: usize,
}

impl Titles {
    fn new(counter: &TokenCounter<'_>, title: Option<&str>, headings: &[Heading]) -> Self {
        let title = title.map(one_line).filter(|title| !title.is_empty());
        let mut from = vec![(0, joined(counter, title.as_deref(), &[]))];
        let mut path: Vec<&Heading> = Vec::new();
        for heading in headings {
            path.retain(|above| above.level < heading.level);
            path.push(heading);
            let path: Vec<String> = path.iter().map(|heading| one_line(&heading.text)).collect();
            from.push((heading.start, joined(counter, title.as_deref(), &path)));
        }
        let tokens =
            |(_, title): &(usize, Option<String>)| title.as_deref().map_or(0, |title| counter.count(title));
        Self { most_tokens: from.iter().map(tokens).max().unwrap_or(0), from }
    }

    fn at(&self, start: usize) -> Option<String> {
        let next = self.from.partition_point(|(from, _)| *from <= start);
        self.from.get(next.saturating_sub(1)).and_then(|(_, title)| title.clone())
    }
}

/// Title and headings joined, cut to [`MAX_TITLE_TOKENS`]: headings in the middle go first, then words.
fn joined(counter: &TokenCounter<'_>, title: Option<&str>, path: &[String]) -> Option<String> {
    let mut parts: Vec<&str> = title.into_iter().chain(path.iter().map(String::as_str)).collect();
    parts.retain(|part| !part.is_empty());
    // The first heading of a document usually is its title.
    parts.dedup();
    let fits = |text: &str| Sizer(counter).size(text) <= MAX_TITLE_TOKENS;
    while parts.len() > 2 && !fits(&parts.join(" › ")) {
        parts.remove(1);
    }
    let mut text = parts.join(" › ");
    while !fits(&text) {
        // Halving the last tenth off ends soon even for one endless word.
        let keep = text.chars().count() * 9 / 10;
        text = text.chars().take(keep).collect();
    }
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The splitter of the service this one replaces: lines joined up to 200 characters, with up to 20
/// characters of whole lines repeated. A line above 200 characters stays whole here.
fn by_characters(text: &str) -> Vec<(usize, &str)> {
    const SIZE: usize = 200;
    const OVERLAP: usize = 20;
    let mut lines: Vec<(usize, usize, usize)> = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        if !line.trim().is_empty() {
            lines.push((start, start + line.len(), line.chars().count()));
        }
        start += line.len() + 1;
    }
    let mut pieces = Vec::new();
    let mut window: Vec<(usize, usize, usize)> = Vec::new();
    let length = |window: &[(usize, usize, usize)]| {
        window.iter().map(|line| line.2 + 1).sum::<usize>().saturating_sub(1)
    };
    let piece = |window: &[(usize, usize, usize)]| {
        Some((window.first()?.0, &text[window.first()?.0..window.last()?.1]))
    };
    for line in lines {
        if !window.is_empty() && length(&window) + 1 + line.2 > SIZE {
            pieces.extend(piece(&window));
            while length(&window) > OVERLAP || (!window.is_empty() && length(&window) + 1 + line.2 > SIZE) {
                window.remove(0);
            }
        }
        window.push(line);
    }
    pieces.extend(piece(&window));
    pieces
}
