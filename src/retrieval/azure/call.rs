//! One request of the dialect: method, path and what stands beside its body.

use reqwest::Method;

/// Which metadata the reply carries; the service's own clients ask so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accept {
    Documents,
    Management,
}

impl Accept {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "application/json;odata.metadata=none",
            Self::Management => "application/json;odata.metadata=minimal",
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Below the endpoint, encoded.
    pub(super) path: String,
    /// Behind the api-version, encoded.
    pub(super) query: Option<&'static str>,
    pub(super) accept: Accept,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Statuses that the caller handles itself.
    pub(super) expected: &'static [u16],
}

impl Call {
    fn new(method: Method, path: String, accept: Accept) -> Self {
        Self { method, path, query: None, accept, body: None, headers: Vec::new(), expected: &[] }
    }

    pub(super) fn search(index: &str, body: Vec<u8>) -> Self {
        let path = format!("{}/docs/search.post.search", index_path(index));
        Self { body: Some(body), ..Self::new(Method::POST, path, Accept::Documents) }
    }

    pub(super) fn index_documents(index: &str, body: Vec<u8>) -> Self {
        let path = format!("{}/docs/search.index", index_path(index));
        Self { body: Some(body), ..Self::new(Method::POST, path, Accept::Documents) }
    }

    pub(super) fn document(index: &str, key: &str, query: &'static str) -> Self {
        let path = format!("{}/docs('{}')", index_path(index), encode(key));
        Self { query: Some(query), ..Self::new(Method::GET, path, Accept::Documents) }
    }

    pub(super) fn count(index: &str) -> Self {
        Self::new(Method::GET, format!("{}/docs/$count", index_path(index)), Accept::Documents)
    }

    pub(super) fn get_index(index: &str) -> Self {
        Self::new(Method::GET, index_path(index), Accept::Management)
    }

    pub(super) fn put_index(index: &str, body: Vec<u8>) -> Self {
        Self::put(index_path(index), body)
    }

    pub(super) fn delete_index(index: &str) -> Self {
        Self::new(Method::DELETE, index_path(index), Accept::Management)
    }

    pub(super) fn statistics(index: &str) -> Self {
        Self::new(Method::GET, format!("{}/search.stats", index_path(index)), Accept::Management)
    }

    pub(super) fn get_alias(alias: &str) -> Self {
        Self::new(Method::GET, alias_path(alias), Accept::Management)
    }

    pub(super) fn put_alias(alias: &str, body: Vec<u8>) -> Self {
        Self::put(alias_path(alias), body)
    }

    pub(super) fn delete_alias(alias: &str) -> Self {
        Self::new(Method::DELETE, alias_path(alias), Accept::Management)
    }

    fn put(path: String, body: Vec<u8>) -> Self {
        let headers = vec![("prefer", "return=representation".to_owned())];
        Self { body: Some(body), headers, ..Self::new(Method::PUT, path, Accept::Management) }
    }

    pub(super) fn expecting(self, expected: &'static [u16]) -> Self {
        Self { expected, ..self }
    }

    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn index_path(index: &str) -> String {
    format!("/indexes('{}')", encode(index))
}

fn alias_path(alias: &str) -> String {
    format!("/aliases('{}')", encode(alias))
}

/// Everything but the unreserved characters of RFC 3986, as the service's own clients encode a name.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_leave_its_quotes() {
        let call = Call::document("ragdocs", "o'brien=_-1/../x?y", "$select=id");
        assert_eq!(call.path, "/indexes('ragdocs')/docs('o%27brien%3D_-1%2F..%2Fx%3Fy')");
    }
}
