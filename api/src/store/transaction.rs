//! A transaction in two round trips: one that locks and reads, one that writes and commits. Between them is
//! nothing but our judgement. What is sent together is worked off in its order.

use deadpool_postgres::GenericClient;
use futures_util::{
    FutureExt,
    future::{join_all, join3, ready, try_join3},
};
use shared::telemetry::traces::spans;
use tokio::join;
use tokio_postgres::{Error as PgError, types::ToSql};
use tracing::Instrument;

use super::Connection;

/// Everything about a subject is decided by one request at a time: its budget, who it belongs to.
pub(crate) const LOCK: &str = "SELECT pg_advisory_xact_lock(name) FROM unnest($1::bigint[]) AS name";

/// What a crash of Postgres may take with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Nothing, once it is committed.
    Durable,
    /// The last half second: nobody was told of it, and nobody waits for the disk.
    Soon,
}

/// Rolled back unless it is committed.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
    over: bool,
}

/// What is to be written, statement by statement, in this order.
#[derive(Default)]
pub(crate) struct Writes<'a>(Vec<(&'static str, Vec<Value<'a>>)>);

/// Of types that can always be sent: one that could not would be left out, and the rest committed.
pub(crate) type Value<'a> = Box<dyn ToSql + Sync + Send + 'a>;

impl<'a> Transaction<'a> {
    /// Begins, and reads under the lock of these subjects: an address before its network, never after.
    pub(crate) async fn begin<T>(
        connection: &'a Connection,
        commit: Commit,
        subjects: &[&[u8; 32]],
        reading: impl Future<Output = Result<T, PgError>>,
    ) -> Result<(Self, T), PgError> {
        let transaction = Self { connection, over: false };
        let names: Vec<_> = subjects.iter().map(|name| i64::from_be_bytes(std::array::from_fn(|i| name[i]))).collect();
        let lock = connection.prepare_cached(LOCK).await?;
        let names: [&(dyn ToSql + Sync); 1] = [&names];
        let all = try_join3(connection.batch_execute(commit.begin()), connection.execute(&lock, &names), reading);
        let (_, _, read) = all.instrument(spans::postgres("lock and read")).await?;
        Ok((transaction, read))
    }

    /// The whole of it in one round trip, where nothing that is written depends on what is read.
    pub(crate) async fn at_once<T>(
        connection: &Connection,
        commit: Commit,
        writes: Writes<'_>,
        reading: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let mut transaction = Transaction { connection, over: false };
        let writing = writes.sending(connection).await?;
        let (begun, written, read, committed) = join!(
            connection.batch_execute(commit.begin()),
            join_all(writing),
            reading,
            connection.batch_execute("COMMIT")
        );
        transaction.over = true;
        begun?;
        written.into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = read?;
        committed?;
        Ok(read)
    }

    /// Returns how many rows each statement has touched.
    pub(crate) async fn commit(self, writes: Writes<'_>) -> Result<Vec<u64>, PgError> {
        Ok(self.commit_before(writes, Writes::default()).await?.0)
    }

    /// Reads, behind what it writes, what nobody is to be kept waiting for whom the judgement refuses.
    pub(crate) async fn commit_and_read<T>(
        mut self,
        writes: Writes<'_>,
        reading: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let writing = writes.sending(self.connection).await?;
        let all = join3(join_all(writing), reading, self.connection.batch_execute("COMMIT"));
        let (written, read, committed) = all.instrument(spans::postgres("write, commit and read")).await;
        self.over = true;
        written.into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = read?;
        committed?;
        Ok(read)
    }

    /// Has a second transaction follow at once: for rows that everybody writes, which nobody else can while a
    /// commit waits for the disk. Returns when both are over, and what became of the second beside the first.
    pub(crate) async fn commit_before(
        mut self,
        writes: Writes<'_>,
        next: Writes<'_>,
    ) -> Result<(Vec<u64>, Result<(), PgError>), PgError> {
        let connection = self.connection;
        let writing = writes.sending(connection).await?;
        let next = async {
            if next.len() > 0 {
                Transaction::at_once(connection, Commit::Soon, next, ready(Ok(()))).await?;
            }
            Ok(())
        };
        let all = join3(join_all(writing), connection.batch_execute("COMMIT"), next);
        let (written, committed, next) = all.instrument(spans::postgres("write and commit")).await;
        self.over = true;
        // The first error says what went wrong; those behind it only that something had, and that is all a
        // COMMIT says which rolls back.
        let written = written.into_iter().collect::<Result<_, _>>()?;
        committed?;
        Ok((written, next))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.over {
            // Sent when it is asked for first; whoever has the connection next comes behind it.
            let _ = self.connection.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

impl<'a> Writes<'a> {
    pub(crate) fn push<const N: usize>(&mut self, sql: &'static str, values: [Value<'a>; N]) {
        self.0.push((sql, values.into()));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Futures that send one statement each when they are polled first; `join_all` polls so few in their order.
    async fn sending<'s>(
        &'s self,
        connection: &'s Connection,
    ) -> Result<Vec<impl Future<Output = Result<u64, PgError>> + use<'s, 'a>>, PgError> {
        debug_assert!(self.0.len() < 30);
        let mut sending = Vec::with_capacity(self.0.len());
        for (sql, values) in &self.0 {
            let statement = connection.prepare_cached(sql).await?;
            let values: Vec<_> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
            sending.push(async move { connection.execute(&statement, &values).await });
        }
        Ok(sending)
    }
}

impl Commit {
    fn begin(self) -> &'static str {
        match self {
            Self::Durable => "BEGIN",
            Self::Soon => "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }
}
