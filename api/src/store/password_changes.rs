//! That a password was changed: so that its owner can be told.

use time::OffsetDateTime;
use uuid::Uuid;

use super::transaction::Writes;

const INSERT: &str = "INSERT INTO password_changes (id, user_id, changed_at) VALUES ($1, $2, $3)";
const FORGET: &str = "DELETE FROM password_changes WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM password_changes WHERE changed_at <= $1 ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[INSERT, FORGET];

pub(crate) fn insert(writes: &mut Writes<'_>, id: Uuid, user: Uuid, now: OffsetDateTime) {
    writes.push(INSERT, [Box::new(id), Box::new(user), Box::new(now)]);
}

/// So many of those that were made then or before.
pub(crate) fn forget(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(since), Box::new(at_most)]);
}
