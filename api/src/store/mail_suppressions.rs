//! The addresses whose sign-ups get no mail, and until when.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;

use super::transaction::Writes;

// With a limit it goes by the index, whatever there was when it was planned.
const UNTIL: &str = "SELECT until FROM mutes WHERE subject = $1 LIMIT 1";
const SET: &str = "INSERT INTO mutes (subject, until) VALUES ($1, $2) \
    ON CONFLICT (subject) DO UPDATE SET until = EXCLUDED.until";
const LIFT: &str = "DELETE FROM mutes WHERE subject = $1";
const FORGET: &str = "DELETE FROM mutes WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM mutes WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[UNTIL, SET, LIFT, FORGET];

/// When that of this address ends, or has ended.
pub(crate) async fn until(client: &impl GenericClient, address: &[u8; 32]) -> Result<Option<OffsetDateTime>, PgError> {
    Ok(super::row(client, UNTIL, &[&address.as_slice()]).await?.map(|row| row.get(0)))
}

/// The caller holds the lock of the address.
pub(crate) fn set<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32], until: OffsetDateTime) {
    writes.push(SET, [Box::new(address.as_slice()), Box::new(until)]);
}

/// The caller holds the lock of the address.
pub(crate) fn lift<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32]) {
    writes.push(LIFT, [Box::new(address.as_slice())]);
}

/// So many of those that ended then or before.
pub(crate) fn forget(writes: &mut Writes<'_>, ended: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(ended), Box::new(at_most)]);
}
