//! The language model: its server, what is asked of it, what it costs.

use std::{collections::BTreeMap, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{EntraConfig, EnvReader, sections};

/// Which of OpenAI's two interfaces the server is asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmApi {
    /// `/chat/completions`, which every compatible server has.
    Chat,
    /// `/responses`, OpenAI's and Azure's newer one.
    Responses,
}

/// How requests prove who sends them.
#[derive(Debug, Clone)]
pub enum LlmAuth {
    None,
    /// `Authorization: Bearer KEY`.
    Bearer(SecretString),
    /// `api-key: KEY`, as Azure OpenAI and gateways in front of it want it.
    ApiKey(SecretString),
    /// `Authorization: Bearer TOKEN` of Microsoft Entra.
    Entra(EntraConfig),
}

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LlmPrices {
    pub input: f64,
    /// Of the input, what the server had in its cache.
    pub cached_input: f64,
    pub output: f64,
}

/// Prices by model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceTable(BTreeMap<String, LlmPrices>);

impl PriceTable {
    /// Reads `MODEL=INPUT/OUTPUT` or `MODEL=INPUT/CACHED/OUTPUT`, separated by commas; `*` is any model.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut prices = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong =
                || format!("has {entry:?}, which is not MODEL=INPUT/OUTPUT or MODEL=INPUT/CACHED/OUTPUT");
            let (model, numbers) = entry.split_once('=').ok_or_else(wrong)?;
            let numbers: Vec<f64> = numbers
                .split('/')
                .map(|number| number.trim().parse().ok().filter(|price| (0.0..=1e6).contains(price)))
                .collect::<Option<_>>()
                .ok_or_else(wrong)?;
            let price = match numbers[..] {
                [input, output] => LlmPrices { input, cached_input: input, output },
                [input, cached_input, output] => LlmPrices { input, cached_input, output },
                _ => return Err(wrong()),
            };
            if prices.insert(model.trim().to_owned(), price).is_some() {
                return Err(format!("names {:?} twice", model.trim()));
            }
        }
        Ok(Self(prices))
    }

    /// The price of a model by its name, by its name without the date behind it (`gpt-5-2026-01-31`), or
    /// of any model.
    pub fn of(&self, model: &str) -> Option<LlmPrices> {
        let dated =
            |digits: &str| digits.len() >= 4 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let undated = || {
            self.0.iter().find(|(name, _)| {
                model.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-')).is_some_and(dated)
            })
        };
        let found = self.0.get_key_value(model).or_else(undated).or_else(|| self.0.get_key_value("*"));
        found.map(|(_, price)| *price)
    }
}

/// An OpenAI-compatible server. Parameters that are `None` are not sent, as some models refuse them.
#[derive(Debug, Clone)]
pub struct LlmConfig {
    /// Without a trailing slash; the interface's path is appended.
    pub base_url: String,
    pub api: LlmApi,
    pub auth: LlmAuth,
    pub model: String,
    /// Of the passages in one prompt, estimated; the weakest are left out.
    pub prompt_tokens: usize,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub reasoning_effort: Option<String>,
    pub verbosity: Option<String>,
    /// Ask for JSON by a schema where nobody watches the answer grow, until the server refuses it.
    pub structured: bool,
    /// One try; of a stream, the longest silence.
    pub timeout: Duration,
    /// Tries after the first.
    pub max_retries: u32,
    pub prices: PriceTable,
}

impl LlmConfig {
    const OPENAI: &str = "https://api.openai.com/v1";
    /// All passages of a question fit: 50 of 256 tokens.
    pub const DEFAULT_PROMPT_TOKENS: usize = 16_000;
    const AZURE_AUDIENCE: &str = "https://cognitiveservices.azure.com";

    pub(super) fn read(env: &mut EnvReader) -> Option<Self> {
        let api_key = env.secret("OPENAI_API_KEY");
        let base_url = env.text("OPENAI_BASE_URL");
        let model = env.text("OPENAI_MODEL");
        let auth = env.text_or("OPENAI_AUTH", "auto");
        let audience = env.text_or("OPENAI_ENTRA_AUDIENCE", Self::AZURE_AUDIENCE);
        let config = Self {
            base_url: base_url.as_deref().unwrap_or(Self::OPENAI).trim_end_matches('/').to_owned(),
            api: sections::choice(
                env,
                "OPENAI_API",
                [("chat", LlmApi::Chat), ("responses", LlmApi::Responses)],
            ),
            auth: LlmAuth::None,
            model: model.clone().unwrap_or_default(),
            prompt_tokens: env
                .parsed("OPENAI_PROMPT_TOKENS", 100..=1_000_000, "100 to 1000000")
                .unwrap_or(Self::DEFAULT_PROMPT_TOKENS),
            max_output_tokens: env.parsed("OPENAI_MAX_OUTPUT_TOKENS", 1..=1_000_000, "1 to 1000000"),
            temperature: env.parsed("OPENAI_TEMPERATURE", 0.0..=2.0, "0 to 2"),
            reasoning_effort: sections::one_of(
                env,
                "OPENAI_REASONING_EFFORT",
                &["none", "minimal", "low", "medium", "high", "xhigh", "max"],
            ),
            verbosity: sections::one_of(env, "OPENAI_VERBOSITY", &["low", "medium", "high"]),
            structured: sections::choice(env, "OPENAI_STRUCTURED_OUTPUT", [("auto", true), ("off", false)]),
            timeout: sections::seconds(env, "OPENAI_TIMEOUT_SECONDS", 45, 1..=230),
            max_retries: env.parsed("OPENAI_MAX_RETRIES", 0..=10, "0 to 10").unwrap_or(2),
            prices: Self::prices(env),
        };
        if api_key.is_none() && base_url.is_none() {
            return None;
        }
        if model.is_none() {
            env.mistake("OPENAI_MODEL", "must be set when OPENAI_API_KEY or OPENAI_BASE_URL is");
        }
        let auth = config.credential(env, &auth, api_key, &audience);
        Some(Self { auth, ..config })
    }

    fn prices(env: &mut EnvReader) -> PriceTable {
        let table = PriceTable::parse(&env.text_or("OPENAI_PRICES", ""));
        table.unwrap_or_else(|reason| {
            env.mistake("OPENAI_PRICES", reason);
            PriceTable::default()
        })
    }

    /// Azure wants its own header for a key, and takes identities instead of one.
    fn credential(
        &self,
        env: &mut EnvReader,
        wanted: &str,
        key: Option<SecretString>,
        audience: &str,
    ) -> LlmAuth {
        let url = self.base_url.split_once("://").map(|(scheme, rest)| {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            (scheme, authority.rsplit('@').next().unwrap_or_default(), path)
        });
        let (scheme, authority, path) = match url {
            Some(url @ ("http" | "https", ..)) => url,
            _ => {
                env.mistake("OPENAI_BASE_URL", "must begin with https:// or http://");
                return LlmAuth::None;
            }
        };
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_ascii_lowercase();
        let azure = [".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"]
            .iter()
            .any(|domain| host.ends_with(domain));
        if azure && path.is_empty() {
            env.mistake(
                "OPENAI_BASE_URL",
                "must name the path too, as in https://NAME.openai.azure.com/openai/v1",
            );
        }
        if key.as_ref().is_some_and(|key| !key.expose_secret().bytes().all(|b| b.is_ascii_graphic())) {
            env.mistake("OPENAI_API_KEY", "holds characters that a header cannot carry");
        }
        let mut entra = || {
            let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
            if scheme == "http" && !local {
                env.mistake(
                    "OPENAI_BASE_URL",
                    "must begin with https://, as tokens of Microsoft Entra go there",
                );
            }
            LlmAuth::Entra(EntraConfig::read(env, audience))
        };
        match (wanted, key) {
            ("auto", Some(key)) if azure => LlmAuth::ApiKey(key),
            ("auto" | "bearer", Some(key)) => LlmAuth::Bearer(key),
            ("auto", None) if azure => entra(),
            ("auto", None) => LlmAuth::None,
            ("api-key", Some(key)) => LlmAuth::ApiKey(key),
            ("entra", _) => entra(),
            ("bearer" | "api-key", None) => {
                env.mistake("OPENAI_API_KEY", format!("must be set when OPENAI_AUTH is {wanted}"));
                LlmAuth::None
            }
            (other, _) => {
                env.mistake("OPENAI_AUTH", format!("must be auto, bearer, api-key or entra, not {other:?}"));
                LlmAuth::None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<LlmConfig, String> {
        let mut env = EnvReader::from_pairs(pairs.iter().copied().chain([("OPENAI_MODEL", "m")]));
        let config = LlmConfig::read(&mut env);
        env.finish(config).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn the_credential_follows_the_host_unless_it_is_said() {
        let auth = |pairs: &[(&'static str, &'static str)]| match read(pairs).unwrap().auth {
            LlmAuth::None => "none",
            LlmAuth::Bearer(_) => "bearer",
            LlmAuth::ApiKey(_) => "api-key",
            LlmAuth::Entra(_) => "entra",
        };
        let azure = ("OPENAI_BASE_URL", "https://name.OpenAI.azure.com/openai/v1/");
        let key = ("OPENAI_API_KEY", "k");
        assert_eq!(auth(&[key]), "bearer");
        assert_eq!(auth(&[("OPENAI_BASE_URL", "http://localhost:8080/v1")]), "none");
        assert_eq!((auth(&[azure, key]), auth(&[azure])), ("api-key", "entra"));
        assert_eq!(auth(&[azure, key, ("OPENAI_AUTH", "bearer")]), "bearer");
        assert_eq!(auth(&[azure, key, ("OPENAI_AUTH", "entra")]), "entra");
        let gateway = ("OPENAI_BASE_URL", "https://gateway.example/llm");
        assert_eq!(auth(&[gateway, key, ("OPENAI_AUTH", "api-key")]), "api-key");
    }

    #[test]
    fn mistakes_name_their_variable() {
        for (pairs, named) in [
            (&[("OPENAI_BASE_URL", "ftp://h")][..], "OPENAI_BASE_URL must begin"),
            (&[("OPENAI_BASE_URL", "https://n.openai.azure.com")], "OPENAI_BASE_URL must name the path"),
            (
                &[("OPENAI_BASE_URL", "http://h/v1"), ("OPENAI_AUTH", "entra")],
                "OPENAI_BASE_URL must begin with https",
            ),
            (&[("OPENAI_BASE_URL", "http://h/v1"), ("OPENAI_AUTH", "bearer")], "OPENAI_API_KEY must be set"),
            (&[("OPENAI_API_KEY", "k"), ("OPENAI_AUTH", "basic")], "OPENAI_AUTH must be"),
            (&[("OPENAI_API_KEY", "k"), ("OPENAI_API", "assistants")], "OPENAI_API must be"),
            (&[("OPENAI_API_KEY", "k"), ("OPENAI_PRICES", "gpt=1")], "OPENAI_PRICES has"),
            (&[("OPENAI_API_KEY", "k\u{e9}y")], "OPENAI_API_KEY holds"),
        ] {
            let error = read(pairs).unwrap_err();
            assert!(error.contains(named), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn a_price_is_found_by_name_by_name_without_date_or_for_any() {
        let table = PriceTable::parse("gpt-5=1.25/0.125/10, gpt-5-mini=0.25/2").unwrap();
        let input = |model: &str| table.of(model).map(|price| price.input);
        assert_eq!(
            (input("gpt-5"), input("gpt-5-2025-08-07"), input("gpt-5-mini")),
            (Some(1.25), Some(1.25), Some(0.25))
        );
        assert_eq!((input("gpt-5-nano"), input("gpt"), input("")), (None, None, None));
        assert_eq!(table.of("gpt-5-mini").unwrap().cached_input, 0.25);
        assert_eq!(PriceTable::parse("*=1/2").unwrap().of("anything").unwrap().output, 2.0);
        for wrong in ["a", "a=1", "a=1/2/3/4", "a=x/1", "a=-1/1", "a=1/2,a=1/2"] {
            assert!(PriceTable::parse(wrong).is_err(), "{wrong}");
        }
    }
}
