//! Loads the worker's settings from environment variables and validates them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use shared::amqp::topology::Topology;
use shared::{
    codes::CodeSecrets,
    config::{DRAIN_SECONDS, OPS_ADDR, drain, environment::Environment, public_url, required, socket_address},
};

use crate::{delivery::email::Sender, smtp::config::SmtpConfig};

/// The secret settings: each may also be given as `X_FILE`, the path of a file with the value.
const SECRETS: [&str; 5] = ["DATABASE_URL", "MIGRATE_DATABASE_URL", "AMQP_URL", "SMTP_URL", "CODE_SECRETS"];

shared::settings! {
    /// The settings as they are in the environment: each field is named like its variable. A missing variable has its
    /// documented default.
    pub(crate) struct RawSettings {
        database_url: SecretString = SecretString::default(),
        migrate_database_url: SecretString = SecretString::default(),
        amqp_url: SecretString = SecretString::default(),
        smtp_url: SecretString = SecretString::default(),
        code_secrets: SecretString = SecretString::default(),
        environment: String = "development".into(),
        allow_insecure: String = String::new(),
        ops_addr: String = OPS_ADDR.into(),
        public_url: String = "http://localhost:8000".into(),
        mail_from: String = "Vestibule <no-reply@example.com>".into(),
        worker_concurrency: u16 = 8,
        amqp_prefix: String = "vestibule".into(),
        migrate_on_start: bool = true,
        drain_seconds: u32 = DRAIN_SECONDS,
        log_format: String = "text".into(),
    }
}

/// The validated settings.
pub struct Config {
    pub ops_addr: SocketAddr,
    pub log_format: String,
    /// The size of the SMTP connection pool: how many mails are sent at the same time.
    pub concurrency: u16,
    /// How long the process may take to stop.
    pub drain: Duration,
    pub(crate) migrate_on_start: bool,
    pub(crate) database_url: SecretString,
    /// The login of the role that owns the schema.
    pub(crate) migrate_database_url: SecretString,
    /// Empty in a process that delivers without a broker.
    amqp_url: SecretString,
    pub(crate) smtp: Arc<SmtpConfig>,
    pub(crate) code_secrets: CodeSecrets,
    pub(crate) sender: Sender,
    pub(crate) topology: Topology,
    pub(crate) public_url: String,
}

impl Config {
    /// The environment variables that have settings, for the test that compares them with `.env.example`.
    pub fn variables() -> Vec<String> {
        RawSettings::FIELDS.iter().map(|field| field.to_uppercase()).collect()
    }

    /// Loads the settings of a worker in its own process, which needs `AMQP_URL`, from the environment.
    pub fn load() -> Result<Self> {
        let config = Self::from_settings(shared::config::load(&SECRETS)?)?;
        config.amqp_url()?;
        Ok(config)
    }

    /// Loads the settings from these variables; `AMQP_URL` may be missing.
    pub fn load_from(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        Self::from_settings(shared::config::load_from(variables, &SECRETS)?)
    }

    /// Returns `AMQP_URL`, or an error if it is not set.
    pub(crate) fn amqp_url(&self) -> Result<SecretString> {
        required("AMQP_URL", self.amqp_url.clone())
    }

    fn from_settings(settings: RawSettings) -> Result<Self> {
        if !(1..=256).contains(&settings.worker_concurrency) {
            bail!("WORKER_CONCURRENCY is {}: set it to a number from 1 to 256", settings.worker_concurrency);
        }
        let environment = Environment::parse(&settings.environment, &settings.allow_insecure)?;
        let smtp_url = required("SMTP_URL", settings.smtp_url)?;
        if !settings.amqp_url.expose_secret().is_empty() {
            shared::amqp::url::check(&settings.amqp_url, environment)?;
        }
        let smtp = SmtpConfig::parse(smtp_url.expose_secret()).map_err(|problem| anyhow!("SMTP_URL {problem}"))?;
        let code_secrets = required("CODE_SECRETS", settings.code_secrets)?;
        let code_secrets =
            CodeSecrets::parse(code_secrets.expose_secret()).map_err(|problem| anyhow!("CODE_SECRETS: {problem}"))?;
        if environment.is_production && code_secrets.has_example() {
            bail!("CODE_SECRETS holds the secret of .env.example, which is public: generate your own");
        }
        let database_url = required("DATABASE_URL", settings.database_url)?;
        let migrate_database_url =
            shared::postgres::check_urls(&database_url, settings.migrate_database_url, environment)?;
        let sender = Sender::parse(&settings.mail_from).map_err(|problem| anyhow!("MAIL_FROM {problem}"))?;
        check_mail(&smtp, &sender, environment)?;
        Ok(Self {
            ops_addr: socket_address("OPS_ADDR", &settings.ops_addr)?,
            log_format: settings.log_format,
            concurrency: settings.worker_concurrency,
            drain: drain(settings.drain_seconds)?,
            migrate_on_start: settings.migrate_on_start,
            database_url,
            migrate_database_url,
            amqp_url: settings.amqp_url,
            smtp: Arc::new(smtp),
            code_secrets,
            sender,
            topology: Topology::new(&settings.amqp_prefix),
            public_url: public_url(&settings.public_url, environment)?,
        })
    }
}

/// Rejects in production a mail server that is unencrypted or shows mails to everyone, and the example sender.
fn check_mail(smtp: &SmtpConfig, sender: &Sender, environment: Environment) -> Result<()> {
    environment
        .check_mail(smtp.is_development_server(), "SMTP_URL names MailDev, which shows all codes to its users")?;
    environment.check_mail(
        smtp.sends_plain_text_to_another_host(),
        "SMTP_URL sends mails, user and password unencrypted to another host: use smtps://, or append ?tls=required",
    )?;
    environment.check_mail(sender.is_example(), "MAIL_FROM is an example: set it to an address of your own domain")
}

#[cfg(test)]
mod tests;
