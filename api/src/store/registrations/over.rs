//! Registrations that are over for so long that they go, and their codes with them.

use time::OffsetDateTime;

use crate::store::transaction::Writes;

const FORGET_PENDING: &str = "DELETE FROM registrations WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM registrations WHERE activated_at IS NULL AND closed_at IS NULL AND created_at <= $1 \
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
const FORGET_ENDED: &str = "DELETE FROM registrations WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM registrations WHERE (activated_at IS NOT NULL OR closed_at IS NOT NULL) \
    AND COALESCE(activated_at, closed_at) <= $1 \
    ORDER BY COALESCE(activated_at, closed_at) LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(in crate::store) const ALL: &[&str] = &[FORGET_PENDING, FORGET_ENDED];

/// So many of those that nobody ended, and that were made then or before.
pub(crate) fn forget_pending(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET_PENDING, [Box::new(since), Box::new(at_most)]);
}

/// So many of those that were activated or closed then or before.
pub(crate) fn forget_ended(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET_ENDED, [Box::new(since), Box::new(at_most)]);
}
