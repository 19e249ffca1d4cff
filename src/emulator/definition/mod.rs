//! What an index is: its fields and how they are searched.

mod change;
mod read;
mod sections;
mod write;

use std::cmp::Ordering;

use serde_json::Value;

use super::instant;
use crate::retrieval::local::table::{Analyzer, TableSchema, TextField, VectorField};

pub(super) use change::check_change;
pub(super) use read::read;
pub(super) use sections::{Semantic, Similarity, VectorSearch};
pub(super) use write::write;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) fields: Vec<Field>,
    /// Kept and given back; nothing here answers browsers.
    pub(super) cors: Value,
    pub(super) similarity: Similarity,
    pub(super) semantic: Option<Semantic>,
    pub(super) vector_search: Option<VectorSearch>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: FieldKind,
    pub(super) key: bool,
    pub(super) searchable: bool,
    pub(super) filterable: bool,
    pub(super) retrievable: bool,
    pub(super) stored: bool,
    pub(super) sortable: bool,
    pub(super) facetable: bool,
    pub(super) analyzer: Option<String>,
    pub(super) index_analyzer: Option<String>,
    pub(super) search_analyzer: Option<String>,
    pub(super) dimensions: Option<usize>,
    pub(super) vector_profile: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    One(Edm),
    Many(Edm),
    /// Collection(Edm.Single) with dimensions.
    Vector,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edm {
    String,
    Int32,
    Int64,
    Double,
    Boolean,
    DateTimeOffset,
}

impl Edm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::String => "Edm.String",
            Self::Int32 => "Edm.Int32",
            Self::Int64 => "Edm.Int64",
            Self::Double => "Edm.Double",
            Self::Boolean => "Edm.Boolean",
            Self::DateTimeOffset => "Edm.DateTimeOffset",
        }
    }
}

impl Edm {
    /// The order of two values that passed the check of their type.
    pub(super) fn compare(self, a: &Value, b: &Value) -> Ordering {
        match self {
            Self::String => a.as_str().cmp(&b.as_str()),
            Self::Boolean => a.as_bool().cmp(&b.as_bool()),
            Self::Int32 | Self::Int64 => a.as_i64().cmp(&b.as_i64()),
            Self::Double => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
            Self::DateTimeOffset => {
                a.as_str().and_then(instant::parse).cmp(&b.as_str().and_then(instant::parse))
            }
        }
    }
}

impl FieldKind {
    pub(super) fn name(self) -> String {
        match self {
            Self::One(edm) => edm.name().to_owned(),
            Self::Many(edm) => format!("Collection({})", edm.name()),
            Self::Vector => "Collection(Edm.Single)".to_owned(),
        }
    }
}

impl Definition {
    /// The one key; [`read`] lets no definition through without it.
    pub(super) fn key(&self) -> &str {
        self.fields.iter().find(|field| field.key).map_or("", |field| &field.name)
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The fields of the table, in the order of the definition.
    pub(super) fn schema(&self) -> TableSchema {
        let text = self.text_fields().map(|field| TextField {
            name: field.name.clone(),
            analyzer: field
                .analyzer
                .as_ref()
                .or(field.index_analyzer.as_ref())
                .and_then(|name| analyzer_named(name))
                .unwrap_or(Analyzer::Standard),
        });
        let vectors = self.vector_fields().map(|field| VectorField {
            name: field.name.clone(),
            dimensions: field.dimensions.unwrap_or_default(),
        });
        TableSchema { text: text.collect(), vectors: vectors.collect() }
    }

    pub(super) fn text_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.searchable && field.kind != FieldKind::Vector)
    }

    pub(super) fn vector_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.kind == FieldKind::Vector)
    }
}

/// Built-in analyzers that have a counterpart here.
pub(super) fn analyzer_named(name: &str) -> Option<Analyzer> {
    const LANGUAGES: &str = "ar bn bg ca cs da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja kn ko \
                             lt lv ml mr ms nb nl no pa pl pt-BR pt-PT ro ru sk sl sr-cyrillic sr-latin sv ta te \
                             th tr uk ur vi zh-Hans zh-Hant";
    match name {
        "standard.lucene" | "standard" => Some(Analyzer::Standard),
        "keyword" => Some(Analyzer::Keyword),
        "simple" => Some(Analyzer::Simple),
        "whitespace" => Some(Analyzer::Whitespace),
        _ => {
            let language = name.strip_suffix(".lucene").or_else(|| name.strip_suffix(".microsoft"))?;
            LANGUAGES.split_whitespace().any(|known| known == language).then_some(Analyzer::Language)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn analyzers_are_known_by_the_service_s_names() {
        assert!(matches!(analyzer_named("standard.lucene"), Some(Analyzer::Standard)));
        assert!(matches!(analyzer_named("ja.microsoft"), Some(Analyzer::Language)));
        assert!(matches!(analyzer_named("zh-Hans.lucene"), Some(Analyzer::Language)));
        for unknown in ["stop", "pattern", "standardasciifolding.lucene", "xx.lucene", "en", ""] {
            assert!(analyzer_named(unknown).is_none(), "{unknown}");
        }
    }
}
