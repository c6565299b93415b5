//! The way to the database. One table, one file below; statements are constants, rules are elsewhere.

pub(crate) mod cleanup_lock;
pub(crate) mod codes;
pub(crate) mod deliveries;
pub(crate) mod guesses;
pub(crate) mod key_fingerprint;
pub(crate) mod lockouts;
pub(crate) mod mail_suppressions;
pub(crate) mod outbox;
pub(crate) mod outbox_stats;
pub(crate) mod password_changes;
pub(crate) mod passwords;
pub(crate) mod rate_limits;
pub(crate) mod registrations;
pub(crate) mod resets;
pub(crate) mod schema;
pub(crate) mod sessions;
pub(crate) mod transaction;
pub(crate) mod unacknowledged;
pub(crate) mod users;

use anyhow::anyhow;
use deadpool_postgres::{GenericClient, Object, Pool, PoolError};
use futures_util::future::try_join_all;
use shared::postgres::{PoolUsage, usage};
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use crate::error::Error;

pub(crate) type Connection = Object;
pub(crate) type PgError = tokio_postgres::Error;

#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
    /// How many a connection must have prepared.
    statements: usize,
}

impl Store {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, statements: statements().len() }
    }

    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        let connection = self.pool.get().await.map_err(|error| match error {
            // Whatever it says to who comes in: nothing was asked yet.
            PoolError::Backend(error) => match error.into() {
                Error::Internal(said) => Error::Unavailable(said.context("no connection to Postgres")),
                passing => passing,
            },
            other => Error::Unavailable(anyhow!(other).context("no connection to Postgres")),
        })?;
        // Fewer, too, where the first time was cut short.
        if connection.statement_cache.size() < self.statements {
            Box::pin(prepare(&connection)).await?;
        }
        Ok(connection)
    }

    pub(crate) fn usage(&self) -> PoolUsage {
        usage(&self.pool)
    }
}

/// All statements, once for each connection: one that must be prepared first would be overtaken by those that
/// are sent with it.
async fn prepare(connection: &Connection) -> Result<(), PgError> {
    try_join_all(statements().into_iter().map(|sql| connection.prepare_cached(sql))).await?;
    Ok(())
}

/// Every statement of this crate, for the test that prepares them all.
pub(crate) fn statements() -> Vec<&'static str> {
    [
        &[transaction::LOCK],
        rate_limits::ALL,
        codes::ALL,
        deliveries::ALL,
        guesses::ALL,
        lockouts::ALL,
        unacknowledged::ALL,
        mail_suppressions::ALL,
        key_fingerprint::ALL,
        outbox::ALL,
        password_changes::ALL,
        passwords::ALL,
        registrations::ALL,
        registrations::over::ALL,
        resets::ALL,
        schema::ALL,
        sessions::ALL,
        cleanup_lock::ALL,
        users::ALL,
        outbox_stats::ALL,
    ]
    .concat()
}

async fn rows(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
    client.query(&client.prepare_cached(sql).await?, values).await
}

async fn row(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, PgError> {
    client.query_opt(&client.prepare_cached(sql).await?, values).await
}

async fn execute(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
    client.execute(&client.prepare_cached(sql).await?, values).await
}

/// Whether this error is the violation of that constraint.
pub(crate) fn violates(error: &PgError, constraint: &str) -> bool {
    error.as_db_error().is_some_and(|error| error.constraint() == Some(constraint))
}

impl From<PgError> for Error {
    fn from(error: PgError) -> Self {
        match error.as_db_error() {
            // Without its details: those repeat the values of the row.
            Some(said) => {
                let brief = anyhow!("Postgres: {} {}: {}", said.severity(), said.code().code(), said.message());
                if is_passing(said.code()) { Self::Unavailable(brief) } else { Self::Internal(brief) }
            }
            // No answer from a server at all: it is gone, or the way to it is.
            None => Self::Unavailable(anyhow!(error).context("Postgres")),
        }
    }
}

/// What a server says when it is starting, stopping, full, a standby, or too slow just now.
fn is_passing(state: &SqlState) -> bool {
    let passing = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    let class = &state.code()[..2];
    passing.contains(state) || ["08", "53"].contains(&class) || state.code().starts_with("57P0")
}
