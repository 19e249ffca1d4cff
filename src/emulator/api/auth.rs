//! Who may do what: the admin key everything, the query key searches and lookups.

use axum::http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::super::refusal::Refusal;
use crate::config::EmulatorConfig;

/// Without an admin key every request is let in.
pub(super) struct Keys {
    admin: Option<[u8; 32]>,
    query: Option<[u8; 32]>,
}

impl Keys {
    pub(super) fn new(config: &EmulatorConfig) -> Self {
        let hashed =
            |key: &Option<SecretString>| key.as_ref().map(|key| hash(key.expose_secret().as_bytes()));
        Self { admin: hashed(&config.admin_key), query: hashed(&config.query_key) }
    }

    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        query: &[(String, String)],
        only_reads: bool,
    ) -> Result<(), Refusal> {
        if query.iter().any(|(name, _)| name.eq_ignore_ascii_case("api-key")) {
            return Err(forbidden("The given API key is not permitted in the URI query string."));
        }
        let Some(admin) = &self.admin else { return Ok(()) };
        let Some(given) = headers.get("api-key") else {
            let bearer = headers.contains_key(header::AUTHORIZATION);
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "",
                if bearer {
                    "Bearer tokens are not emulated. Send the header api-key."
                } else {
                    "The header api-key is missing. Its value is AZURE_SEARCH_API_KEY of the emulator."
                },
            ));
        };
        let given = hash(given.as_bytes());
        if same(&given, admin) {
            return Ok(());
        }
        match &self.query {
            Some(query) if same(&given, query) && only_reads => Ok(()),
            Some(query) if same(&given, query) => Err(forbidden(
                "The query key can search, count and look up documents only. Use the admin key.",
            )),
            _ => Err(forbidden("The api-key is wrong.")),
        }
    }
}

fn forbidden(message: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "", message)
}

/// Hashes have one length, so that comparing them tells nothing about the keys.
fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Takes the same time wherever they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(keys: &Keys, key: Option<&str>, only_reads: bool) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("api-key", key.parse().unwrap());
        }
        keys.check(&headers, &[], only_reads).map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn keys_open_what_they_are_for() {
        let key = |text: &str| Some(SecretString::from(text.to_owned()));
        let config = EmulatorConfig { dir: "x".into(), admin_key: key("admin"), query_key: key("query") };
        let keys = Keys::new(&config);
        assert_eq!([status(&keys, Some("admin"), true), status(&keys, Some("admin"), false)], [200, 200]);
        assert_eq!([status(&keys, Some("query"), true), status(&keys, Some("query"), false)], [200, 403]);
        assert_eq!([status(&keys, Some("other"), true), status(&keys, None, true)], [403, 401]);
        let open = Keys::new(&EmulatorConfig { dir: "x".into(), admin_key: None, query_key: None });
        assert_eq!([status(&open, None, false), status(&open, Some("any"), false)], [200, 200]);
    }

    #[test]
    fn a_key_in_the_url_is_refused_even_if_right() {
        let open = Keys { admin: None, query: None };
        let query = [("api-key".to_owned(), "x".to_owned())];
        assert_eq!(open.check(&HeaderMap::new(), &query, true).unwrap_err().status, 403);
    }
}
