//! Connects to Postgres itself for a migration, which needs a session of its own: it holds an advisory lock, changes settings
//! and builds indexes outside of a transaction. A connection pooler shares sessions between its clients.

use anyhow::{Context, Result, anyhow, bail};
use deadpool_postgres::{Object, PoolError};
use secrecy::SecretString;
use tokio_postgres::error::SqlState;

use super::{POOL_WAIT_TIMEOUT, hosts, pool_of};

/// A setting that nothing reads. PgBouncer refuses parameters like this, or drops them with `ignore_startup_parameters`.
const PROBE: &str = "-c vestibule.direct=on";

const PROBE_ARRIVED: &str = "SELECT COALESCE(current_setting('vestibule.direct', true), '') = 'on'";

const IS_POOLER: &str = "MIGRATE_DATABASE_URL (default: DATABASE_URL) leads to a connection pooler, and a migration needs a \
    session of its own: set MIGRATE_DATABASE_URL to the address of the Postgres server itself";

/// Opens a connection of `MIGRATE_DATABASE_URL`. Fails if it leads to a connection pooler.
pub(super) async fn connect(url: &SecretString) -> Result<Object> {
    let mut hosts = hosts("MIGRATE_DATABASE_URL", url)?;
    for config in &mut hosts.configs {
        let options = config.get_options().map(|options| format!("{options} {PROBE}"));
        config.options(options.as_deref().unwrap_or(PROBE));
    }
    let client = match pool_of(hosts, 1, POOL_WAIT_TIMEOUT)?.get().await {
        Ok(client) => client,
        Err(PoolError::Backend(error)) if is_refused_parameter(&error) => return Err(anyhow!(error).context(IS_POOLER)),
        Err(error) => return Err(error).context("cannot connect to MIGRATE_DATABASE_URL (default: DATABASE_URL)"),
    };
    if !client.query_one(PROBE_ARRIVED, &[]).await?.get::<_, bool>(0) {
        bail!(IS_POOLER);
    }
    Ok(client)
}

fn is_refused_parameter(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::PROTOCOL_VIOLATION && error.message().contains("startup parameter")
    })
}
