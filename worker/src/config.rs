//! The settings of the worker, from its environment.

use std::{net::SocketAddr, sync::Arc};

use amqp::topology::Topology;
use anyhow::{Context, Result, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use shared::{code::Ring, env::needed, postgres::Pool};

use crate::{debts::Debts, handle::Handler, mail::Sender, smtp::server::Server, store::Store};

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
    pub concurrency: u16,
    pub(crate) migrate_on_start: bool,
    pub(crate) database_url: SecretString,
    /// Empty where messages come another way.
    amqp_url: SecretString,
    pub(crate) server: Arc<Server>,
    pub(crate) ring: Ring,
    pub(crate) sender: Sender,
    pub(crate) topology: Topology,
    pub(crate) public_url: String,
}

impl Config {
    /// For the process of its own.
    pub fn load() -> Result<Self> {
        let config = Self::check(shared::env::load(&SECRETS)?)?;
        config.amqp_url()?;
        Ok(config)
    }

    pub fn load_from(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        Self::check(shared::env::load_from(variables, &SECRETS)?)
    }

    pub(crate) fn amqp_url(&self) -> Result<SecretString> {
        needed("AMQP_URL", self.amqp_url.clone())
    }

    pub(crate) fn handler(self, database: Pool) -> Handler {
        Handler {
            store: Store::new(database),
            ring: self.ring,
            sender: self.sender,
            public_url: self.public_url,
            debts: Debts::default(),
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
            amqp::url::check(&settings.amqp_url, production)?;
        }
        let server = Server::parse(smtp_url.expose_secret()).map_err(|why| anyhow!("SMTP_URL {why}"))?;
        let secrets = needed("CODE_SECRETS", settings.code_secrets)?;
        let ring = Ring::parse(secrets.expose_secret()).map_err(|why| anyhow!("CODE_SECRETS: {why}"))?;
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
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("DATABASE_URL", "postgres://u:hunter2@h/x"),
        ("AMQP_URL", "amqp://u:hunter2@h"),
        ("SMTP_URL", "smtp://u:hunter2@mail.example.com:587?tls=required"),
        ("CODE_SECRETS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];

    fn load(changed: &[(&str, &str)]) -> Result<Config> {
        let all = GOOD.iter().chain(changed).map(|(name, value)| (name.to_string(), value.to_string()));
        Config::load_from(all)
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        assert_eq!(load(&[]).unwrap().concurrency, 8);
    }

    #[test]
    fn production_refuses_the_secret_that_everybody_knows() {
        let example = ("CODE_SECRETS", "x:ZXhhbXBsZS1zZWNyZXQtZG8tbm90LXVzZS1pbi1wcm9k");
        assert!(load(&[example]).is_ok());
        let error = load(&[example, ("ENVIRONMENT", "production")]).err().unwrap().to_string();
        assert!(error.starts_with("CODE_SECRETS holds the secret of .env.example"), "{error}");
    }

    #[test]
    fn production_refuses_what_everybody_knows_or_can_hear() {
        for (setting, sentence) in [
            (("AMQP_URL", "amqp://guest:guest@h"), "AMQP_URL holds a login"),
            (("AMQP_URL", "AMQP://h"), "AMQP_URL holds a login"),
            (("DATABASE_URL", "postgres://vestibule:vestibule@h/x"), "DATABASE_URL holds a login"),
            (("SMTP_URL", "smtp://u:hunter2@mail.example.com"), "SMTP_URL sends user and password"),
        ] {
            assert!(load(&[setting]).is_ok());
            let error = load(&[setting, ("ENVIRONMENT", "production")]).err().unwrap().to_string();
            assert!(error.starts_with(sentence) && !error.contains("hunter2"), "{error}");
        }
        let alone = ("SMTP_URL", "smtp://mail.example.com");
        assert!(load(&[alone, ("ENVIRONMENT", "production")]).is_ok());
        assert!(load(&[("ENVIRONMENT", "production")]).is_ok());
    }

    #[test]
    fn a_bad_value_is_named_and_no_secret_is_repeated() {
        for (name, value) in [
            ("DATABASE_URL", ""),
            ("SMTP_URL", ""),
            ("SMTP_URL", "http://u:hunter2@h"),
            ("CODE_SECRETS", "hunter2"),
            ("MAIL_FROM", "nobody"),
            ("WORKER_CONCURRENCY", "0"),
            ("WORKER_CONCURRENCY", "many"),
            ("ENVIRONMENT", "test"),
            ("PUBLIC_URL", "javascript:alert(1)"),
            ("AMQP_URL", "garbage"),
            ("OPS_ADDR", "9090"),
        ] {
            let error = format!("{:#}", load(&[(name, value)]).err().unwrap());
            assert!(error.contains(name), "{name}={value}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
