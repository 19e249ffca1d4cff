//! A definition as the service gives it back: every member, in its order, with defaults filled in.

use super::{
    super::json::{Json, list, object},
    Definition, Field, Semantic, VectorSearch,
};

/// `etag` is absent in what is kept on disk beside it.
pub(in crate::emulator) fn write(definition: &Definition, etag: &str) -> Vec<(String, Json)> {
    let empty = || Json::List(Vec::new());
    let members = [
        ("@odata.etag", etag.into()),
        ("name", definition.name.clone().into()),
        ("description", definition.description.clone().into()),
        ("defaultScoringProfile", Json::Null),
        ("fields", list(definition.fields.iter().map(field))),
        ("scoringProfiles", empty()),
        ("corsOptions", definition.cors.clone().into()),
        ("suggesters", empty()),
        ("analyzers", empty()),
        ("normalizers", empty()),
        ("tokenizers", empty()),
        ("tokenFilters", empty()),
        ("charFilters", empty()),
        ("encryptionKey", Json::Null),
        ("similarity", definition.similarity.write()),
        ("semantic", definition.semantic.as_ref().map(Semantic::write).into()),
        ("vectorSearch", definition.vector_search.as_ref().map(VectorSearch::write).into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn field(field: &Field) -> Json {
    object([
        ("name", field.name.clone().into()),
        ("type", field.kind.name().into()),
        ("searchable", field.searchable.into()),
        ("filterable", field.filterable.into()),
        ("retrievable", field.retrievable.into()),
        ("stored", field.stored.into()),
        ("sortable", field.sortable.into()),
        ("facetable", field.facetable.into()),
        ("key", field.key.into()),
        ("indexAnalyzer", field.index_analyzer.clone().into()),
        ("searchAnalyzer", field.search_analyzer.clone().into()),
        ("analyzer", field.analyzer.clone().into()),
        ("normalizer", Json::Null),
        ("dimensions", field.dimensions.into()),
        ("vectorSearchProfile", field.vector_profile.clone().into()),
        ("vectorEncoding", Json::Null),
        ("synonymMaps", Json::List(Vec::new())),
    ])
}
