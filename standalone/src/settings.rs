//! The environment, completed with what is embedded.

use std::collections::HashMap;

use anyhow::{Result, bail};
use secrecy::ExposeSecret;

use crate::{data::Data, ports::Ports};

pub(crate) struct Settings {
    /// What is set in the environment; what is empty is not.
    given: HashMap<String, String>,
    completed: HashMap<String, String>,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        let text =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::new(text)
    }

    fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        Self { given: variables.filter(|(_, value)| !value.is_empty()).collect(), completed: HashMap::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).or(self.completed.get(name)).map(String::as_str)
    }

    /// Whether it is given; a secret may also be given as a file.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.contains_key(name) || self.given.contains_key(&format!("{name}_FILE"))
    }

    /// Whether anything must be kept in a folder of ours.
    pub(crate) fn lack_any(&self) -> bool {
        ["DATABASE_URL", "SMTP_URL", "CODE_SECRETS"].iter().any(|name| !self.has(name))
    }

    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.completed.insert(name.to_owned(), value);
    }

    pub(crate) fn complete(&mut self, ports: &Ports, data: Option<&Data>) -> Result<()> {
        if !self.has("PUBLIC_URL") {
            let scheme = if self.has("TLS_CERT") { "https" } else { "http" };
            self.set("PUBLIC_URL", format!("{scheme}://localhost:{}", ports.api.local_addr()?.port()));
        }
        if let Some(inbox) = &ports.inbox {
            self.set("SMTP_URL", format!("smtp://{}", inbox.smtp.local_addr()?));
        }
        if let Some(data) = data.filter(|_| !self.has("CODE_SECRETS")) {
            self.set("CODE_SECRETS", data.secrets()?.expose_secret().to_owned());
        }
        Ok(())
    }

    pub(crate) fn all(&self) -> HashMap<String, String> {
        self.completed.iter().chain(&self.given).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What is embedded is for trying out: nobody shall find it in production by forgetting a setting.
    pub(crate) fn check_production(&self) -> Result<()> {
        if self.get("ENVIRONMENT") != Some("production") {
            return Ok(());
        }
        for (name, why) in [
            ("DATABASE_URL", "the embedded database does not survive a power cut"),
            ("SMTP_URL", "the inbox shows all codes to everybody on this machine"),
        ] {
            if !self.has(name) {
                bail!("{name} is not set, and ENVIRONMENT is production: {why}");
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
    fn a_setting_counts_when_it_is_not_empty_or_a_file() {
        let settings = settings(&[("AMQP_URL", ""), ("SMTP_URL_FILE", "/run/secrets/smtp")]);
        assert!(!settings.has("AMQP_URL") && settings.has("SMTP_URL") && !settings.has("DATABASE_URL"));
    }

    #[test]
    fn production_takes_nothing_embedded_but_the_queue() {
        let refusal = |variables: &[_]| settings(variables).check_production().err().map(|error| error.to_string());
        let (production, database) = (("ENVIRONMENT", "production"), ("DATABASE_URL", "postgres://h/x"));
        assert!(refusal(&[production]).unwrap().starts_with("DATABASE_URL is not set"));
        assert!(refusal(&[production, database]).unwrap().starts_with("SMTP_URL is not set"));
        assert_eq!(refusal(&[production, database, ("SMTP_URL", "smtp://h")]), None);
        assert_eq!(refusal(&[("ENVIRONMENT", "development")]), None);
    }
}
