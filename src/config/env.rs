//! The one door to the environment: reads variables, collects every mistake.

use std::{collections::HashMap, env, fmt, path::Path, str::FromStr};

use secrecy::SecretString;

/// Everything that is wrong with the configuration, one line a variable. Never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for ConfigError {}

/// Reads typed values by name. The first use of a name documents it: [`EnvReader::names`] is what
/// `.env.example` and the README are compared with.
pub struct EnvReader {
    values: HashMap<String, String>,
    names: Vec<&'static str>,
    mistakes: Vec<String>,
}

impl EnvReader {
    /// The process environment over the `.env` file of the working directory, where there is one.
    pub fn from_process() -> Self {
        Self::from_process_and_file(Path::new(".env"))
    }

    fn from_process_and_file(file: &Path) -> Self {
        let mut values = HashMap::new();
        let mut mistakes = Vec::new();
        if file.exists() {
            match dotenvy::from_path_iter(file) {
                Ok(pairs) => {
                    for pair in pairs {
                        match pair {
                            Ok((name, value)) => {
                                values.insert(name, value);
                            }
                            // The error's text quotes the line, which may hold a secret.
                            Err(_) => mistakes.push(".env: a line cannot be read; write NAME=value".into()),
                        }
                    }
                }
                Err(_) => mistakes.push(".env: cannot be opened".into()),
            }
        }
        values.extend(
            env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Self { values, names: Vec::new(), mistakes }
    }

    /// A reader over given values alone, for tests.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Self { values, names: Vec::new(), mistakes: Vec::new() }
    }

    /// The text of a variable; an empty one counts as absent, as container platforms set them.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self.values.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub fn text_or(&mut self, name: &'static str, default: &str) -> String {
        self.text(name).unwrap_or_else(|| default.to_owned())
    }

    /// A value whose text is never printed, not even when it is wrong.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    /// A parsed value within `range`; `wanted` completes "NAME must be …".
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        range: impl std::ops::RangeBounds<T>,
        wanted: &str,
    ) -> Option<T>
    where
        T: FromStr + PartialOrd,
    {
        let text = self.text(name)?;
        match text.parse::<T>() {
            Ok(value) if range.contains(&value) => Some(value),
            _ => {
                self.mistake(name, format!("must be {wanted}, not {text:?}"));
                None
            }
        }
    }

    pub fn mistake(&mut self, name: &str, reason: impl fmt::Display) {
        self.mistakes.push(format!("{name} {reason}"));
    }

    /// The names asked for so far.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// `value`, if nothing was wrong.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.mistakes.is_empty() { Ok(value) } else { Err(ConfigError(self.mistakes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_reported_at_once_and_blank_is_absent() {
        let mut reader = EnvReader::from_pairs([("PORT", "http"), ("TOP", "11"), ("HOST", "  ")]);
        assert_eq!(reader.parsed::<u16>("PORT", .., "a port"), None);
        assert_eq!(reader.parsed::<u16>("TOP", 0..=10, "0 to 10"), None);
        assert_eq!(reader.text("HOST"), None);
        let ConfigError(lines) = reader.finish(()).unwrap_err();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("PORT must be a port"));
    }

    #[test]
    fn a_broken_env_file_is_reported_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        std::fs::write(&file, "GOOD=1\nsk secret value without equals\n").unwrap();
        let mut reader = EnvReader::from_process_and_file(&file);
        assert_eq!(reader.text("GOOD").as_deref(), Some("1"));
        let text = reader.finish(()).unwrap_err().to_string();
        assert!(!text.contains("secret"), "{text}");
    }
}
