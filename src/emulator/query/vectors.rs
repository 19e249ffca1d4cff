//! Vector queries of a search.

use serde_json::{Map, Value};

use super::super::{definition::Definition, documents::single, members::Members, refusal::Refusal};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct VectorQuery {
    pub(super) vector: Vec<f32>,
    /// Numbers among the vector fields, with their names.
    pub(super) fields: Vec<(usize, String)>,
    pub(super) k: usize,
    pub(super) weight: f32,
}

/// The service's default is not documented; its clients are told to send `k`.
const DEFAULT_K: i64 = 50;
const MAX_FIELDS: usize = 10;

pub(super) fn read<'a>(definition: &Definition, members: &Members<'a>) -> Result<Vec<VectorQuery>, Refusal> {
    let queries = members.objects("vectorQueries").map_err(Refusal::parameters)?;
    queries.into_iter().map(|query| one(definition, query)).collect()
}

fn one(definition: &Definition, query: &Map<String, Value>) -> Result<VectorQuery, Refusal> {
    let members = Members::new(query);
    match members.text("kind").map_err(Refusal::parameters)? {
        Some("vector") => {}
        Some(kind @ ("text" | "imageUrl" | "imageBinary")) => {
            return Err(Refusal::not_emulated(format!("A vector query of the kind '{kind}'")));
        }
        _ => return Err(wrong("Each vector query needs the kind 'vector'.")),
    }
    let numbers = members.list("vector").map_err(Refusal::parameters)?;
    let vector: Option<Vec<f32>> = numbers.iter().map(single).collect();
    let vector = vector.ok_or_else(|| wrong("A query vector takes finite numbers of 32 bits alone."))?;
    let fields = fields(definition, members.text("fields").map_err(Refusal::parameters)?, vector.len())?;
    let k = members.integer("k").map_err(Refusal::parameters)?.unwrap_or(DEFAULT_K);
    let weight = members.number("weight").map_err(Refusal::parameters)?.unwrap_or(1.0);
    let oversampling = members.number("oversampling").map_err(Refusal::parameters)?.unwrap_or(1.0);
    // Every search is exhaustive and exact here, so neither changes anything.
    members.flag("exhaustive").map_err(Refusal::parameters)?;
    if k < 1 {
        return Err(wrong("The value of 'k' must be at least 1."));
    }
    if !(weight as f32 > 0.0 && (weight as f32).is_finite()) {
        return Err(wrong("The value of 'weight' must be greater than 0."));
    }
    if oversampling < 1.0 {
        return Err(wrong("The value of 'oversampling' must be at least 1."));
    }
    if let Some(name) = members.unknown() {
        let preview = ["threshold", "filterOverride", "perDocumentVectorLimit", "queryRewrites"];
        if preview.contains(&name) {
            return Err(Refusal::not_emulated(format!("The member '{name}' of a vector query")));
        }
        let name: String = name.chars().take(200).collect();
        return Err(wrong(&format!("The property '{name}' does not exist on a vector query.")));
    }
    Ok(VectorQuery { vector, fields, k: usize::try_from(k).unwrap_or(usize::MAX), weight: weight as f32 })
}

fn fields(
    definition: &Definition,
    list: Option<&str>,
    length: usize,
) -> Result<Vec<(usize, String)>, Refusal> {
    let names: Vec<&str> =
        list.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > MAX_FIELDS {
        return Err(wrong(&format!("Each vector query must name 1 to {MAX_FIELDS} 'fields'.")));
    }
    names
        .into_iter()
        .map(|name| {
            let Some(number) = definition.vector_fields().position(|field| field.name == name) else {
                let name: String = name.chars().take(200).collect();
                return Err(match definition.field(&name) {
                    None => wrong(&format!("Unknown field '{name}' in vector field list.")),
                    Some(_) => wrong(&format!("The field '{name}' in the vector field list is no vector field.")),
                });
            };
            let expected = definition.field(name).and_then(|field| field.dimensions).unwrap_or_default();
            if expected != length {
                return Err(wrong(&format!(
                    "There's a mismatch in vector dimensions. The vector field '{name}', with dimension of \
                     '{expected}', expects a length of '{expected}'. However, the provided vector has a length of \
                     '{length}'. Please ensure that the vector length matches the expected length of the vector field."
                )));
            }
            Ok((number, name.to_owned()))
        })
        .collect()
}

fn wrong(message: &str) -> Refusal {
    Refusal::parameter("vectorQueries", "InvalidVectorQuery", message)
}
