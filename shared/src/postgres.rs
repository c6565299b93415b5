//! The Postgres connection pool of both processes, and the migrations, which either process may run.

mod direct;
mod hosts;
mod migrations;
mod service_role;
mod timeouts;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use self::hosts::Hosts;
pub use self::{
    migrations::{Migration, apply, migrate, migrate_as_owner, newest_version},
    timeouts::{url_options, warn_without_timeouts},
};
use crate::config::environment::Environment;
use anyhow::{Context, Result, anyhow};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Metrics, RecyclingMethod, Runtime, Timeouts,
};
use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The connection pool of a process. A task that holds a connection must not wait for a second one: the pool may have
/// only one, so that would be a deadlock.
pub type Pool = deadpool_postgres::Pool;

/// The timeout for opening a connection, including authentication, unless the URL sets `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection; short, because it still has to do its work afterwards.
const POOL_WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection pool for requests. Connections are opened on first use.
pub fn pool(url: &SecretString, connections: usize) -> Result<Pool> {
    pool_with_wait(url, connections, POOL_WAIT_TIMEOUT)
}

/// A connection pool whose callers can wait for a connection as long as `wait`.
pub fn pool_with_wait(url: &SecretString, connections: usize, wait: Duration) -> Result<Pool> {
    pool_of(hosts("DATABASE_URL", url)?, connections, wait)
}

fn pool_of(hosts: Hosts, connections: usize, wait: Duration) -> Result<Pool> {
    let create = Some(hosts.connect_timeout);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(Config::new(), hosts, recycling);
    Ok(Pool::builder(manager)
        .max_size(connections)
        .pre_recycle(Hook::async_fn(|client, metrics| Box::pin(verify(client, metrics))))
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: Some(wait), create, recycle: None })
        .build()?)
}

/// Checks `DATABASE_URL` and `MIGRATE_DATABASE_URL`, and returns the second, whose default is the first.
pub fn check_urls(
    database_url: &SecretString,
    migrate_database_url: SecretString,
    environment: Environment,
) -> Result<SecretString> {
    check_url("DATABASE_URL", database_url, environment)?;
    if migrate_database_url.expose_secret().is_empty() {
        return Ok(database_url.clone());
    }
    check_url("MIGRATE_DATABASE_URL", &migrate_database_url, environment)?;
    Ok(migrate_database_url)
}

/// Checks the format of a URL and, in production, rejects a well-known login, however it is spelt. `setting` is the name of
/// the setting that contains it.
fn check_url(setting: &str, url: &SecretString, environment: Environment) -> Result<()> {
    hosts(setting, url)?.configs.iter().try_for_each(|host| {
        let password = String::from_utf8_lossy(host.get_password().unwrap_or_default());
        // Without a password the server authenticates the client by other means.
        if password.is_empty() {
            Ok(())
        } else {
            environment.check_login(setting, host.get_user().unwrap_or_default(), &password)
        }
    })
}

/// The hosts of the URL, all with the same TLS configuration.
fn hosts(setting: &str, url: &SecretString) -> Result<Hosts> {
    let parsed = hosts::split(url.expose_secret()).into_iter().map(|url| parse(setting, &url.into()));
    let (configs, mut tls): (Vec<_>, Vec<_>) = parsed.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let connect_timeout = configs[0].get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    Ok(Hosts { configs, tls: tls.remove(0), connect_timeout, last_connected: AtomicUsize::new(0) })
}

/// Checks a connection before the pool hands it out again.
///
/// One round trip detects a connection that broke while it was idle, and one on which an abandoned query still waits
/// for a server that does not respond. A connection that was used within the last 500 ms is not checked, to save the
/// round trip under load.
async fn verify(client: &ClientWrapper, metrics: &Metrics) -> Result<(), HookError> {
    if metrics.last_used() < Duration::from_millis(500) {
        return Ok(());
    }
    let ping = tokio::time::timeout(Duration::from_secs(2), client.simple_query(""));
    ping.await.map_err(|_| HookError::message("Postgres does not respond"))?.map_err(HookError::Backend)?;
    Ok(())
}

/// The state of a connection pool.
pub struct PoolUsage {
    pub in_use: usize,
    pub idle: usize,
    /// The number of tasks that wait for a connection.
    pub waiting: usize,
}

/// The current state of the pool.
pub fn usage(pool: &Pool) -> PoolUsage {
    let status = pool.status();
    PoolUsage { in_use: status.size - status.available, idle: status.available, waiting: status.waiting }
}

/// The connection configuration of a URL with one host.
fn parse(setting: &str, url: &SecretString) -> Result<(Config, MakeRustlsConnect)> {
    let (url, ca) = split_ca(url.expose_secret());
    // The error of the parser may contain parts of the URL, and the URL contains a password.
    let format = "postgres://user:password@host/database?sslmode=…, disable or require";
    let invalid = |_| anyhow!("{setting} is not a Postgres URL ({format})");
    let mut config: Config = url.parse().map_err(invalid)?;
    // TLS is used only with sslmode=require, and then the certificate is verified. "prefer", the default, would either
    // skip the verification or fail on the self-signed certificate of a Debian server.
    if config.get_ssl_mode() != SslMode::Require {
        config.ssl_mode(SslMode::Disable);
    }
    config.application_name("vestibule");
    config.tcp_user_timeout(Duration::from_secs(10)).keepalives_idle(Duration::from_secs(30));
    Ok((config, MakeRustlsConnect::new(tls_config(setting, ca.as_deref())?)))
}

/// Removes the `sslrootcert` of libpq, which the driver does not support, from a URL, and returns both.
fn split_ca(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (ca, rest): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| pair.starts_with("sslrootcert="));
    let ca = ca.first().map(|pair| pair["sslrootcert=".len()..].to_owned());
    if rest.is_empty() { (base.to_owned(), ca) } else { (format!("{base}?{}", rest.join("&")), ca) }
}

/// A TLS configuration that trusts the public certificate authorities and those of the file `ca`.
fn tls_config(setting: &str, ca: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca {
        let file = rustls::pki_types::CertificateDer::pem_file_iter(path);
        for certificate in file.with_context(|| format!("{setting}: cannot read sslrootcert {path}"))? {
            roots.add(certificate?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_url_is_rejected_without_being_repeated() {
        let error = format!("{:#}", pool(&"postgres://u:hunter2@host:port/x".to_owned().into(), 1).unwrap_err());
        assert!(error.starts_with("DATABASE_URL is not"), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn s_38_production_rejects_well_known_logins_however_spelt() {
        let production = Environment::parse("production", "http,smtp").unwrap();
        for url in [
            "postgres://vestibule:vestibule@h/x",
            "postgres://postgres:postgres@h/x",
            "postgresql://%76estibule:vestibule@h/x",
            "postgres://vestibule:%76estibule@h/x",
            "postgres://vestibule:VESTIBULE@h/x",
            "postgres://app:postgres@h/x",
            "postgres://h/x?user=vestibule&password=vestibule",
            "postgres://vestibule:vestibule@one,two/x",
            "host=h user=vestibule password=vestibule dbname=x",
            "host=h user='vestibule' password='vestibule'",
            "host=h user = postgres password = postgres",
        ] {
            let url = url.to_owned().into();
            let own: SecretString = "postgres://vestibule:kj3h4@h/x".to_owned().into();
            for (service, owner, setting) in [(&url, &own, "DATABASE_URL"), (&own, &url, "MIGRATE_DATABASE_URL")] {
                check_urls(service, owner.clone(), Environment::default()).unwrap();
                let error = check_urls(service, owner.clone(), production).expect_err(url.expose_secret()).to_string();
                assert!(error.starts_with(&format!("{setting} has a well-known login")), "{error}");
            }
        }
        for url in ["postgres://vestibule:kj3h4@h/x", "postgres:///x?host=/run/postgresql&user=postgres"] {
            let url: SecretString = url.to_owned().into();
            let owner = check_urls(&url, SecretString::default(), production).unwrap();
            assert_eq!(owner.expose_secret(), url.expose_secret());
        }
    }

    #[test]
    fn tls_is_used_only_with_sslmode_require() {
        let mode = |url: &str| parse("DATABASE_URL", &url.to_owned().into()).unwrap().0.get_ssl_mode();
        assert_eq!(mode("postgres://h/x"), SslMode::Disable);
        assert_eq!(mode("postgres://h/x?sslmode=require"), SslMode::Require);
    }

    #[test]
    fn private_certificate_authority_is_supported() {
        assert_eq!(
            split_ca("postgres://h/x?sslrootcert=/ca.pem&sslmode=require"),
            ("postgres://h/x?sslmode=require".into(), Some("/ca.pem".into()))
        );
        assert_eq!(split_ca("postgres://h/x"), ("postgres://h/x".into(), None));
        let missing =
            parse("DATABASE_URL", &"postgres://h/x?sslmode=require&sslrootcert=/nowhere.pem".to_owned().into());
        assert!(missing.err().unwrap().to_string().contains("/nowhere.pem"));
    }
}
