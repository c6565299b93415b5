//! Deleted accounts whose owner is to be notified: the address is kept only until the mail is sent.

use i18n::Language;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::email::EmailAddress,
    store::transaction::{Value, Writes},
};

const INSERT: &str = "INSERT INTO account_deletions (id, email, language, deleted_at) VALUES ($1, $2, $3, $4)";
const DELETE_EXPIRED: &str = "DELETE FROM account_deletions WHERE id = ANY(ARRAY( \
    SELECT id FROM account_deletions WHERE deleted_at <= $1 ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[INSERT, DELETE_EXPIRED];

/// Records a deletion. `id` is the message id of the mail.
pub(crate) fn insert<'a>(
    writes: &mut Writes<'a>,
    id: Uuid,
    email: &'a EmailAddress,
    language: Language,
    now: OffsetDateTime,
) {
    let values: [Value<'a>; 4] = [Box::new(id), Box::new(email.as_str()), Box::new(language.tag()), Box::new(now)];
    writes.push(INSERT, values);
}

/// Deletes up to `limit` rows of deletions at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
