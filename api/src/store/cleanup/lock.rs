//! The advisory lock of the cleanup job: one process at a time runs it.

use time::OffsetDateTime;
use tokio_postgres::Error as PgError;

use crate::store::Connection;

// A lock key of two numbers, so that it is no lock of a subject, which have one number. Also disables sequential scans
// for this transaction: a plan that was made while a table was small would read all of it later.
const TRY_ACQUIRE: &str = "SELECT pg_try_advisory_xact_lock(1986356079, 1), clock_timestamp(), \
    set_config('enable_seqscan', 'off', true)";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[TRY_ACQUIRE];

/// Acquires the lock until the end of the transaction, without waiting, and returns the time of the database. `None` if
/// another process holds it.
pub(crate) async fn try_acquire(connection: &Connection) -> Result<Option<OffsetDateTime>, PgError> {
    let row = crate::store::row(connection, TRY_ACQUIRE, &[]).await?;
    Ok(row.filter(|row| row.get(0)).map(|row| row.get(1)))
}
