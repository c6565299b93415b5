//! The configuration of the API, from environment variables. An invalid setting prevents the start; its error names the
//! setting, the problem and the fix.

mod breached_passwords;
mod hashing;
mod keys;
mod limits;
mod migration;
mod retention;
mod settings;
mod transport;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use shared::amqp::topology::Topology;
use shared::{
    codes::CodeSecrets,
    config::{drain, environment::Environment, public_url, required, socket_address},
};

pub use self::migration::MigrationConfig;

use self::settings::RawSettings;
use crate::{
    auth::breached_passwords::range_service::RangeService,
    domain::{network::TrustedProxies, policy::Policy, retention::Retention, subject_keys::SubjectKey},
    http::Transport,
};

/// Settings whose values must not appear in errors; each can also be read from a file.
const SECRETS: [&str; 5] = ["DATABASE_URL", "MIGRATE_DATABASE_URL", "AMQP_URL", "CODE_SECRETS", "SUBJECT_KEY"];

/// The validated settings.
pub struct Config {
    pub database_url: SecretString,
    /// The login of the role that owns the schema.
    pub migrate_database_url: SecretString,
    /// Empty if the outbox is delivered without a broker.
    amqp_url: SecretString,
    pub api_addr: SocketAddr,
    pub ops_addr: SocketAddr,
    pub migrate_on_start: bool,
    /// How long the process may take to stop.
    pub drain: Duration,
    pub log_format: String,
    pub(crate) code_secrets: CodeSecrets,
    pub(crate) subject_key: SubjectKey,
    pub(crate) policy: Policy,
    pub(crate) retention: Retention,
    pub(crate) cleanup_interval: Duration,
    pub(crate) topology: Topology,
    /// When a message that is missing counts as lost.
    pub(crate) rescue_after: Duration,
    pub(crate) public_url: String,
    pub(crate) events_with_email: bool,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) transport: Transport,
    pub(crate) hashing: crate::password_hashing::HashSettings,
    /// `None`: new passwords are not looked up.
    pub(crate) breached_passwords: Option<RangeService>,
}

impl Config {
    /// The environment variables that have settings, for the test that compares them with `.env.example`.
    pub fn variables() -> Vec<String> {
        RawSettings::FIELDS.iter().map(|field| field.to_uppercase()).collect()
    }

    /// Loads the settings of the API as a separate process, which needs a broker.
    pub fn load() -> Result<Self> {
        let config = Self::check(shared::config::load(&SECRETS)?)?;
        config.amqp_url()?;
        Ok(config)
    }

    /// Loads the settings from these variables; `AMQP_URL` may be missing.
    pub fn load_from(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        Self::check(shared::config::load_from(variables, &SECRETS)?)
    }

    /// `AMQP_URL`, or an error if it is not set.
    pub(crate) fn amqp_url(&self) -> Result<SecretString> {
        required("AMQP_URL", self.amqp_url.clone())
    }

    fn check(settings: RawSettings) -> Result<Self> {
        let policy = limits::check(&settings)?;
        let environment = Environment::parse(&settings.environment, &settings.allow_insecure)?;
        let production = environment.is_production;
        let (retention, cleanup_interval) = retention::check(&settings)?;
        let hashing = hashing::check(&settings, production)?;
        let transport = transport::check(&settings, production)?;
        let breached_passwords = breached_passwords::check(&settings, environment)?;
        check_range("RESCUE_AFTER_SECONDS", settings.rescue_after_seconds, 1, 86_400)?;
        if !settings.amqp_url.expose_secret().is_empty() {
            shared::amqp::url::check(&settings.amqp_url, environment)?;
        }
        let (code_secrets, subject_key) = keys::check(settings.code_secrets, &settings.subject_key, production)?;
        let database_url = required("DATABASE_URL", settings.database_url)?;
        let migrate_database_url =
            shared::postgres::check_urls(&database_url, settings.migrate_database_url, environment)?;
        Ok(Self {
            database_url,
            migrate_database_url,
            amqp_url: settings.amqp_url,
            api_addr: socket_address("API_ADDR", &settings.api_addr)?,
            ops_addr: socket_address("OPS_ADDR", &settings.ops_addr)?,
            migrate_on_start: settings.migrate_on_start,
            drain: drain(settings.drain_seconds)?,
            log_format: settings.log_format,
            code_secrets,
            subject_key,
            policy,
            retention,
            cleanup_interval,
            topology: Topology::new(&settings.amqp_prefix),
            rescue_after: Duration::from_secs(settings.rescue_after_seconds.into()),
            public_url: public_url(&settings.public_url, environment)?,
            events_with_email: settings.events_with_email,
            trusted_proxies: TrustedProxies::parse(&settings.trusted_proxies)
                .map_err(|why| anyhow!("TRUSTED_PROXIES: {why}"))?,
            transport,
            hashing,
            breached_passwords,
        })
    }
}

/// Checks the range of a number.
fn check_range(name: &str, value: u32, min: u32, max: u32) -> Result<()> {
    if (min..=max).contains(&value) { Ok(()) } else { bail!("{name} is {value}: it must be {min} to {max}") }
}

/// Parses a switch.
fn parse_on_off(name: &str, value: &str) -> Result<bool> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => bail!("{name} has an unknown value: it must be on or off"),
    }
}

#[cfg(test)]
mod tests;
