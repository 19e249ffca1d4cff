//! A passage: the unit that is embedded, indexed, retrieved and cited.

use std::fmt;

/// Numbers in an embedding of all-MiniLM-L6-v2.
pub const EMBEDDING_DIMENSION: usize = 384;

/// Key of a chunk in the index: letters, digits, `-`, `_` only, so that Azure AI Search takes it too.
/// Derived from source and position: the same file ingested twice gives the same ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub String);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One passage of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub id: ChunkId,
    /// Where it came from: path relative to the ingested folder, with `/` separators.
    pub source: String,
    /// Title of the document and the heading path of the passage, joined by ` › `.
    pub title: Option<String>,
    /// The passage exactly as it is shown and cited.
    pub content: String,
    /// From 1; only for paged formats.
    pub page_number: Option<u32>,
    /// From 0, over the whole source.
    pub chunk_index: u32,
    /// SHA-256 of title and content, lower-case hex.
    pub content_hash: String,
    /// ISO 639-1 code where it could be told.
    pub language: Option<String>,
    pub tags: Vec<String>,
    /// RFC 3339, UTC: when this version was ingested.
    pub created_at: String,
}

/// A unit vector of [`EMBEDDING_DIMENSION`] numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Takes a vector as the model gave it; `None` unless it has the right length, is finite and
    /// has unit length within 1e-3.
    pub fn new(values: Vec<f32>) -> Option<Self> {
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        (values.len() == EMBEDDING_DIMENSION && (norm - 1.0).abs() < 1e-3)
            .then(|| Self(values.into_boxed_slice()))
    }

    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Cosine similarity: the dot product, as both are unit vectors.
    pub fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().zip(other.0.iter()).map(|(a, b)| a * b).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedding_has_the_right_length_and_norm() {
        assert!(Embedding::new(vec![0.0; EMBEDDING_DIMENSION]).is_none());
        assert!(Embedding::new(vec![1.0]).is_none());
        let mut unit = vec![0.0; EMBEDDING_DIMENSION];
        unit[3] = 1.0;
        assert!(Embedding::new(unit.clone()).is_some());
        unit[4] = f32::NAN;
        assert!(Embedding::new(unit).is_none());
    }
}
