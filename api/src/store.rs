//! SQL storage in Postgres: the connection pool, prepared statements and error mapping. Each table has one file;
//! statements are constants, and business rules are in `domain`.

pub(crate) mod cleanup;
pub(crate) mod codes;
pub(crate) mod deliveries;
pub(crate) mod guesses;
pub(crate) mod key_fingerprint;
pub(crate) mod lockouts;
pub(crate) mod mail_suppressions;
pub(crate) mod notices;
pub(crate) mod outbox;
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
use tokio::time::Instant;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use self::transaction::{Commit, Transaction, Writes};
use crate::error::Error;

/// A connection from the pool.
pub(crate) type Connection = Object;
/// An error of Postgres, or of the connection to it.
pub(crate) type PgError = tokio_postgres::Error;

/// The connection pool.
#[derive(Clone)]
pub(crate) struct Store {
    pool: Pool,
    /// The number of statements that a connection must have prepared.
    statement_count: usize,
}

impl Store {
    /// Creates the store on a connection pool.
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, statement_count: statements().len() }
    }

    /// Takes a connection from the pool, with all statements prepared. Waits while all connections are in use.
    pub(crate) async fn connection(&self) -> Result<Connection, Error> {
        let connection = self.pool.get().await.map_err(|error| match error {
            // Whatever error the server reports at login counts as unavailable: nothing was executed yet.
            PoolError::Backend(error) => match error.into() {
                Error::Internal(cause) => Error::Unavailable(cause.context("no connection to Postgres")),
                transient => transient,
            },
            other => Error::Unavailable(anyhow!(other).context("no connection to Postgres")),
        })?;
        // Also true when an earlier preparation was interrupted.
        if connection.statement_cache.size() < self.statement_count {
            Box::pin(prepare_all(&connection)).await?;
        }
        Ok(connection)
    }

    /// The numbers of connections, for the metrics.
    pub(crate) fn usage(&self) -> PoolUsage {
        usage(&self.pool)
    }
}

/// When a connection was opened.
pub(crate) fn opened_at(connection: &Connection) -> Instant {
    Object::metrics(connection).created.into()
}

/// Prepares all statements, once per connection. In a pipeline, a statement that still has to be prepared would be
/// overtaken by those that are sent with it.
async fn prepare_all(connection: &Connection) -> Result<(), PgError> {
    try_join_all(statements().into_iter().map(|sql| connection.prepare_cached(sql))).await?;
    Ok(())
}

/// Every statement of this crate.
pub(crate) fn statements() -> Vec<&'static str> {
    [
        &[transaction::LOCK],
        rate_limits::ALL,
        codes::ALL,
        deliveries::ALL,
        guesses::ALL,
        guesses::activations::ALL,
        guesses::code_attempts::ALL,
        lockouts::ALL,
        lockouts::known_networks::ALL,
        lockouts::unlocks::ALL,
        unacknowledged::ALL,
        mail_suppressions::ALL,
        key_fingerprint::ALL,
        outbox::ALL,
        notices::account_deletions::ALL,
        notices::password_changes::ALL,
        passwords::ALL,
        registrations::ALL,
        resets::ALL,
        schema::ALL,
        sessions::ALL,
        cleanup::lock::ALL,
        users::ALL,
        outbox::parked::ALL,
        outbox::stats::ALL,
        outbox::unfinished::ALL,
    ]
    .concat()
}

/// Executes statements without sequential scans, in one round trip. Their plans may have been made while the tables were empty.
pub(crate) async fn by_index<T>(
    connection: &Connection,
    statements: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    let mut writes = Writes::default();
    outbox::disable_sequential_scans(&mut writes);
    Transaction::in_one_round_trip(connection, Commit::Asynchronous, writes, statements).await
}

/// Executes a prepared statement and returns its rows.
async fn rows(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
    client.query(&client.prepare_cached(sql).await?, values).await
}

/// Executes a prepared statement that returns at most one row.
async fn row(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, PgError> {
    client.query_opt(&client.prepare_cached(sql).await?, values).await
}

/// Executes a prepared statement and returns the number of affected rows.
async fn execute(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
    client.execute(&client.prepare_cached(sql).await?, values).await
}

/// Whether the error is a violation of this constraint.
pub(crate) fn violates(error: &PgError, constraint: &str) -> bool {
    error.as_db_error().is_some_and(|error| error.constraint() == Some(constraint))
}

impl From<PgError> for Error {
    fn from(error: PgError) -> Self {
        match error.as_db_error() {
            // Without the details of the error: they repeat the values of the row.
            Some(error) => {
                let brief = anyhow!("Postgres: {} {}: {}", error.severity(), error.code().code(), error.message());
                // A fatal error ends the session, as a broken connection does. PgBouncer opens a session for a statement, and returns
                // the error of a login that Postgres rejects.
                if is_transient(error.code()) || error.severity() == "FATAL" {
                    Self::Unavailable(brief)
                } else {
                    Self::Internal(brief)
                }
            }
            // No response from a server: it is down, or the connection is broken.
            None => Self::Unavailable(anyhow!(error).context("Postgres")),
        }
    }
}

/// Whether the error is temporary: the server is starting, stopping, out of resources, a standby, or too slow at the
/// moment.
fn is_transient(state: &SqlState) -> bool {
    let transient = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    let class = &state.code()[..2];
    transient.contains(state) || ["08", "53"].contains(&class) || state.code().starts_with("57P0")
}
