//! How messages ended. Workers write it; here it is only forgotten.

use time::OffsetDateTime;

use super::transaction::Writes;

const FORGET: &str = "DELETE FROM deliveries WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM deliveries WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[FORGET];

/// So many of those that are on record since then, or for longer.
pub(crate) fn forget(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(since), Box::new(at_most)]);
}
