//! The way to the database. One table, one file below; statements are constants, rules are elsewhere.

pub(crate) mod budgets;
pub(crate) mod codes;
pub(crate) mod guesses;
pub(crate) mod lockouts;
pub(crate) mod lost;
pub(crate) mod names;
pub(crate) mod outbox;
pub(crate) mod passwords;
pub(crate) mod registrations;
pub(crate) mod transaction;
pub(crate) mod users;

use anyhow::anyhow;
use deadpool_postgres::{GenericClient, Object, Pool, PoolError};
use futures_util::future::try_join_all;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use crate::refusal::Refusal;

pub(crate) type Connection = Object;
pub(crate) type Error = tokio_postgres::Error;

#[derive(Clone)]
pub(crate) struct Store(Pool);

impl Store {
    pub(crate) fn new(pool: Pool) -> Self {
        Self(pool)
    }

    pub(crate) async fn connection(&self) -> Result<Connection, Refusal> {
        let connection = self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            other => Refusal::Unavailable(anyhow!(other).context("no connection to Postgres")),
        })?;
        prepare(&connection).await?;
        Ok(connection)
    }

    pub(crate) async fn is_up(&self) -> bool {
        match self.connection().await {
            Ok(connection) => connection.simple_query("").await.is_ok(),
            Err(_) => false,
        }
    }
}

/// All statements, once for each connection: one that must be prepared first would be overtaken by those that
/// are sent with it.
async fn prepare(connection: &Connection) -> Result<(), Error> {
    let statements = statements();
    // Fewer, too, where the first time was cut short.
    if connection.statement_cache.size() < statements.len() {
        try_join_all(statements.into_iter().map(|sql| connection.prepare_cached(sql))).await?;
    }
    Ok(())
}

/// Every statement of this crate, for the test that prepares them all.
pub(crate) fn statements() -> Vec<&'static str> {
    [
        &[transaction::LOCK],
        budgets::ALL,
        codes::ALL,
        guesses::ALL,
        lockouts::ALL,
        lost::ALL,
        names::ALL,
        outbox::ALL,
        passwords::ALL,
        registrations::ALL,
        users::ALL,
    ]
    .concat()
}

async fn rows(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
    client.query(&client.prepare_cached(sql).await?, values).await
}

async fn row(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, Error> {
    client.query_opt(&client.prepare_cached(sql).await?, values).await
}

async fn execute(client: &impl GenericClient, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
    client.execute(&client.prepare_cached(sql).await?, values).await
}

/// Whether this error is the violation of that constraint.
pub(crate) fn violates(error: &Error, constraint: &str) -> bool {
    error.as_db_error().is_some_and(|error| error.constraint() == Some(constraint))
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
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
