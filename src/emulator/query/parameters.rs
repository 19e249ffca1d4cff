//! A search by GET: the parameters of the URL as the members of a POST.

use serde_json::{Map, Value};

use super::super::refusal::Refusal;

/// Parameters that are no part of the search are left out; there is none for vectors.
pub(in crate::emulator) fn from_url(pairs: &[(String, String)]) -> Result<Map<String, Value>, Refusal> {
    let mut body = Map::new();
    for (name, value) in pairs {
        let member = name.strip_prefix('$').unwrap_or(name);
        let wrong = |wanted: &str| Refusal::parameters(format!("The value of '{name}' must be {wanted}."));
        let value = match member {
            "api-version" | "api-key" => continue,
            "facet" | "scoringParameter" => {
                let list = body.entry(format!("{member}s")).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(value.as_str().into());
                }
                continue;
            }
            "top" | "skip" => value.parse::<i64>().map_err(|_| wrong("an integer"))?.into(),
            "minimumCoverage" => value.parse::<f64>().map_err(|_| wrong("a number"))?.into(),
            "count" => value.parse::<bool>().map_err(|_| wrong("true or false"))?.into(),
            "vectorQueries" | "vectorFilterMode" => {
                return Err(Refusal::parameters(format!("'{member}' can only be sent by POST.")));
            }
            _ => value.as_str().into(),
        };
        body.insert(member.to_owned(), value);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_members() {
        let pairs = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
            from_url(&pairs).map(Value::Object)
        };
        assert_eq!(
            pairs(&[
                ("api-version", "2026-04-01"),
                ("search", "x"),
                ("$top", "5"),
                ("$count", "true"),
                ("facet", "a,count:3"),
                ("facet", "b"),
                ("$filter", "c eq 1")
            ])
            .unwrap(),
            serde_json::json!({"search": "x", "top": 5, "count": true, "facets": ["a,count:3", "b"], "filter": "c eq 1"})
        );
        assert!(pairs(&[("$top", "x")]).is_err());
        assert!(pairs(&[("vectorQueries", "[]")]).is_err());
    }
}
