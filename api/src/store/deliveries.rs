//! Delivery records: how the mail of each message ended. Workers write them; the API only deletes expired ones.

use time::OffsetDateTime;

use super::transaction::Writes;

const DELETE_EXPIRED: &str = "DELETE FROM deliveries WHERE message_id = ANY(ARRAY( \
    SELECT message_id FROM deliveries WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[DELETE_EXPIRED];

/// Deletes up to `limit` records that were written at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
