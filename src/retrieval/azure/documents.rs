//! The way of a chunk into and out of the fields of the index.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::actions::Action;
use crate::{
    domain::{Chunk, ChunkId, EMBEDDING_DIMENSION, Embedding, Hit},
    retrieval::{Fingerprint, RetrievalError},
};

/// What a hit brings along, in the order of the schema.
pub(super) const CHUNK_FIELDS: &str =
    "id,content,title,source,createdAt,pageNumber,chunkIndex,contentHash,language,tags";
pub(super) const VECTOR_FIELD: &str = "contentVector";

/// Every field of ours, with nulls where a chunk has none, so that nothing of an older version stays.
/// `document` is null as well: it is the mark that a source is whole, and is set by [`mark`] alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(rename = "@search.action")]
    action: &'static str,
    id: &'a str,
    content: Option<&'a str>,
    title: Option<&'a str>,
    content_vector: Option<&'a [f32]>,
    source: &'a str,
    created_at: Option<&'a str>,
    page_number: Option<u32>,
    chunk_index: u32,
    content_hash: Option<&'a str>,
    embedding_model: Option<&'a str>,
    embedding_revision: Option<&'a str>,
    language: Option<&'a str>,
    tags: &'a [String],
    document: Option<&'a str>,
}

pub(super) fn chunk(
    chunk: &Chunk,
    embedding: &Embedding,
    made_with: &Fingerprint,
) -> Result<Action, RetrievalError> {
    Action::new(
        &chunk.id.0,
        &Document {
            action: "mergeOrUpload",
            id: &chunk.id.0,
            content: Some(&chunk.content),
            title: chunk.title.as_deref(),
            content_vector: Some(embedding.as_slice()),
            source: &chunk.source,
            created_at: Some(&chunk.created_at),
            page_number: chunk.page_number,
            chunk_index: chunk.chunk_index,
            content_hash: Some(&chunk.content_hash),
            embedding_model: Some(&made_with.model),
            embedding_revision: Some(&made_with.weights_sha256),
            language: chunk.language.as_deref(),
            tags: &chunk.tags,
            document: None,
        },
    )
}

/// Stands for a source that gave no chunk: it has no text and no vector, so it is never found.
pub(super) fn placeholder(source: &str) -> Result<Action, RetrievalError> {
    let id = placeholder_id(source);
    Action::new(
        &id,
        &Document {
            action: "mergeOrUpload",
            id: &id,
            content: None,
            title: None,
            content_vector: None,
            source,
            created_at: None,
            page_number: None,
            chunk_index: 0,
            content_hash: None,
            embedding_model: None,
            embedding_revision: None,
            language: None,
            tags: &[],
            document: None,
        },
    )
}

pub(super) fn placeholder_id(source: &str) -> String {
    let digest = format!("{:x}", Sha256::digest(source));
    format!("source-{}", &digest[..32])
}

/// Sets what is remembered of a source, at its first document: from now on it is whole.
pub(super) fn mark(first_id: &str, document: &str) -> Result<Action, RetrievalError> {
    #[derive(Serialize)]
    struct Mark<'a> {
        #[serde(rename = "@search.action")]
        action: &'static str,
        id: &'a str,
        document: &'a str,
    }
    Action::new(first_id, &Mark { action: "merge", id: first_id, document })
}

/// One row of a search reply.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FoundDocument {
    #[serde(rename = "@search.score")]
    score: f32,
    #[serde(rename = "@search.captions", default)]
    captions: Option<Vec<Caption>>,
    id: String,
    content: Option<String>,
    title: Option<String>,
    content_vector: Option<Vec<f32>>,
    source: Option<String>,
    created_at: Option<String>,
    page_number: Option<u32>,
    chunk_index: Option<u32>,
    content_hash: Option<String>,
    language: Option<String>,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Caption {
    text: Option<String>,
}

impl FoundDocument {
    /// `question` is what the cosine is taken with.
    pub(super) fn into_hit(self, question: Option<&Embedding>) -> Hit {
        let cosine = question.zip(self.content_vector).and_then(|(question, passage)| {
            let dot: f32 = question.as_slice().iter().zip(&passage).map(|(a, b)| a * b).sum();
            (passage.len() == EMBEDDING_DIMENSION && dot.is_finite()).then(|| dot.clamp(-1.0, 1.0))
        });
        let captions: Vec<String> = self
            .captions
            .into_iter()
            .flatten()
            .filter_map(|caption| caption.text)
            .filter(|text| !text.trim().is_empty())
            .collect();
        Hit {
            chunk: Chunk {
                id: ChunkId(self.id),
                source: self.source.unwrap_or_default(),
                title: self.title,
                content: self.content.unwrap_or_default(),
                page_number: self.page_number,
                chunk_index: self.chunk_index.unwrap_or_default(),
                content_hash: self.content_hash.unwrap_or_default(),
                language: self.language,
                tags: self.tags.unwrap_or_default(),
                created_at: self.created_at.unwrap_or_default(),
            },
            score: self.score,
            cosine,
            caption: (!captions.is_empty()).then(|| captions.join(" … ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_chunk_goes_out_whole_and_comes_back_the_same() {
        let mut vector = vec![0.0; EMBEDDING_DIMENSION];
        vector[0] = 0.6;
        vector[1] = 0.8;
        let vector = Embedding::new(vector).unwrap();
        let original = Chunk {
            id: ChunkId("k-1".into()),
            source: "a.md".into(),
            title: None,
            content: "Text.".into(),
            page_number: Some(3),
            chunk_index: 1,
            content_hash: "h".into(),
            language: Some("en".into()),
            tags: vec!["hr".into()],
            created_at: "2026-11-22T08:00:00Z".into(),
        };
        let made_with = Fingerprint {
            model: "m".into(),
            weights_sha256: "w".into(),
            chunker: "c".into(),
            dimensions: 384,
        };
        let action = chunk(&original, &vector, &made_with).unwrap();
        assert!(action.json.contains("0.6,0.8,0.0"), "numbers are written as short as 32 bits need");
        let mut sent: Value = serde_json::from_str(&action.json).unwrap();
        let fields: Vec<_> = sent.as_object().unwrap().keys().cloned().collect();
        for field in
            CHUNK_FIELDS.split(',').chain([VECTOR_FIELD, "embeddingModel", "embeddingRevision", "document"])
        {
            assert!(fields.iter().any(|name| name == field), "{field}");
        }
        assert_eq!((&sent["title"], &sent["document"]), (&Value::Null, &Value::Null));
        sent["@search.score"] = json!(0.033_333_335_071_802_14);
        let found: FoundDocument = serde_json::from_value(sent).unwrap();
        let hit = found.into_hit(Some(&vector));
        assert_eq!(hit.chunk, original);
        assert_eq!(hit.score, 1.0 / 60.0 + 1.0 / 60.0);
        assert!((hit.cosine.unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_row_with_only_a_key_is_a_hit_without_a_cosine() {
        let row = json!({"@search.score": 1.0, "id": "k", "contentVector": [1.0], "@search.captions": [{"text": null}, {"text": "A."}]});
        let hit = serde_json::from_value::<FoundDocument>(row).unwrap().into_hit(None);
        assert_eq!((hit.cosine, hit.caption.as_deref(), hit.chunk.content.as_str()), (None, Some("A."), ""));
    }
}
