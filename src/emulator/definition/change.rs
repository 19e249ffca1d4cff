//! What may change in a definition that has documents.

use super::{super::refusal::Refusal, Definition, Field};

/// `true` when the table must be rebuilt, as it gains a field it searches.
pub(in crate::emulator) fn check_change(old: &Definition, new: &Definition) -> Result<bool, Refusal> {
    for field in &old.fields {
        let Some(kept) = new.field(&field.name) else {
            return Err(Refusal::not_allowed(
                "CannotDeleteExistingField",
                format!("Existing field '{}' cannot be deleted.", field.name),
            ));
        };
        if fixed(field) != fixed(kept) {
            return Err(Refusal::not_allowed(
                "CannotChangeExistingField",
                format!("Existing field '{}' cannot be changed.", field.name),
            ));
        }
    }
    let (old, new) = (old.schema(), new.schema());
    let text = |schema: &super::TableSchema| schema.text.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    let vectors =
        |schema: &super::TableSchema| schema.vectors.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    Ok(text(&old) != text(&new) || vectors(&old) != vectors(&new))
}

/// A field without the one attribute that may change.
fn fixed(field: &Field) -> Field {
    Field { retrievable: false, ..field.clone() }
}
