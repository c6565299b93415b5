//! Whose turn it is, when one process does something for all.

use time::OffsetDateTime;
use tokio_postgres::Error as PgError;

use super::Connection;

// Two numbers, so that it is no address's lock, which have one. And no plan that reads a whole table is made in this
// transaction, however small the table was at that moment.
const TAKE: &str = "SELECT pg_try_advisory_xact_lock(1986356079, 1), clock_timestamp(), \
    set_config('enable_seqscan', 'off', true)";

pub(crate) const ALL: &[&str] = &[TAKE];

/// What time it is, if it is ours until the transaction ends; nobody waits for it.
pub(crate) async fn take(connection: &Connection) -> Result<Option<OffsetDateTime>, PgError> {
    let row = super::row(connection, TAKE, &[]).await?;
    Ok(row.filter(|row| row.get(0)).map(|row| row.get(1)))
}
