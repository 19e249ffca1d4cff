//! A definition from the body of a request, checked as strictly as the service does.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    super::{members::Members, names, refusal::Refusal},
    Definition, Edm, Field, FieldKind, Semantic, Similarity, VectorSearch, analyzer_named,
};

/// The service's bound for all but its smallest plans.
const MAX_FIELDS: usize = 1_000;
/// What the table can tell apart.
const MAX_VECTOR_FIELDS: usize = 64;
const DIMENSIONS: std::ops::RangeInclusive<i64> = 2..=4_096;

/// Reads what clients send, and what [`super::write`] gave them before.
pub(in crate::emulator) fn read(body: &Map<String, Value>) -> Result<Definition, Refusal> {
    let members = Members::new(body);
    for ignored in ["@odata.context", "@odata.etag"] {
        members.value(ignored);
    }
    let name = members.text("name").map_err(wrong)?.unwrap_or_default();
    names::check_index(name).map_err(|message| Refusal::definition("InvalidName", message))?;
    let fields = members.objects("fields").map_err(wrong)?.into_iter().map(field);
    let definition = Definition {
        name: name.to_owned(),
        description: members.text("description").map_err(wrong)?.map(str::to_owned),
        fields: fields.collect::<Result<_, _>>()?,
        cors: members.object("corsOptions").map_err(wrong)?.cloned().map_or(Value::Null, Value::Object),
        similarity: Similarity::read(members.object("similarity").map_err(wrong)?)?,
        semantic: members.object("semantic").map_err(wrong)?.map(Semantic::read).transpose()?,
        vector_search: members.object("vectorSearch").map_err(wrong)?.map(VectorSearch::read).transpose()?,
    };
    if let Some(member) = members.unknown() {
        let known = [
            "scoringProfiles",
            "defaultScoringProfile",
            "suggesters",
            "analyzers",
            "normalizers",
            "tokenizers",
            "tokenFilters",
            "charFilters",
            "encryptionKey",
            "permissionFilterOption",
            "purviewEnabled",
        ];
        if known.contains(&member) {
            return Err(Refusal::not_emulated(format!("The member '{member}' of an index definition")));
        }
        return Err(unknown(member, "index"));
    }
    check_whole(&definition)?;
    Ok(definition)
}

fn check_whole(definition: &Definition) -> Result<(), Refusal> {
    let fields = &definition.fields;
    if fields.is_empty() || fields.len() > MAX_FIELDS {
        return Err(invalid_field(format!("An index must have 1 to {MAX_FIELDS} fields.")));
    }
    let mut seen = HashSet::new();
    for field in fields {
        // The service takes names that differ in case alone for the same.
        if !seen.insert(field.name.to_ascii_lowercase()) {
            return Err(invalid_field(format!("There is more than one field named '{}'.", field.name)));
        }
    }
    let keys: Vec<&Field> = fields.iter().filter(|field| field.key).collect();
    match keys.as_slice() {
        [] => return Err(Refusal::definition("MissingKeyField", "One field of the index must be the key.")),
        [key] if key.kind != FieldKind::One(Edm::String) => {
            return Err(invalid_field(format!("The key field '{}' must be of type Edm.String.", key.name)));
        }
        [key] if !key.retrievable => {
            return Err(invalid_field(format!("The key field '{}' must be retrievable.", key.name)));
        }
        [_] => {}
        _ => {
            let names: Vec<&str> = keys.iter().map(|field| field.name.as_str()).collect();
            let names = names.join("', '");
            return Err(invalid_field(format!("Only one field can be the key, not several: '{names}'.")));
        }
    }
    if definition.vector_fields().count() > MAX_VECTOR_FIELDS {
        return Err(Refusal::not_emulated(format!(
            "An index with more than {MAX_VECTOR_FIELDS} vector fields"
        )));
    }
    for field in definition.vector_fields() {
        let profile = field.vector_profile.as_deref().unwrap_or_default();
        let profiles = definition.vector_search.as_ref().map_or(&[][..], |search| &search.profiles);
        if !profiles.iter().any(|known| known.name == profile) {
            return Err(Refusal::definition(
                "UnknownVectorAlgorithmConfiguration",
                format!(
                    "The field '{}' uses a vector search algorithm configuration '{profile}' which is not defined.",
                    field.name
                ),
            ));
        }
    }
    for name in definition.semantic.iter().flat_map(Semantic::fields) {
        let text = |field: &Field| {
            field.searchable
                && matches!(field.kind, FieldKind::One(Edm::String) | FieldKind::Many(Edm::String))
        };
        // Keywords may also be fields that are only filterable.
        let usable = |field: &Field| text(field) || field.kind != FieldKind::Vector;
        if !definition.field(name).is_some_and(usable) {
            return Err(invalid_field(format!(
                "The semantic configuration names the field '{name}', which cannot be used."
            )));
        }
    }
    Ok(())
}

fn field(map: &Map<String, Value>) -> Result<Field, Refusal> {
    let members = Members::new(map);
    let text = |name| members.text(name).map(|text| text.map(str::to_owned)).map_err(invalid_field);
    let name = text("name")?.unwrap_or_default();
    names::check_field(&name).map_err(|message| Refusal::definition("InvalidName", message))?;
    let type_name = text("type")?.unwrap_or_default();
    let kind = kind(&name, &type_name)?;
    let vector = kind == FieldKind::Vector;
    let many = matches!(kind, FieldKind::Many(_));
    let string = matches!(kind, FieldKind::One(Edm::String) | FieldKind::Many(Edm::String));
    let flag =
        |member, default| members.flag(member).map(|flag| flag.unwrap_or(default)).map_err(invalid_field);
    let dimensions = members.integer("dimensions").map_err(invalid_field)?;
    let field = Field {
        key: flag("key", false)?,
        searchable: flag("searchable", string || vector)?,
        filterable: flag("filterable", !vector)?,
        retrievable: flag("retrievable", !vector)?,
        stored: flag("stored", true)?,
        sortable: flag("sortable", !vector && !many)?,
        facetable: flag("facetable", !vector)?,
        analyzer: text("analyzer")?,
        index_analyzer: text("indexAnalyzer")?,
        search_analyzer: text("searchAnalyzer")?,
        dimensions: dimensions.and_then(|length| usize::try_from(length).ok()),
        vector_profile: text("vectorSearchProfile")?,
        kind,
        name,
    };
    for member in ["normalizer", "vectorEncoding"] {
        if members.value(member).is_some() {
            return Err(Refusal::not_emulated(format!(
                "The attribute '{member}' of the field '{}'",
                field.name
            )));
        }
    }
    if !members.list("synonymMaps").map_err(invalid_field)?.is_empty() {
        return Err(Refusal::not_emulated(format!("The synonym map of the field '{}'", field.name)));
    }
    if !members.list("fields").map_err(invalid_field)?.is_empty() {
        return Err(Refusal::not_emulated("A complex field"));
    }
    if let Some(member) = members.unknown() {
        let preview = [
            "permissionFilter",
            "sensitivityLabelId",
            "sensitivityLabelName",
            "sourceDocumentId",
            "sharepointSiteUrl",
        ];
        if preview.contains(&member) {
            return Err(Refusal::not_emulated(format!("The attribute '{member}' of a field")));
        }
        return Err(unknown(member, "field"));
    }
    if vector {
        check_vector(&field, dimensions)?
    } else {
        check_simple(&field, string, many, dimensions)?
    }
    Ok(field)
}

fn kind(field: &str, name: &str) -> Result<FieldKind, Refusal> {
    let edm = |name: &str| match name {
        "Edm.String" => Some(Edm::String),
        "Edm.Int32" => Some(Edm::Int32),
        "Edm.Int64" => Some(Edm::Int64),
        "Edm.Double" => Some(Edm::Double),
        "Edm.Boolean" => Some(Edm::Boolean),
        "Edm.DateTimeOffset" => Some(Edm::DateTimeOffset),
        _ => None,
    };
    let item = name.strip_prefix("Collection(").and_then(|rest| rest.strip_suffix(')'));
    if item == Some("Edm.Single") {
        return Ok(FieldKind::Vector);
    }
    let kind = match item {
        Some(item) => edm(item).map(FieldKind::Many),
        None => edm(name).map(FieldKind::One),
    };
    kind.ok_or_else(|| match item.unwrap_or(name) {
        "Edm.GeographyPoint" | "Edm.ComplexType" | "Edm.Half" | "Edm.Int16" | "Edm.SByte" | "Edm.Byte" => {
            Refusal::not_emulated(format!("The type '{name}' of the field '{field}'"))
        }
        _ => invalid_field(format!("The field '{field}' has the unknown type '{name}'.")),
    })
}

fn check_vector(field: &Field, dimensions: Option<i64>) -> Result<(), Refusal> {
    let name = &field.name;
    let Some(length) = dimensions else {
        return Err(invalid_field(format!(
            "The vector field '{name}' must have the property 'dimensions' set."
        )));
    };
    if !DIMENSIONS.contains(&length) {
        let (least, most) = (DIMENSIONS.start(), DIMENSIONS.end());
        return Err(invalid_field(format!(
            "The vector field '{name}' must have from {least} to {most} dimensions."
        )));
    }
    if field.vector_profile.is_none() {
        return Err(invalid_field(format!(
            "The vector field '{name}' must have the property 'vectorSearchProfile' set."
        )));
    }
    if !field.stored && field.retrievable {
        return Err(invalid_field(format!(
            "The field '{name}' is marked as not stored but is marked as retrievable. A retrievable field must be \
             stored. Either set 'stored=false' and 'retrievable=false' or 'stored=true'."
        )));
    }
    let analyzed =
        field.analyzer.is_some() || field.index_analyzer.is_some() || field.search_analyzer.is_some();
    if field.key || field.filterable || field.sortable || field.facetable || analyzed || !field.searchable {
        return Err(invalid_field(format!(
            "The vector field '{name}' must be searchable and cannot be key, filterable, sortable or facetable, \
             nor have an analyzer."
        )));
    }
    Ok(())
}

fn check_simple(field: &Field, string: bool, many: bool, dimensions: Option<i64>) -> Result<(), Refusal> {
    let name = &field.name;
    if dimensions.is_some() || field.vector_profile.is_some() {
        return Err(invalid_field(format!(
            "The field '{name}' is no vector field and cannot have dimensions or a vectorSearchProfile."
        )));
    }
    if field.searchable && !string {
        return Err(invalid_field(format!(
            "The field '{name}' cannot be searchable, as it holds no strings."
        )));
    }
    if field.sortable && many {
        return Err(invalid_field(format!("The field '{name}' is a collection and cannot be sortable.")));
    }
    if !field.stored {
        return Err(invalid_field(format!(
            "Only vector fields can have 'stored=false', not the field '{name}'."
        )));
    }
    let analyzers = [&field.analyzer, &field.index_analyzer, &field.search_analyzer];
    if analyzers.iter().any(|analyzer| analyzer.is_some()) && !field.searchable {
        return Err(invalid_field(format!("The field '{name}' has an analyzer but is not searchable.")));
    }
    if field.index_analyzer.is_some() != field.search_analyzer.is_some()
        || (field.analyzer.is_some() && field.index_analyzer.is_some())
    {
        return Err(invalid_field(format!(
            "The field '{name}' must have either 'analyzer', or both 'indexAnalyzer' and 'searchAnalyzer'."
        )));
    }
    if field.index_analyzer != field.search_analyzer {
        return Err(Refusal::not_emulated("A searchAnalyzer that differs from the indexAnalyzer"));
    }
    if let Some(unknown) = analyzers.into_iter().flatten().find(|name| analyzer_named(name).is_none()) {
        return Err(Refusal::not_emulated(format!("The analyzer '{unknown}' of the field '{name}'")));
    }
    Ok(())
}

fn unknown(member: &str, kind: &str) -> Refusal {
    Refusal::definition(
        "UnknownProperty",
        format!("The property '{member}' of the {kind} definition is unknown."),
    )
}

fn invalid_field(message: String) -> Refusal {
    Refusal::definition("InvalidField", message)
}

fn wrong(message: String) -> Refusal {
    Refusal::definition("InvalidDefinition", message)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
