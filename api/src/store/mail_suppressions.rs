//! Mail suppressions (table `mutes`): email addresses whose registrations send no mail, and until when.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;

use super::transaction::Writes;

// LIMIT makes the plan use the index, however small the table was when it was planned.
const UNTIL: &str = "SELECT until FROM mutes WHERE subject = $1 LIMIT 1";
const SET: &str = "INSERT INTO mutes (subject, until) VALUES ($1, $2) \
    ON CONFLICT (subject) DO UPDATE SET until = EXCLUDED.until";
const DELETE: &str = "DELETE FROM mutes WHERE subject = $1";
const DELETE_EXPIRED: &str = "DELETE FROM mutes WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM mutes WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[UNTIL, SET, DELETE, DELETE_EXPIRED];

/// When the suppression of an email address ends, or has ended; `None` if there is none.
pub(crate) async fn until(client: &impl GenericClient, address: &[u8; 32]) -> Result<Option<OffsetDateTime>, PgError> {
    Ok(super::row(client, UNTIL, &[&address.as_slice()]).await?.map(|row| row.get(0)))
}

/// Suppresses mail until a time. The caller holds the lock of the email address.
pub(crate) fn set<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32], until: OffsetDateTime) {
    writes.push(SET, [Box::new(address.as_slice()), Box::new(until)]);
}

/// Ends the suppression. The caller holds the lock of the email address.
pub(crate) fn lift<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32]) {
    writes.push(DELETE, [Box::new(address.as_slice())]);
}

/// Deletes up to `limit` suppressions that ended at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
