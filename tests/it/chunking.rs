//! Chunks against the model's own tokenizer: never too long, nothing lost, structure kept.

use proptest::prelude::*;
use rag_api::{
    config::{ChunkStrategy, Config, EnvReader, IngestConfig},
    embedding::{MAX_TOKENS, TokenCounter, Tokenizer},
    ingest::chunk::{Chunker, Markup},
};

use crate::support::{model_dir, shared};

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&model_dir()).expect("run `rag-api model fetch` first")
}

fn config() -> IngestConfig {
    Config::read(EnvReader::from_pairs([])).unwrap().ingest
}

/// Tokens of what the model is given, [CLS] and [SEP] included, counted without our counter.
fn tokens(tokenizer: &Tokenizer, text: &str) -> usize {
    tokenizer.count(text).unwrap() + 2
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_chunk_exceeds_the_model(
        words in prop::collection::vec("[a-z]{1,12}|[A-Z0-9]{1,5}|[ぁ-んァ-ヶ一-龥]{1,9}|\\PC{1,20}|\n|\n\n# |\n- |```\n| \\| |\u{1F600}|\u{85}|é|a\u{301}", 0..1200),
        title in prop::option::of("\\PC{0,300}"),
        overlap in 0usize..=128,
        markdown: bool,
        characters: bool,
    ) {
        let tokenizer = tokenizer();
        let strategy = if characters { ChunkStrategy::Characters } else { ChunkStrategy::Tokens };
        let config = IngestConfig { chunk_overlap_tokens: overlap, chunk_strategy: strategy, ..config() };
        let text = words.join(" ");
        let markup = if markdown { Markup::Markdown } else { Markup::Plain };
        for passage in Chunker::new(tokenizer.clone(), &config).cut(&text, markup, title.as_deref()) {
            let count = tokens(&tokenizer, &passage.embedding_text());
            prop_assert!(count <= MAX_TOKENS, "{count} tokens: {passage:?}");
            prop_assert!(text.contains(&passage.content));
        }
    }

    #[test]
    fn counting_by_words_equals_counting_the_text(text in "(\\PC|[ \t\n\r\u{85}\u{c}\u{200b}一猫か가é]){0,120}") {
        let tokenizer = tokenizer();
        prop_assert_eq!(TokenCounter::new(&tokenizer).count(&text), tokenizer.count(&text).unwrap());
    }
}

#[test]
fn every_word_of_a_text_is_in_a_chunk_and_neighbours_overlap() {
    let text: String = (0..2_000).map(|i| format!("word{i} ends sentence {i}. ")).collect();
    let cut = |overlap| {
        let config = IngestConfig { chunk_overlap_tokens: overlap, ..config() };
        Chunker::new(tokenizer(), &config).cut(&text, Markup::Plain, None)
    };
    let passages = cut(0);
    let all: String = passages.iter().map(|p| p.content.as_str()).collect::<Vec<_>>().join(" ");
    for i in 0..2_000 {
        assert!(all.contains(&format!("word{i} ")), "word{i}");
    }
    let overlapping = cut(32);
    let last_words = overlapping[0].content.split(". ").last().unwrap();
    assert!(overlapping[1].content.contains(last_words), "{last_words}");
    assert!(overlapping.len() > passages.len());
}

#[test]
fn headings_become_the_path_and_code_and_tables_stay_whole() {
    let filler = "Plain prose that fills the space between the parts of the page. ".repeat(20);
    let code = "```sh\nset -e\n\nmake all\n\nmake check\n```";
    let table = "| name | value |\n| --- | --- |\n| depth | 9 |\n| width | 12 |";
    let text = format!(
        "# Manual\n\n{filler}\n\n## Build\n\n{filler}\n\n{code}\n\n### Options\n\n{filler}\n\n{table}\n\n## Run\n\n{filler}\n"
    );
    let passages = Chunker::new(tokenizer(), &config()).cut(&text, Markup::Markdown, Some("Manual"));
    let having = |needle: &str| passages.iter().find(|p| p.content.contains(needle)).unwrap();
    assert_eq!(having("set -e").title.as_deref(), Some("Manual › Build"));
    assert!(having("set -e").content.contains(code));
    assert!(having("| depth").content.contains(table));
    assert_eq!(having("| depth").title.as_deref(), Some("Manual › Build › Options"));
    assert_eq!(passages.last().unwrap().title.as_deref(), Some("Manual › Run"));
}

#[test]
fn text_without_letters_gives_no_chunk() {
    for text in ["", " \n\t ", "---\n\n***\n", "| | |"] {
        assert!(
            Chunker::new(tokenizer(), &config()).cut(text, Markup::Markdown, Some("T")).is_empty(),
            "{text:?}"
        );
    }
}

#[test]
fn the_character_strategy_joins_lines_up_to_200_characters() {
    let config = IngestConfig { chunk_strategy: ChunkStrategy::Characters, ..config() };
    let text = (0..40).map(|i| format!("line {i:02} of the file")).collect::<Vec<_>>().join("\n");
    let passages = Chunker::new(tokenizer(), &config).cut(&text, Markup::Plain, None);
    assert!(passages.len() > 3);
    for passage in &passages {
        assert!(passage.content.chars().count() <= 200);
    }
    let last_line = passages[0].content.lines().last().unwrap();
    assert!(passages[1].content.starts_with(last_line), "{passages:?}");
}

#[test]
fn one_endless_word_is_cut_and_fast() {
    let passages = Chunker::new(tokenizer(), &config()).cut(&"x".repeat(300_000), Markup::Plain, None);
    assert!(passages.len() > 100, "{} passages", passages.len());
    assert_eq!(passages.iter().map(|p| p.content.len()).max().map(|longest| longest <= 2_048), Some(true));
}

#[test]
fn a_large_real_file_is_cut_within_the_limit() {
    let Some(file) = shared("eval/ugly/files/one-line-1mb.txt") else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let tokenizer = tokenizer();
    let passages = Chunker::new(tokenizer.clone(), &config()).cut(&text, Markup::Plain, None);
    assert!(passages.iter().all(|p| tokens(&tokenizer, &p.content) <= MAX_TOKENS));
    assert!(passages.len() > 700);
}
