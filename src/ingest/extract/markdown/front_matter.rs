//! The YAML block at the head of a Markdown file.

use serde::Deserialize;

use crate::ingest::extract::protocol::short;

/// What the block says about the document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FrontMatter {
    pub title: Option<String>,
    pub tags: Vec<String>,
    pub language: Option<String>,
}

const MAX_BYTES: usize = 64 << 10;
const MAX_TITLE_CHARS: usize = 300;
const MAX_TAGS: usize = 50;
const MAX_TAG_CHARS: usize = 100;

/// The block, if there is one, and the rest.
pub(super) fn split(text: &str) -> (Option<&str>, &str) {
    let Some(first) = text.split_inclusive('\n').next().filter(|line| line.trim_end() == "---") else {
        return (None, text);
    };
    let start = first.len();
    let mut end = start;
    for line in text[start..].split_inclusive('\n') {
        let rest = end + line.len();
        match line.trim_end() {
            "---" | "..." => return (Some(&text[start..end]), &text[rest..]),
            // A rule, and a paragraph after it: front matter has no empty first line.
            "" if end == start => break,
            _ if rest - start > MAX_BYTES => break,
            _ => end = rest,
        }
    }
    (None, text)
}

/// # Errors
///
/// The YAML reader's reason.
pub(super) fn parse(block: &str) -> Result<FrontMatter, String> {
    // Nobody's title needs more; what a block could expand to is bounded before it expands.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 20_000,
            max_nodes: 10_000,
            max_depth: 32,
            max_aliases: 20,
            max_anchors: 20,
            max_documents: 2,
            max_merge_keys: 20,
            max_total_scalar_bytes: 256 << 10,
        },
        with_snippet: false,
    };
    let raw: Option<Raw> =
        serde_saphyr::from_str_with_options(block, options).map_err(|error| short(&error.to_string()))?;
    let raw = raw.unwrap_or_default();
    Ok(FrontMatter {
        title: raw.title.and_then(|title| tidy_title(&title.text())),
        tags: raw.tags.map(tidy_tags).unwrap_or_default(),
        language: raw.language.or(raw.lang).and_then(|language| primary_language(&language.text())),
    })
}

/// A title on one line; `None` when it is blank.
pub(super) fn tidy_title(title: &str) -> Option<String> {
    let words: Vec<&str> = title.split_whitespace().collect();
    let title: String = words.join(" ").chars().take(MAX_TITLE_CHARS).collect();
    (!title.is_empty()).then_some(title)
}

#[derive(Debug, Default, Deserialize)]
struct Raw {
    title: Option<Scalar>,
    tags: Option<Tags>,
    language: Option<Scalar>,
    lang: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Tags {
    Many(Vec<Scalar>),
    One(Scalar),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(i64),
    Number(f64),
    Truth(bool),
    /// A list where a word belongs, or nothing.
    Other(serde::de::IgnoredAny),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Other(_) => String::new(),
        }
    }
}

fn tidy_tags(tags: Tags) -> Vec<String> {
    let texts: Vec<String> = match tags {
        Tags::Many(tags) => tags.iter().map(Scalar::text).collect(),
        Tags::One(tags) => tags.text().split(',').map(str::to_owned).collect(),
    };
    let mut tidy = Vec::new();
    for tag in texts {
        let tag: String = tag.trim().trim_start_matches('#').chars().take(MAX_TAG_CHARS).collect();
        if !tag.is_empty() && !tidy.contains(&tag) && tidy.len() < MAX_TAGS {
            tidy.push(tag);
        }
    }
    tidy
}

/// `en` of `en-US`; `None` for what is no language tag.
fn primary_language(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next()?.to_ascii_lowercase();
    (matches!(primary.len(), 2 | 3) && primary.bytes().all(|b| b.is_ascii_lowercase())).then_some(primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_as_list_or_as_words_between_commas() {
        assert_eq!(parse("tags:\n  - a\n  - 2024\n  - a\n").unwrap().tags, ["a", "2024"]);
        assert_eq!(parse("tags: hr, benefits ,").unwrap().tags, ["hr", "benefits"]);
        assert_eq!(parse("tags:\n").unwrap().tags, Vec::<String>::new());
    }

    #[test]
    fn other_keys_and_other_types_do_no_harm() {
        let front =
            parse("sidebar_position: 10\ntitle: 2024\ndraft: true\nnested: {a: [1, {b: c}]}\nlang: 中文")
                .unwrap();
        assert_eq!((front.title.as_deref(), front.language), (Some("2024"), None));
        assert_eq!(parse("title: [a, b]").unwrap().title, None);
        assert_eq!(parse("").unwrap(), FrontMatter::default());
        assert!(parse("just words").is_err());
    }

    #[test]
    fn a_block_that_explodes_is_refused_in_no_time() {
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for i in 1..12 {
            let previous = format!("*a{}", i - 1);
            bomb += &format!("a{i}: &a{i} [{}]\n", [previous.as_str(); 9].join(","));
        }
        let nested = format!("title: {}", "[".repeat(50_000));
        let start = std::time::Instant::now();
        assert!(parse(&bomb).is_err());
        assert!(parse(&nested).is_err());
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn the_block_ends_at_its_fence_and_only_there() {
        assert_eq!(split("---\na: 1\n---\nbody"), (Some("a: 1\n"), "body"));
        assert_eq!(split("--- \na: 1\n...\n"), (Some("a: 1\n"), ""));
        assert_eq!(split("---\na: 1\nbody"), (None, "---\na: 1\nbody"));
        assert_eq!(split("# Head\n---\n"), (None, "# Head\n---\n"));
        let long = format!("---\n{}---\n", "word\n".repeat(20_000));
        assert_eq!(split(&long).0, None);
    }
}
