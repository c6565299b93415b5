//! The way to Postgres: the pool that both processes use, and the migrations that either may run.

mod hosts;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use self::hosts::Hosts;
use anyhow::{Context, Result, anyhow};
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Metrics, Object, RecyclingMethod, Runtime, Timeouts,
};
use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Config, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The connections of a process. Whoever holds one asks for no second: there may be no more than one.
pub type Pool = deadpool_postgres::Pool;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// Any constant will do, as long as all processes use the same.
const MIGRATION_LOCK: i64 = 0x0076_6573_7469_6275;

/// What a server may make us wait for, unless the URL has `options` of its own.
const LIMITS: &str = "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=10s";

/// For a new connection, until Postgres has let us in, unless the URL has a `connect_timeout` of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a connection: when it has one, it still has to do its work.
const WAIT: Duration = Duration::from_secs(2);

pub fn pool(url: &SecretString, connections: usize) -> Result<Pool> {
    patient_pool(url, connections, WAIT)
}

/// One in which it takes longer until all have had their turn.
pub fn patient_pool(url: &SecretString, connections: usize, wait: Duration) -> Result<Pool> {
    let hosts = hosts(url)?;
    let create = Some(hosts.patience);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(Config::new(), hosts, recycling);
    Ok(Pool::builder(manager)
        .max_size(connections)
        .pre_recycle(Hook::async_fn(|client, metrics| Box::pin(verify(client, metrics))))
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: Some(wait), create, recycle: None })
        .build()?)
}

fn hosts(url: &SecretString) -> Result<Hosts> {
    let each = hosts::apart(url.expose_secret()).into_iter().map(|url| parse(&url.into()));
    let (each, mut tls): (Vec<_>, Vec<_>) = each.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let patience = each[0].get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    Ok(Hosts { each, tls: tls.remove(0), patience, last: AtomicUsize::new(0) })
}

/// One round trip finds a connection that died while it was idle, and one on which an abandoned query still
/// waits for a server that is stuck. Under load it would be one too many: what was handed out a moment ago, and
/// is back, works.
async fn verify(client: &ClientWrapper, metrics: &Metrics) -> Result<(), HookError> {
    if metrics.last_used() < Duration::from_millis(500) {
        return Ok(());
    }
    let answer = tokio::time::timeout(Duration::from_secs(2), client.simple_query(""));
    answer.await.map_err(|_| HookError::message("Postgres says nothing"))?.map_err(HookError::Backend)?;
    Ok(())
}

/// What becomes of the connections of a pool.
pub struct PoolUsage {
    pub in_use: usize,
    pub idle: usize,
    /// Who waits for one.
    pub waiting: usize,
}

pub fn usage(pool: &Pool) -> PoolUsage {
    let now = pool.status();
    PoolUsage { in_use: now.size - now.available, idle: now.available, waiting: now.waiting }
}

/// Brings the schema up to date. Any number of processes may do it at once: one works, the others wait.
pub async fn migrate(pool: &Pool) -> Result<()> {
    let mut client = pool.get().await.context("cannot connect to DATABASE_URL")?;
    let migrated = migrate_over(&mut client).await;
    if migrated.is_err() {
        // The lock is the session's: it must not outlive this.
        drop(Object::take(client));
    }
    migrated
}

async fn migrate_over(client: &mut Client) -> Result<()> {
    // It may take its time, and need not mention each time that its table is there.
    let unhurried = "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning";
    client.batch_execute(&format!("{unhurried}; SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("migrations");
    // A newer version may have been here: while it is rolled out, or after it was rolled back.
    let runner = runner.set_abort_missing(false);
    let report = runner.run_async(client).await.context("a migration failed")?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "migrated");
    }
    Ok(client.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK}); RESET ALL")).await?)
}

/// The version of the schema that this program was written for.
pub fn newest_version() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(|one| one.version()).max().unwrap_or(0)
}

fn parse(url: &SecretString) -> Result<(Config, MakeRustlsConnect)> {
    let (url, ca) = without_ca(url.expose_secret());
    // The parser's own error may repeat parts of the URL, and a URL holds a password.
    let like = "postgres://user:password@host/database?sslmode=…, disable or require";
    let bad = |_| anyhow!("DATABASE_URL is not a Postgres URL ({like})");
    let mut config: Config = url.parse().map_err(bad)?;
    // "prefer" would check no certificate, or fail on the self-signed one that Debian's server has: a
    // URL asks for TLS with sslmode=require, and then the certificate must be right.
    if config.get_ssl_mode() != SslMode::Require {
        config.ssl_mode(SslMode::Disable);
    }
    if config.get_options().is_none() {
        config.options(LIMITS);
    }
    let (silence, idle) = (Duration::from_secs(10), Duration::from_secs(30));
    config.application_name("vestibule").tcp_user_timeout(silence).keepalives_idle(idle);
    Ok((config, MakeRustlsConnect::new(tls_config(ca.as_deref())?)))
}

/// Takes libpq's `sslrootcert` out of a URL: our driver does not know it.
fn without_ca(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (ca, rest): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| pair.starts_with("sslrootcert="));
    let ca = ca.first().map(|pair| pair["sslrootcert=".len()..].to_owned());
    if rest.is_empty() { (base.to_owned(), ca) } else { (format!("{base}?{}", rest.join("&")), ca) }
}

fn tls_config(ca: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca {
        let file = rustls::pki_types::CertificateDer::pem_file_iter(path);
        for certificate in file.with_context(|| format!("DATABASE_URL: cannot read sslrootcert {path}"))? {
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
    fn a_bad_url_is_refused_without_being_repeated() {
        let error = format!("{:#}", pool(&"postgres://u:hunter2@host:port/x".to_owned().into(), 1).unwrap_err());
        assert!(error.starts_with("DATABASE_URL is not"), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn tls_is_used_when_the_url_asks_for_it_only() {
        let mode = |url: &str| parse(&url.to_owned().into()).unwrap().0.get_ssl_mode();
        assert_eq!(mode("postgres://h/x"), SslMode::Disable);
        assert_eq!(mode("postgres://h/x?sslmode=require"), SslMode::Require);
    }

    #[test]
    fn a_private_authority_may_be_named() {
        assert_eq!(
            without_ca("postgres://h/x?sslrootcert=/ca.pem&sslmode=require"),
            ("postgres://h/x?sslmode=require".into(), Some("/ca.pem".into()))
        );
        assert_eq!(without_ca("postgres://h/x"), ("postgres://h/x".into(), None));
        let missing = parse(&"postgres://h/x?sslmode=require&sslrootcert=/nowhere.pem".to_owned().into());
        assert!(missing.err().unwrap().to_string().contains("/nowhere.pem"));
    }
}
