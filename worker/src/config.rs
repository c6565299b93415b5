//! The settings of the worker, from its environment.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::amqp::topology::Topology;
use shared::{codes::CodeSecrets, config::needed, postgres::Pool};

use crate::{
    delivery::{email::Sender, handler::Handler, message_builder::MessageBuilder, pending_records::PendingRecords},
    health::WorkerHealth,
    smtp::{pool::SmtpPool, server::Server},
    store::Store,
};

const SECRETS: [&str; 4] = ["DATABASE_URL", "AMQP_URL", "SMTP_URL", "CODE_SECRETS"];

/// One flat struct: the names are the variables'. What is missing has the contract's default.
#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    database_url: SecretString,
    amqp_url: SecretString,
    smtp_url: SecretString,
    code_secrets: SecretString,
    environment: String,
    ops_addr: String,
    public_url: String,
    mail_from: String,
    worker_concurrency: u16,
    amqp_prefix: String,
    migrate_on_start: bool,
    log_format: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: SecretString::default(),
            amqp_url: SecretString::default(),
            smtp_url: SecretString::default(),
            code_secrets: SecretString::default(),
            environment: "development".into(),
            ops_addr: "0.0.0.0:9090".into(),
            public_url: "http://localhost:8000".into(),
            mail_from: "Vestibule <no-reply@example.com>".into(),
            worker_concurrency: 8,
            amqp_prefix: "vestibule".into(),
            migrate_on_start: true,
            log_format: "text".into(),
        }
    }
}

/// What the settings mean, checked.
pub struct Config {
    pub ops_addr: SocketAddr,
    pub log_format: String,
    /// Connections to the mail server, and so mails under way.
    pub concurrency: u16,
    pub(crate) migrate_on_start: bool,
    pub(crate) database_url: SecretString,
    /// Empty where messages come another way.
    amqp_url: SecretString,
    pub(crate) server: Arc<Server>,
    pub(crate) ring: CodeSecrets,
    pub(crate) sender: Sender,
    pub(crate) topology: Topology,
    pub(crate) public_url: String,
}

impl Config {
    /// For the process of its own.
    pub fn load() -> Result<Self> {
        let config = Self::check(shared::config::load(&SECRETS)?)?;
        config.amqp_url()?;
        Ok(config)
    }

    pub fn load_from(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        Self::check(shared::config::load_from(variables, &SECRETS)?)
    }

    pub(crate) fn amqp_url(&self) -> Result<SecretString> {
        needed("AMQP_URL", self.amqp_url.clone())
    }

    pub(crate) fn handler(self, database: Pool, health: Arc<WorkerHealth>) -> Handler {
        Handler {
            store: Store::new(database),
            composer: MessageBuilder { ring: self.ring, sender: self.sender, public_url: self.public_url },
            slots: SmtpPool::new(self.server, self.concurrency, Arc::clone(&health.heard)),
            debts: PendingRecords::default(),
            health,
        }
    }

    fn check(settings: Settings) -> Result<Self> {
        if !(1..=256).contains(&settings.worker_concurrency) {
            bail!("WORKER_CONCURRENCY is {}: it must be 1 to 256", settings.worker_concurrency);
        }
        let production = match settings.environment.as_str() {
            "production" => true,
            "development" => false,
            _ => bail!("ENVIRONMENT must be development or production"),
        };
        let smtp_url = needed("SMTP_URL", settings.smtp_url)?;
        if !settings.amqp_url.expose_secret().is_empty() {
            shared::amqp::url::check(&settings.amqp_url, production)?;
        }
        let server = Server::parse(smtp_url.expose_secret()).map_err(|why| anyhow!("SMTP_URL {why}"))?;
        let secrets = needed("CODE_SECRETS", settings.code_secrets)?;
        let ring = CodeSecrets::parse(secrets.expose_secret()).map_err(|why| anyhow!("CODE_SECRETS: {why}"))?;
        if production {
            if ring.has_example() {
                bail!("CODE_SECRETS holds the secret of .env.example, which everybody knows: make one of your own");
            }
            refuse_known_login(&settings.database_url)?;
            if server.shows_credentials() {
                bail!("SMTP_URL sends user and password in plain text: use smtps://, or ?tls=required");
            }
        }
        Ok(Self {
            ops_addr: settings.ops_addr.parse().context("OPS_ADDR must be an address and a port, like 0.0.0.0:9090")?,
            log_format: settings.log_format,
            concurrency: settings.worker_concurrency,
            migrate_on_start: settings.migrate_on_start,
            database_url: needed("DATABASE_URL", settings.database_url)?,
            amqp_url: settings.amqp_url,
            server: Arc::new(server),
            ring,
            sender: Sender::parse(&settings.mail_from).map_err(|why| anyhow!("MAIL_FROM {why}"))?,
            topology: Topology::new(&settings.amqp_prefix),
            public_url: public_url(&settings.public_url)?,
        })
    }
}

/// The login of .env.example is none.
fn refuse_known_login(url: &SecretString) -> Result<()> {
    if url.expose_secret().contains("://vestibule:vestibule@") {
        bail!("DATABASE_URL holds a login that everybody knows: production wants one of your own");
    }
    Ok(())
}

/// It becomes a link in every mail.
fn public_url(value: &str) -> Result<String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'".contains(&byte));
    if !plain || !(value.starts_with("http://") || value.starts_with("https://")) {
        bail!("PUBLIC_URL must begin with http:// or https://");
    }
    Ok(value.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
