//! Where passages live: a folder, or an index of Azure AI Search.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{EntraConfig, EnvReader};

/// Where passages live.
#[derive(Debug, Clone)]
pub enum SearchBackend {
    /// The embedded index in this folder.
    Local { dir: PathBuf },
    /// An index of Azure AI Search, or of a server that speaks its dialect.
    Azure(Box<AzureConfig>),
}

/// How requests to the search service prove who sends them.
#[derive(Debug, Clone)]
pub enum AzureAuth {
    Key {
        /// Reads and writes; `None`: this process can only read.
        admin: Option<SecretString>,
        /// Reads only; `None`: reading uses the admin key.
        query: Option<SecretString>,
    },
    Entra(EntraConfig),
}

/// How vectors are kept by the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    None,
    /// 8-bit integers for the search, the original numbers for the final order.
    Scalar,
}

/// One index of Azure AI Search.
#[derive(Debug, Clone)]
pub struct AzureConfig {
    /// Scheme, host and perhaps a path, without a trailing slash.
    pub endpoint: String,
    /// An index or an alias.
    pub index: String,
    pub api_version: String,
    pub auth: AzureAuth,
    /// Of `content` and `title`, for a new index.
    pub analyzer: String,
    /// Rerank with the semantic ranker, which costs extra.
    pub semantic: bool,
    /// For a new index.
    pub quantization: Quantization,
    /// One try of a search.
    pub timeout: Duration,
    /// All tries of a search together.
    pub deadline: Duration,
    /// Tries after the first.
    pub max_retries: u32,
}

impl AzureConfig {
    /// Requests that write carry megabytes and meet throttling that lasts: their try and their deadline
    /// are this many times those of a search.
    pub const WRITE_PATIENCE: u32 = 10;

    pub const DEFAULT_INDEX: &str = "ragdocs";
    pub const DEFAULT_API_VERSION: &str = "2026-04-01";
    const DEFAULT_AUDIENCE: &str = "https://search.azure.com";
}

impl SearchBackend {
    pub(super) fn read(env: &mut EnvReader) -> Self {
        let dir = env.text_or("INDEX_DIR", ".rag/index").into();
        let azure = Settings::read(env);
        let wanted = match env.text_or("SEARCH_BACKEND", "auto").as_str() {
            "local" => false,
            "azure" => true,
            "auto" => azure.endpoint.is_some(),
            other => {
                env.mistake("SEARCH_BACKEND", format!("must be auto, local or azure, not {other:?}"));
                false
            }
        };
        if wanted { Self::Azure(Box::new(azure.checked(env))) } else { Self::Local { dir } }
    }
}

/// The variables as they are, before the rules that join them; those apply only where Azure is used.
struct Settings {
    endpoint: Option<String>,
    index: String,
    api_version: String,
    admin: Option<SecretString>,
    query: Option<SecretString>,
    auth: String,
    entra: EntraConfig,
    analyzer: String,
    semantic: String,
    quantization: String,
    timeout: u64,
    deadline: u64,
    max_retries: u32,
}

impl Settings {
    fn read(env: &mut EnvReader) -> Self {
        let mut seconds = |name, default| env.parsed(name, 1..=230, "1 to 230 seconds").unwrap_or(default);
        let timeout = seconds("AZURE_SEARCH_TIMEOUT_SECONDS", 10);
        let deadline = seconds("AZURE_SEARCH_DEADLINE_SECONDS", 30);
        let audience = env.text_or("AZURE_SEARCH_AUDIENCE", AzureConfig::DEFAULT_AUDIENCE);
        Self {
            endpoint: env.text("AZURE_SEARCH_ENDPOINT"),
            index: env.text_or("AZURE_SEARCH_INDEX_NAME", AzureConfig::DEFAULT_INDEX),
            api_version: env.text_or("AZURE_SEARCH_API_VERSION", AzureConfig::DEFAULT_API_VERSION),
            admin: env.secret("AZURE_SEARCH_API_KEY"),
            query: env.secret("AZURE_SEARCH_QUERY_KEY"),
            auth: env.text_or("AZURE_SEARCH_AUTH", "auto"),
            entra: EntraConfig::read(env, &audience),
            analyzer: env.text_or("AZURE_SEARCH_ANALYZER", "en.lucene"),
            semantic: env.text_or("AZURE_SEARCH_SEMANTIC", "off"),
            quantization: env.text_or("AZURE_SEARCH_QUANTIZATION", "none"),
            timeout,
            deadline,
            max_retries: env.parsed("AZURE_SEARCH_MAX_RETRIES", 0..=10, "0 to 10").unwrap_or(3),
        }
    }

    fn checked(self, env: &mut EnvReader) -> AzureConfig {
        let by_key = match self.auth.as_str() {
            "key" => true,
            "entra" => false,
            other => {
                if other != "auto" {
                    env.mistake("AZURE_SEARCH_AUTH", format!("must be auto, key or entra, not {other:?}"));
                }
                self.admin.is_some() || self.query.is_some()
            }
        };
        if by_key && self.admin.is_none() && self.query.is_none() {
            env.mistake("AZURE_SEARCH_API_KEY", "must be set when AZURE_SEARCH_AUTH is key");
        }
        for (name, key) in [("AZURE_SEARCH_API_KEY", &self.admin), ("AZURE_SEARCH_QUERY_KEY", &self.query)] {
            use secrecy::ExposeSecret;
            if key.as_ref().is_some_and(|key| !key.expose_secret().bytes().all(|b| b.is_ascii_graphic())) {
                env.mistake(name, "holds characters that a header cannot carry");
            }
        }
        let endpoint = self.endpoint.unwrap_or_default().trim_end_matches('/').to_owned();
        if let Err(reason) = check_endpoint(&endpoint, by_key) {
            env.mistake("AZURE_SEARCH_ENDPOINT", reason);
        }
        if let Err(reason) = check_index_name(&self.index) {
            env.mistake("AZURE_SEARCH_INDEX_NAME", reason);
        }
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !word(&self.api_version) {
            env.mistake("AZURE_SEARCH_API_VERSION", "must look like 2026-04-01");
        }
        if !word(&self.analyzer) {
            env.mistake("AZURE_SEARCH_ANALYZER", "must be the name of an analyzer, as in en.lucene");
        }
        if !self.entra.audience.starts_with("https://") {
            env.mistake("AZURE_SEARCH_AUDIENCE", "must begin with https://");
        }
        if self.timeout > self.deadline {
            env.mistake(
                "AZURE_SEARCH_DEADLINE_SECONDS",
                "must be at least AZURE_SEARCH_TIMEOUT_SECONDS, as it covers all tries",
            );
        }
        let auth = if by_key {
            AzureAuth::Key { admin: self.admin, query: self.query }
        } else {
            AzureAuth::Entra(self.entra)
        };
        AzureConfig {
            endpoint,
            index: self.index,
            api_version: self.api_version,
            auth,
            analyzer: self.analyzer,
            semantic: choice(env, "AZURE_SEARCH_SEMANTIC", &self.semantic, [("off", false), ("on", true)]),
            quantization: choice(
                env,
                "AZURE_SEARCH_QUANTIZATION",
                &self.quantization,
                [("none", Quantization::None), ("scalar", Quantization::Scalar)],
            ),
            timeout: Duration::from_secs(self.timeout),
            deadline: Duration::from_secs(self.deadline),
            max_retries: self.max_retries,
        }
    }
}

/// Keys and tokens open the whole index, so plain HTTP goes to this machine alone, and never with a token.
fn check_endpoint(endpoint: &str, by_key: bool) -> Result<(), String> {
    if endpoint.is_empty() {
        return Err("must be set when SEARCH_BACKEND is azure".into());
    }
    let (secure, rest) = match (endpoint.strip_prefix("https://"), endpoint.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("must begin with https://, or with http:// for an emulator on this machine".into()),
    };
    let host = host(rest);
    if host.is_empty() || rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) {
        return Err("must be scheme and host, as in https://NAME.search.windows.net".into());
    }
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if !secure && !loopback {
        return Err("must begin with https://, as the host is not this machine".into());
    }
    if !secure && !by_key {
        return Err("is http://, which never carries a token; set AZURE_SEARCH_API_KEY".into());
    }
    Ok(())
}

/// The host of `host:port/path`, an IPv6 address without its brackets.
fn host(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// The service's naming rules for indexes and aliases.
fn check_index_name(name: &str) -> Result<(), &'static str> {
    let bytes = name.as_bytes();
    let lower = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let dash = |b: &u8| matches!(b, b'-' | b'_');
    if !(2..=128).contains(&bytes.len())
        || !bytes.iter().all(|b| lower(b) || dash(b))
        || !bytes.first().is_some_and(lower)
        || bytes.windows(2).any(|pair| pair.iter().all(dash))
    {
        return Err("must be 2 to 128 lower-case letters, digits, single dashes or underscores, \
                    and begin with a letter or digit");
    }
    Ok(())
}

fn choice<T: Copy>(env: &mut EnvReader, name: &'static str, text: &str, values: [(&str, T); 2]) -> T {
    if let Some((_, value)) = values.iter().find(|(word, _)| *word == text) {
        return *value;
    }
    env.mistake(name, format!("must be {} or {}, not {text:?}", values[0].0, values[1].0));
    values[0].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigError;
    use crate::config::Identity;

    const ENDPOINT: (&str, &str) = ("AZURE_SEARCH_ENDPOINT", "https://x.search.windows.net/");
    const KEY: (&str, &str) = ("AZURE_SEARCH_API_KEY", "hidden-key");

    fn read(pairs: &[(&str, &str)]) -> Result<SearchBackend, ConfigError> {
        let mut env = EnvReader::from_pairs(pairs.iter().copied());
        let backend = SearchBackend::read(&mut env);
        env.finish(backend)
    }

    fn azure(pairs: &[(&str, &str)]) -> AzureConfig {
        match read(pairs).unwrap() {
            SearchBackend::Azure(config) => *config,
            SearchBackend::Local { .. } => panic!("local"),
        }
    }

    #[test]
    fn an_endpoint_chooses_azure_unless_told_otherwise() {
        assert!(matches!(read(&[]).unwrap(), SearchBackend::Local { .. }));
        assert!(matches!(
            read(&[ENDPOINT, ("SEARCH_BACKEND", "local"), ("AZURE_SEARCH_INDEX_NAME", "No!")]).unwrap(),
            SearchBackend::Local { .. }
        ));
        let config = azure(&[ENDPOINT, KEY]);
        assert_eq!(
            (config.endpoint.as_str(), config.index.as_str()),
            ("https://x.search.windows.net", "ragdocs")
        );
        assert!(read(&[("SEARCH_BACKEND", "azure"), KEY]).is_err());
    }

    #[test]
    fn every_mistake_names_its_variable_and_none_shows_a_key() {
        let ConfigError(lines) = read(&[
            ("AZURE_SEARCH_ENDPOINT", "x.search.windows.net"),
            ("AZURE_SEARCH_API_KEY", "hidden\u{e9}key"),
            ("AZURE_SEARCH_INDEX_NAME", "Upper"),
            ("AZURE_SEARCH_API_VERSION", "2026&x=1"),
            ("AZURE_SEARCH_AUTH", "guess"),
            ("AZURE_SEARCH_SEMANTIC", "yes"),
            ("AZURE_SEARCH_QUANTIZATION", "binary"),
            ("AZURE_SEARCH_TIMEOUT_SECONDS", "60"),
            ("AZURE_SEARCH_MAX_RETRIES", "99"),
            ("AZURE_SEARCH_ANALYZER", "en lucene"),
            ("AZURE_SEARCH_AUDIENCE", "search"),
        ])
        .unwrap_err();
        assert_eq!(lines.len(), 11, "{lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with("AZURE_SEARCH_")), "{lines:#?}");
        assert!(!lines.concat().contains("hidden"));
        assert!(!format!("{:?}", read(&[ENDPOINT, KEY]).unwrap()).contains("hidden"));
    }

    #[test]
    fn plain_http_goes_to_this_machine_with_a_key_and_nowhere_else() {
        let with = |endpoint, more: &[(&'static str, &'static str)]| {
            read(&[&[("AZURE_SEARCH_ENDPOINT", endpoint)], more].concat()).is_ok()
        };
        for local in ["http://localhost:8100", "http://127.0.0.1:8100/x", "http://[::1]:8100"] {
            assert!(with(local, &[KEY]), "{local}");
            assert!(!with(local, &[]), "{local} with a token");
        }
        for remote in [
            "http://x.search.windows.net",
            "http://localhost.example",
            "https://",
            "https://a@b",
            "http://127.0.0.1@b",
        ] {
            assert!(!with(remote, &[KEY]), "{remote}");
        }
    }

    #[test]
    fn the_identity_follows_from_what_the_platform_sets() {
        let identity =
            |pairs: &[(&'static str, &'static str)]| match azure(&[&[ENDPOINT], pairs].concat()).auth {
                AzureAuth::Entra(entra) => Some(entra.identity),
                AzureAuth::Key { .. } => None,
            };
        let (file, endpoint) = (("AZURE_FEDERATED_TOKEN_FILE", "/f"), ("IDENTITY_ENDPOINT", "http://e"));
        assert_eq!(identity(&[]), Some(Identity::DeveloperTools));
        assert_eq!(identity(&[endpoint]), Some(Identity::Managed));
        assert_eq!(identity(&[("AZURE_CLIENT_ID", "c")]), Some(Identity::Managed));
        assert_eq!(identity(&[endpoint, file]), Some(Identity::Workload));
        assert_eq!(identity(&[endpoint, KEY]), None);
        assert_eq!(identity(&[endpoint, KEY, ("AZURE_SEARCH_AUTH", "entra")]), Some(Identity::Managed));
        assert!(read(&[ENDPOINT, ("AZURE_SEARCH_AUTH", "key")]).is_err());
    }

    #[test]
    fn index_names_follow_the_rules_of_the_service() {
        for good in ["ragdocs", "a1", "0-a_b", &"a".repeat(128)] {
            assert_eq!(check_index_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "-ab", "_ab", "a--b", "a-_b", "aB", "a b", "a'b", "ä1", &"a".repeat(129)] {
            assert!(check_index_name(bad).is_err(), "{bad}");
        }
    }
}
