//! Rules for the names of indexes, aliases, fields and documents.

/// What is wrong with the name of an index or alias.
pub(super) fn check_index(name: &str) -> Result<(), String> {
    let valid = (2..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && !name.as_bytes().windows(2).any(|pair| pair.iter().all(|b| matches!(b, b'-' | b'_')));
    if valid {
        return Ok(());
    }
    Err(format!(
        "Invalid name: '{}'. A name has 2 to 128 lower-case letters, digits, dashes and underscores, starts \
         with a letter or digit, and has no two dashes or underscores in a row.",
        shortened(name)
    ))
}

pub(super) fn check_field(name: &str) -> Result<(), String> {
    let valid = (1..=128).contains(&name.len())
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err(format!(
            "Invalid field name: '{}'. A field name has 1 to 128 letters, digits and underscores and starts \
             with a letter.",
            shortened(name)
        ));
    }
    if name.starts_with("azureSearch") {
        return Err(format!("Invalid field name: '{name}'. Field names cannot start with 'azureSearch'."));
    }
    Ok(())
}

/// `any_characters` is the query parameter `allowUnsafeKeys`.
pub(super) fn check_key(key: &str, any_characters: bool) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("Invalid document key: '{}'. {why}", shortened(key)));
    if key.len() > 1_024 {
        return invalid("Keys cannot be longer than 1024 characters.");
    }
    if any_characters {
        return Ok(());
    }
    if key.starts_with('_') {
        return invalid("Keys cannot start with a leading underscore.");
    }
    if !key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=')) {
        return invalid(
            "Keys can only contain letters, digits, underscore (_), dash (-), or equal sign (=). If the keys \
             in your source data contain other characters, we recommend encoding them with a URL-safe version \
             of Base64 before uploading them to your index.",
        );
    }
    Ok(())
}

/// A name of any length must not fill an error.
fn shortened(name: &str) -> String {
    name.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_follow_the_rules() {
        for good in ["ab", "rag-chunks-v1", "1_a", &"a".repeat(128)] {
            assert_eq!(check_index(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "Ab", "-ab", "_ab", "a--b", "a-_b", "a.b", "a/b", "日本", &"a".repeat(129)] {
            assert!(check_index(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_names_follow_the_rules() {
        assert_eq!(check_field("content_Vector1"), Ok(()));
        for bad in ["", "1a", "_a", "a-b", "azureSearchX", "é", &"a".repeat(129)] {
            assert!(check_field(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_follow_the_rules_unless_they_are_lifted() {
        for good in ["a", "A-1_=", "=", "-"] {
            assert_eq!(check_key(good, false), Ok(()), "{good}");
        }
        for bad in ["_a", "a b", "a/b", "é"] {
            assert!(check_key(bad, false).is_err(), "{bad}");
            assert_eq!(check_key(bad, true), Ok(()));
        }
        assert!(check_key(&"a".repeat(1_025), true).is_err());
    }
}
