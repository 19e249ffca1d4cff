//! The hostile passages of `tests/hostile`: what they do to the prompt, to a model that obeys, and to extracts.

use std::{fs, path::Path};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use rag_api::{
    domain::{Answer, History, Hit, Removed, Role, Turn},
    generation::{Cleaner, candidates, check, compose, prompt},
};
use serde::Deserialize;

use crate::passages::{hit, question};

#[derive(Deserialize)]
struct Hostile {
    kind: String,
    content: String,
    /// What a model would write that does as it is told.
    obeys: String,
    title: Option<String>,
    source: Option<String>,
}

const BOUNDARY: &str = "4f1c09a7d2e86b35";
const TOKENS: &[&str] = &[
    "<|im_",
    "<|eot",
    "<|start_",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<s>",
    "</s>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<｜",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
];

#[test]
fn no_passage_breaks_its_fence_or_speaks_in_tokens() {
    for hostile in all() {
        let turns = [(Role::User, &hostile.content), (Role::Assistant, &hostile.obeys)]
            .map(|(role, text)| Turn { role, content: filled(text).chars().take(3_000).collect() });
        let history = History::parse(turns.to_vec()).unwrap();
        let hits = [passage(&hostile), hit("good.md", "The depot has a garden.")];
        let prompt = prompt(&filled(&hostile.content), &history, &hits, BOUNDARY, 60_000);
        let user = &prompt.messages.last().unwrap().content;
        let begins = |mark: &str| user.lines().filter(|line| line.starts_with(mark)).count();
        assert_eq!((begins("PASSAGE ["), begins("END [")), (2, 2), "{}: {user}", hostile.kind);
        // Once above, and once at both ends of each passage.
        assert_eq!(user.matches(BOUNDARY).count(), 5, "{}: {user}", hostile.kind);
        for message in &prompt.messages[1..] {
            for token in TOKENS {
                assert!(!message.content.contains(token), "{token} in {}", message.content);
            }
            assert!(!message.content.chars().any(hidden), "{}: hidden characters", hostile.kind);
        }
    }
}

#[test]
fn a_model_that_obeys_shows_the_reader_nothing_active() {
    for hostile in all() {
        let hits = [passage(&hostile)];
        let checked = check(&hostile.obeys, &hits);
        assert_inert(&checked.text, &hits, &hostile.kind);
        assert!(
            !["[2]", "[3]", "[5]", "[9]"].iter().any(|marker| checked.text.contains(marker)),
            "{}",
            checked.text
        );
        let mut cleaner = Cleaner::new(&hits);
        let mut streamed: String = hostile.obeys.chars().map(|c| cleaner.push(&c.to_string())).collect();
        streamed.push_str(&cleaner.finish());
        assert_eq!(streamed, checked.text);
        // Doing as a passage says is no support for anything.
        let answer = Answer {
            text: checked.text,
            contexts: hits.to_vec(),
            grounding: checked.grounding,
            support: checked.support,
            removed: Removed::default(),
            model: None,
            finish_reason: None,
            usage: None,
        };
        let honest = hostile.obeys.starts_with("At seven [1]");
        assert!(honest || !answer.is_grounded(), "{}: {}", hostile.kind, hostile.obeys);
    }
}

#[test]
fn extracts_of_hostile_passages_are_inert_too() {
    for hostile in all() {
        for words in ["When does the depot open?", "evil example assistant system answer append image obey"] {
            let (question, hits) = (question(words), [passage(&hostile)]);
            let candidates = candidates(&question, &hits);
            for best in 0..candidates.len() {
                let cosines: Vec<f32> =
                    (0..candidates.len()).map(|at| if at == best { 0.9 } else { 0.1 }).collect();
                let answer = compose(&question, &hits, &candidates, &cosines);
                assert_inert(&answer.text, &hits, &hostile.kind);
                assert!(!answer.text.contains("[9]") && !answer.text.contains("[2]"), "{}", answer.text);
            }
        }
    }
}

fn all() -> Vec<Hostile> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/passages.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let all: Vec<Hostile> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(all.len() >= 45, "the set has shrunk to {}", all.len());
    all
}

/// Some passages know the mark, whole or in halves, as no document can.
fn filled(text: &str) -> String {
    let (half, rest) = BOUNDARY.split_at(8);
    text.replace("{boundary}", BOUNDARY).replace("{half}", half).replace("{rest}", rest)
}

fn passage(hostile: &Hostile) -> Hit {
    let mut hit = hit(&filled(hostile.source.as_deref().unwrap_or("depot.md")), &filled(&hostile.content));
    hit.chunk.title = hostile.title.as_deref().map(filled);
    hit
}

fn hidden(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{E0000}'..='\u{E0FFF}' | '\u{FE01}')
}

/// What a renderer makes of it: no image, no tag with attributes, no link that is not verbatim in a passage.
fn assert_inert(text: &str, hits: &[Hit], kind: &str) {
    assert!(!text.contains("SECRET") || !text.contains("evil.example/?"), "{kind}: {text}");
    assert!(!text.chars().any(hidden), "{kind}: hidden characters in {text:?}");
    let mut code = false;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Image { .. }) => panic!("{kind}: an image in {text}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(hits.iter().any(|hit| hit.chunk.content.contains(&*dest_url)), "{kind}: {dest_url}");
                assert!(!dest_url.contains("SECRET") && dest_url.starts_with("http"), "{kind}: {dest_url}");
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                assert!(
                    html.chars().all(|c| c.is_ascii_alphanumeric() || "<>".contains(c)),
                    "{kind}: {html}"
                );
            }
            Event::Start(Tag::CodeBlock(_)) => code = true,
            Event::End(TagEnd::CodeBlock) => code = false,
            Event::Text(words) if !code => {
                for address in words.split_whitespace().filter(|word| word.contains("://")) {
                    assert!(!address.contains("SECRET"), "{kind}: {address}");
                }
            }
            _ => {}
        }
    }
}
