//! Settings from the environment, completed with those of the embedded parts.

use std::collections::HashMap;

use anyhow::{Result, bail};
/// The settings that API and worker are configured from.
pub(crate) struct Settings {
    /// Environment variables; an empty one counts as not set.
    environment: HashMap<String, String>,
    /// Values for settings that the environment does not have. The environment takes precedence.
    embedded: HashMap<String, String>,
}

impl Settings {
    /// Reads all environment variables that are valid UTF-8.
    pub(crate) fn from_environment() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::new(variables)
    }

    fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        Self { environment: variables.filter(|(_, value)| !value.is_empty()).collect(), embedded: HashMap::new() }
    }

    /// The value from the environment or else of the embedded part.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.environment.get(name).or(self.embedded.get(name)).map(String::as_str)
    }

    /// Whether the environment has this setting, directly or as `<name>_FILE`, the path of a file with a secret.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.environment.contains_key(name) || self.environment.contains_key(&format!("{name}_FILE"))
    }

    /// Whether an embedded part stores data, so that a data folder is needed.
    pub(crate) fn need_data_folder(&self) -> bool {
        ["DATABASE_URL", "SMTP_URL", "CODE_SECRETS"].iter().any(|name| !self.is_set(name))
    }

    /// Sets the value of an embedded part. The environment takes precedence.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.embedded.insert(name.to_owned(), value);
    }

    /// All settings, as API and worker parse them.
    pub(crate) fn all(&self) -> HashMap<String, String> {
        self.embedded.iter().chain(&self.environment).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Fails in production if the database or the mail server is embedded: those are for development, and a forgotten
    /// setting must not enable them.
    pub(crate) fn check_production(&self) -> Result<()> {
        if self.get("ENVIRONMENT") != Some("production") {
            return Ok(());
        }
        for (name, reason) in [
            ("DATABASE_URL", "the embedded database does not survive a power cut"),
            ("SMTP_URL", "the development inbox shows all codes to every user of this machine"),
        ] {
            if !self.is_set(name) {
                bail!("{name} is not set, which ENVIRONMENT=production requires: {reason}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::new(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn setting_is_set_if_not_empty_or_a_file() {
        let settings = settings(&[("AMQP_URL", ""), ("SMTP_URL_FILE", "/run/secrets/smtp")]);
        assert!(!settings.is_set("AMQP_URL") && settings.is_set("SMTP_URL") && !settings.is_set("DATABASE_URL"));
    }

    #[test]
    fn production_rejects_embedded_database_and_inbox() {
        let error = |variables: &[_]| settings(variables).check_production().err().map(|error| error.to_string());
        let (production, database) = (("ENVIRONMENT", "production"), ("DATABASE_URL", "postgres://h/x"));
        assert!(error(&[production]).unwrap().starts_with("DATABASE_URL is not set"));
        assert!(error(&[production, database]).unwrap().starts_with("SMTP_URL is not set"));
        assert_eq!(error(&[production, database, ("SMTP_URL", "smtp://h")]), None);
        assert_eq!(error(&[("ENVIRONMENT", "development")]), None);
    }
}
