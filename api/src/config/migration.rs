//! The settings of `api migrate`, which needs no broker and no key.

use anyhow::Result;
use secrecy::SecretString;
use shared::config::{environment::Environment, required};

/// Settings whose values must not appear in errors; each can also be read from a file.
const SECRETS: [&str; 2] = ["DATABASE_URL", "MIGRATE_DATABASE_URL"];

shared::settings! {
    /// The unvalidated settings.
    struct RawMigrationSettings {
        database_url: SecretString = SecretString::default(),
        migrate_database_url: SecretString = SecretString::default(),
        environment: String = "development".into(),
        allow_insecure: String = String::new(),
        log_format: String = "text".into(),
    }
}

/// The validated settings of `api migrate`.
pub struct MigrationConfig {
    pub database_url: SecretString,
    /// The login of the role that owns the schema.
    pub migrate_database_url: SecretString,
    pub log_format: String,
}

impl MigrationConfig {
    /// The environment variables that have settings, for the test that compares them with compose.
    pub fn variables() -> Vec<String> {
        RawMigrationSettings::FIELDS.iter().map(|field| field.to_uppercase()).collect()
    }

    /// Loads the settings from the environment.
    pub fn load() -> Result<Self> {
        let settings: RawMigrationSettings = shared::config::load(&SECRETS)?;
        let environment = Environment::parse(&settings.environment, &settings.allow_insecure)?;
        let database_url = required("DATABASE_URL", settings.database_url)?;
        let migrate_database_url =
            shared::postgres::check_urls(&database_url, settings.migrate_database_url, environment)?;
        Ok(Self { database_url, migrate_database_url, log_format: settings.log_format })
    }
}
