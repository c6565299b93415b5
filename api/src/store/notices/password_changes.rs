//! Password changes: recorded so that the owner is warned by mail.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::transaction::Writes;

const INSERT: &str = "INSERT INTO password_changes (id, user_id, changed_at) VALUES ($1, $2, $3)";
const DELETE_EXPIRED: &str = "DELETE FROM password_changes WHERE id = ANY(ARRAY( \
    SELECT id FROM password_changes WHERE changed_at <= $1 ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[INSERT, DELETE_EXPIRED];

/// Records a change. `id` is the message id of the warning.
pub(crate) fn insert(writes: &mut Writes<'_>, id: Uuid, user: Uuid, now: OffsetDateTime) {
    writes.push(INSERT, [Box::new(id), Box::new(user), Box::new(now)]);
}

/// Deletes up to `limit` changes that were made at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
