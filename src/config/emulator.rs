//! Settings of `rag-api emulate`.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, EnvReader};

/// Where the emulated service keeps its indexes, and who may use it.
#[derive(Debug, Clone)]
pub struct EmulatorConfig {
    /// Data lie in its subfolder `emulator`.
    pub dir: PathBuf,
    /// `None`: every request is let in.
    pub admin_key: Option<SecretString>,
    /// Opens searches and lookups only.
    pub query_key: Option<SecretString>,
}

impl EmulatorConfig {
    /// Reads the process environment and `.env`.
    pub fn load() -> Result<Self, ConfigError> {
        let mut env = EnvReader::from_process();
        let config = Self::read(&mut env);
        env.finish(config)
    }

    pub fn read(env: &mut EnvReader) -> Self {
        let config = Self {
            dir: env.text_or("INDEX_DIR", ".rag/index").into(),
            admin_key: env.secret("AZURE_SEARCH_API_KEY"),
            query_key: env.secret("AZURE_SEARCH_QUERY_KEY"),
        };
        match (&config.admin_key, &config.query_key) {
            (None, Some(_)) => env.mistake(
                "AZURE_SEARCH_QUERY_KEY",
                "is set without AZURE_SEARCH_API_KEY, so that nobody could write; set both or none",
            ),
            (Some(admin), Some(query)) if admin.expose_secret() == query.expose_secret() => {
                env.mistake("AZURE_SEARCH_QUERY_KEY", "must differ from AZURE_SEARCH_API_KEY");
            }
            _ => {}
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Result<EmulatorConfig, ConfigError> {
        let mut env = EnvReader::from_pairs(pairs.iter().copied());
        let config = EmulatorConfig::read(&mut env);
        env.finish(config)
    }

    #[test]
    fn a_query_key_needs_an_admin_key_that_differs() {
        assert!(read(&[]).unwrap().admin_key.is_none());
        assert!(read(&[("AZURE_SEARCH_API_KEY", "a"), ("AZURE_SEARCH_QUERY_KEY", "b")]).is_ok());
        assert!(read(&[("AZURE_SEARCH_QUERY_KEY", "b")]).is_err());
        let error =
            read(&[("AZURE_SEARCH_API_KEY", "secret"), ("AZURE_SEARCH_QUERY_KEY", "secret")]).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
