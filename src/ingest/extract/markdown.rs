//! Markdown into its body and what its front matter says.

mod front_matter;
mod html;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A document without pages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub body: String,
    pub title: Option<String>,
    pub tags: Vec<String>,
    pub language: Option<String>,
    pub warnings: Vec<String>,
}

/// Takes decoded text with `\n` line ends. The body keeps its Markdown, for the chunker follows the headings;
/// comments go, and so do HTML tags around text.
pub(super) fn read(text: &str) -> Document {
    let mut warnings = Vec::new();
    let (front, body) = front_matter::split(text);
    let front = match front.map(front_matter::parse) {
        None => front_matter::FrontMatter::default(),
        Some(Ok(front)) => front,
        Some(Err(reason)) => {
            warnings.push(format!("the front matter is ignored, for its YAML cannot be read: {reason}"));
            front_matter::FrontMatter::default()
        }
    };
    let body = html::strip(body);
    let title = front.title.or_else(|| first_heading(&body));
    Document { title, body, tags: front.tags, language: front.language, warnings }
}

/// The extensions that the chunker's parser has on too.
pub(super) fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
}

/// The text of the first heading of level 1.
fn first_heading(body: &str) -> Option<String> {
    let mut title = None;
    for event in Parser::new_ext(body, options()) {
        match (event, &mut title) {
            (Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }), None) => title = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(title)) => title.push_str(&text),
            (Event::SoftBreak | Event::HardBreak, Some(title)) => title.push(' '),
            (Event::End(TagEnd::Heading(_)), Some(_)) => {
                let found = title.take().as_deref().and_then(front_matter::tidy_title);
                if found.is_some() {
                    return found;
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_matter_wins_over_the_first_heading_and_is_no_text() {
        let text = "---\ntitle: REST API\ntags: [api, rest]\nlang: en-US\n---\n\n# Other\n\nbody";
        let document = read(text);
        assert_eq!(document.title.as_deref(), Some("REST API"));
        assert_eq!(document.tags, ["api", "rest"]);
        assert_eq!(document.language.as_deref(), Some("en"));
        assert_eq!(document.body, "\n# Other\n\nbody");
    }

    #[test]
    fn the_title_is_else_the_first_heading_of_level_one() {
        assert_eq!(read("## Two\n\n# The `Big` *One*\n\n# Next").title.as_deref(), Some("The Big One"));
        assert_eq!(read("Under\nlined\n=====\n").title.as_deref(), Some("Under lined"));
        assert_eq!(read("```\n# comment\n```\n").title, None);
        assert_eq!(read("#\n\n# Second").title.as_deref(), Some("Second"));
    }

    #[test]
    fn broken_front_matter_is_left_out_with_a_warning() {
        let document = read("---\ntitle: [unclosed\n---\n# Head\n");
        assert_eq!(document.title.as_deref(), Some("Head"));
        assert_eq!(document.body, "# Head\n");
        assert_eq!(document.warnings.len(), 1);
    }

    #[test]
    fn a_rule_at_the_start_is_no_front_matter() {
        let document = read("---\n\nA thought.\n");
        assert_eq!((document.body.as_str(), document.warnings.len()), ("---\n\nA thought.\n", 0));
    }
}
