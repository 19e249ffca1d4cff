//! Options that `query` and `search` share.

use clap::Args;

use crate::{
    domain::{Filter, History, PageRange, Question, Sampling, SearchMode, TopK, VectorWeight},
    rag::Query,
};

#[derive(Debug, Args)]
pub(super) struct Retrieval {
    /// What you want to know, 1 to 4,000 characters
    #[arg(value_parser = |text: &str| Question::parse(text))]
    question: Question,
    /// How many passages to use, 1 to 50
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_top_k)]
    top_k: TopK,
    /// How to search: hybrid, vector or keyword
    #[arg(long, default_value = "hybrid", value_parser = |text: &str| text.parse::<SearchMode>())]
    mode: SearchMode,
    /// Weight of vector hits beside keyword hits, 0 to 10; when absent, by the script of the question
    #[arg(long, value_name = "W", value_parser = parse_weight)]
    vector_weight: Option<VectorWeight>,
    /// Only this file, by its path in the index; repeat --source, --tag and --language for alternatives
    #[arg(long)]
    source: Vec<String>,
    /// Only passages with this tag
    #[arg(long)]
    tag: Vec<String>,
    /// Only passages in this language, by its ISO 639-1 code, such as en
    #[arg(long)]
    language: Vec<String>,
    /// Only pages from N on
    #[arg(long, value_name = "N")]
    from_page: Option<u32>,
    /// Only pages up to N
    #[arg(long, value_name = "N")]
    to_page: Option<u32>,
}

impl Retrieval {
    pub(super) fn into_query(self) -> anyhow::Result<Query> {
        let pages = PageRange { min: self.from_page, max: self.to_page };
        let filter = Filter {
            source: self.source,
            tags: self.tag,
            language: self.language,
            page_number: pages.min.or(pages.max).map(|_| pages),
        };
        Ok(Query {
            question: self.question,
            top_k: self.top_k,
            mode: self.mode,
            vector_weight: self.vector_weight,
            filter: filter.checked()?,
            history: History::default(),
            instructions: None,
            sampling: Sampling::default(),
        })
    }
}

fn parse_top_k(text: &str) -> Result<TopK, String> {
    let number = text.parse().map_err(|_| "must be a number".to_owned())?;
    TopK::parse(number).map_err(|error| error.reason)
}

fn parse_weight(text: &str) -> Result<VectorWeight, String> {
    let number = text.parse().map_err(|_| "must be a number".to_owned())?;
    VectorWeight::parse(number).map_err(|error| error.reason)
}
