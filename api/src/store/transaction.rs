//! Transactions in two round trips: one that locks and reads, one that writes and commits. Between them is nothing but
//! a decision in memory. Statements are pipelined: those that are sent together are executed in their order.

use deadpool_postgres::GenericClient;
use futures_util::{
    FutureExt,
    future::{join, join_all, join3, try_join3},
};
use shared::telemetry::traces::spans;
use tokio::join;
use tokio_postgres::{Error as PgError, types::ToSql};
use tracing::Instrument;

use super::Connection;

/// Locks subjects (mailboxes, networks), so that one request at a time decides about each: its rate limits, its
/// account.
pub(crate) const LOCK: &str = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key";

/// The durability of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Synchronous: the commit waits for the disk, and survives a crash of Postgres.
    Durable,
    /// Asynchronous: the commit does not wait for the disk. A crash of Postgres may undo those of the last half second,
    /// so no response may depend on it.
    Asynchronous,
}

/// A transaction. Dropping it rolls it back unless it was committed.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
    finished: bool,
}

/// Statements to execute, in this order.
#[derive(Default)]
pub(crate) struct Writes<'a>(Vec<(&'static str, Vec<Value<'a>>)>);

/// A statement parameter. Its type must always be convertible to the column's type: otherwise that statement would not
/// be sent, and the rest committed.
pub(crate) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

impl<'a> Transaction<'a> {
    /// Begins a transaction, locks the subjects, and reads under the locks. The caller passes a mailbox before
    /// its network, never after it, so that two requests cannot deadlock.
    pub(crate) async fn begin<T>(
        connection: &'a Connection,
        commit: Commit,
        subjects: &[&[u8; 32]],
        reading: impl Future<Output = Result<T, PgError>>,
    ) -> Result<(Self, T), PgError> {
        let transaction = Self { connection, finished: false };
        let lock_keys: Vec<_> =
            subjects.iter().map(|subject| i64::from_be_bytes(std::array::from_fn(|i| subject[i]))).collect();
        let lock = connection.prepare_cached(LOCK).await?;
        let values: [&(dyn ToSql + Sync); 1] = [&lock_keys];
        let all = try_join3(connection.batch_execute(commit.begin()), connection.execute(&lock, &values), reading);
        let (_, _, read) = all.instrument(spans::postgres("lock and read")).await?;
        Ok((transaction, read))
    }

    /// Executes a whole transaction in one round trip; nothing that is written may depend on what is read.
    pub(crate) async fn in_one_round_trip<T>(
        connection: &Connection,
        commit: Commit,
        writes: Writes<'_>,
        reading: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let mut transaction = Transaction { connection, finished: false };
        let writing = writes.prepare(connection).await?;
        let (begun, written, read, committed) = join!(
            connection.batch_execute(commit.begin()),
            join_all(writing),
            reading,
            connection.batch_execute("COMMIT")
        );
        transaction.finished = true;
        begun?;
        written.into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = read?;
        committed?;
        Ok(read)
    }

    /// Executes the statements and commits. Returns the number of affected rows of each statement.
    pub(crate) async fn commit(mut self, writes: Writes<'_>) -> Result<Vec<u64>, PgError> {
        let writing = writes.prepare(self.connection).await?;
        let all = join(join_all(writing), self.connection.batch_execute("COMMIT"));
        let (written, committed) = all.instrument(spans::postgres("write and commit")).await;
        self.finished = true;
        // The first error is the cause. Those of later statements say only that the transaction is aborted, and a
        // COMMIT that rolls back reports no error at all.
        let written = written.into_iter().collect::<Result<_, _>>()?;
        committed?;
        Ok(written)
    }

    /// Executes the statements, reads, and commits. For data that only accepted requests need, so that rejected ones do
    /// not wait for it.
    pub(crate) async fn commit_and_read<T>(
        mut self,
        writes: Writes<'_>,
        reading: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let writing = writes.prepare(self.connection).await?;
        let all = join3(join_all(writing), reading, self.connection.batch_execute("COMMIT"));
        let (written, read, committed) = all.instrument(spans::postgres("write, commit and read")).await;
        self.finished = true;
        written.into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = read?;
        committed?;
        Ok(read)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // The first poll sends it; statements of the next user of the connection are executed after it.
            let _ = self.connection.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

impl<'a> Writes<'a> {
    /// Appends a statement.
    pub(crate) fn push<const N: usize>(&mut self, sql: &'static str, values: [Value<'a>; N]) {
        self.0.push((sql, values.into()));
    }

    /// The number of statements.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What the statements do, each like `INSERT INTO lockouts`: for unit tests of what is decided.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.0.iter().map(|(sql, _)| sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect()
    }

    /// One future for each statement, which sends it at the first poll. `join_all` polls up to 30 futures in their
    /// order.
    async fn prepare<'s>(
        &'s self,
        connection: &'s Connection,
    ) -> Result<Vec<impl Future<Output = Result<u64, PgError>> + use<'s, 'a>>, PgError> {
        debug_assert!(self.0.len() < 30);
        let mut executions = Vec::with_capacity(self.0.len());
        for (sql, values) in &self.0 {
            let statement = connection.prepare_cached(sql).await?;
            let values: Vec<_> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
            executions.push(async move { connection.execute(&statement, &values).await });
        }
        Ok(executions)
    }
}

impl Commit {
    /// The statement that begins the transaction.
    fn begin(self) -> &'static str {
        match self {
            Self::Durable => "BEGIN",
            Self::Asynchronous => "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }
}
