//! The fields of the index, and the way of a chunk into and out of them.

use tantivy::{
    TantivyDocument,
    schema::{
        Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions, Value,
    },
};

use super::{
    analyzer::{CHARACTERS, WORDS},
    snapshot::Layout,
};
use crate::{
    domain::{Chunk, ChunkId, EMBEDDING_DIMENSION},
    retrieval::Fingerprint,
};

/// Handles of all fields. The names are those of the Azure AI Search index, plus some of our own:
/// `text` (what keywords match), `cjkCharacters`, `document` (what is known of the whole source, at its
/// first chunk), and the columns of [`Layout`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    id: Field,
    pub(super) source: Field,
    title: Field,
    content: Field,
    pub(super) text: Field,
    pub(super) cjk_characters: Field,
    pub(super) page_number: Field,
    chunk_index: Field,
    content_hash: Field,
    pub(super) language: Field,
    pub(super) tags: Field,
    created_at: Field,
    embedding_model: Field,
    embedding_revision: Field,
    pub(super) document: Field,
}

impl Fields {
    pub(super) fn layout() -> (Layout, Self) {
        let mut schema = Schema::builder();
        let analyzed = |name| {
            TextOptions::default().set_indexing_options(
                TextFieldIndexing::default()
                    .set_tokenizer(name)
                    .set_index_option(IndexRecordOption::WithFreqs),
            )
        };
        let fields = Self {
            id: schema.add_text_field("id", STRING | STORED),
            source: schema.add_text_field("source", STRING | STORED),
            title: schema.add_text_field("title", STORED),
            content: schema.add_text_field("content", STORED),
            text: schema.add_text_field("text", analyzed(WORDS)),
            cjk_characters: schema.add_text_field("cjkCharacters", analyzed(CHARACTERS)),
            page_number: schema.add_u64_field("pageNumber", INDEXED | STORED),
            chunk_index: schema.add_u64_field("chunkIndex", INDEXED | STORED),
            content_hash: schema.add_text_field("contentHash", STORED),
            language: schema.add_text_field("language", STRING | STORED),
            tags: schema.add_text_field("tags", STRING | STORED),
            created_at: schema.add_text_field("createdAt", STORED),
            embedding_model: schema.add_text_field("embeddingModel", STORED),
            embedding_revision: schema.add_text_field("embeddingRevision", STORED),
            document: schema.add_text_field("document", STORED),
        };
        (Layout::new(schema, EMBEDDING_DIMENSION), fields)
    }

    pub(super) fn first_chunk(&self) -> tantivy::Term {
        tantivy::Term::from_field_u64(self.chunk_index, 0)
    }

    /// `document`: what is known of the whole source; given with its first chunk only.
    pub(super) fn to_document(
        self,
        chunk: &Chunk,
        made_with: &Fingerprint,
        document: Option<&str>,
    ) -> TantivyDocument {
        let mut out = TantivyDocument::new();
        out.add_text(self.embedding_model, &made_with.model);
        out.add_text(self.embedding_revision, &made_with.weights_sha256);
        out.add_text(self.id, &chunk.id.0);
        out.add_text(self.source, &chunk.source);
        let title = chunk.title.as_deref().unwrap_or_default();
        if !title.is_empty() {
            out.add_text(self.title, title);
        }
        out.add_text(self.content, &chunk.content);
        let text = format!("{title}\n{}", chunk.content);
        out.add_text(self.cjk_characters, &text);
        out.add_text(self.text, text);
        if let Some(page) = chunk.page_number {
            out.add_u64(self.page_number, u64::from(page));
        }
        out.add_u64(self.chunk_index, u64::from(chunk.chunk_index));
        out.add_text(self.content_hash, &chunk.content_hash);
        if let Some(language) = &chunk.language {
            out.add_text(self.language, language);
        }
        for tag in &chunk.tags {
            out.add_text(self.tags, tag);
        }
        out.add_text(self.created_at, &chunk.created_at);
        if let Some(document) = document {
            out.add_text(self.document, document);
        }
        out
    }

    pub(super) fn to_chunk(self, stored: &TantivyDocument) -> Chunk {
        let text = |field| stored.get_first(field).and_then(|value| value.as_str()).map(str::to_owned);
        let number = |field| {
            stored
                .get_first(field)
                .and_then(|value| value.as_u64())
                .and_then(|value| u32::try_from(value).ok())
        };
        Chunk {
            id: ChunkId(text(self.id).unwrap_or_default()),
            source: text(self.source).unwrap_or_default(),
            title: text(self.title),
            content: text(self.content).unwrap_or_default(),
            page_number: number(self.page_number),
            chunk_index: number(self.chunk_index).unwrap_or_default(),
            content_hash: text(self.content_hash).unwrap_or_default(),
            language: text(self.language),
            tags: stored.get_all(self.tags).filter_map(|value| value.as_str().map(str::to_owned)).collect(),
            created_at: text(self.created_at).unwrap_or_default(),
        }
    }
}
