//! Password resets, each with its code.

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{
    codes,
    transaction::{Value, Writes},
};
use crate::domain::{email::EmailAddress, policy::Code};

const BY_ID: &str = "SELECT r.id, r.email, r.user_id, r.created_at, r.used_at, r.closed_at, d.outcome, \
    clock_timestamp() AS now, \
    r.code_id, r.code_hash, r.key_id, r.length, r.attempts, r.attempts_allowed, r.deadline, r.sent_at, r.expires_at, \
    r.resend_at, r.language FROM resets r LEFT JOIN deliveries d ON d.message_id = r.code_id WHERE r.id = $1";
const INSERT: &str = "INSERT INTO resets (id, code_id, email, user_id, language, code_hash, key_id, length, \
    attempts_allowed, ttl_seconds, deadline, resend_at, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
// The caller holds the lock of the mailbox; the condition is correct even if it does not.
const COUNT_ATTEMPT: &str =
    "UPDATE resets SET attempts = attempts + 1 WHERE id = $1 AND attempts < attempts_allowed AND used_at IS NULL";
const GIVE_BACK: &str = "UPDATE resets SET attempts = attempts - 1 WHERE id = $1 AND attempts > 0";
const MARK_USED: &str = "UPDATE resets SET used_at = $2 WHERE id = $1";
const CLOSE_OF: &str =
    "UPDATE resets SET closed_at = $2 WHERE email = $1 AND used_at IS NULL AND closed_at IS NULL AND deadline > $2";
const DELETE_OF: &str = "DELETE FROM resets WHERE email = $1";
const DELETE_EXPIRED: &str = "DELETE FROM resets WHERE id = ANY(ARRAY( \
    SELECT id FROM resets WHERE deadline <= $1 ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED))";
// statement_timestamp() as in `codes`.
const IS_LATE: &str = "SELECT EXISTS (SELECT FROM resets r WHERE r.sent_at IS NULL AND r.closed_at IS NULL \
    AND r.deadline > statement_timestamp() AND r.created_at < statement_timestamp() - make_interval(secs => $1) \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = r.code_id))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] =
    &[BY_ID, INSERT, COUNT_ATTEMPT, GIVE_BACK, MARK_USED, CLOSE_OF, DELETE_OF, DELETE_EXPIRED, IS_LATE];

/// A reset as it is at `now`, the database's time when it was read.
#[derive(Debug)]
pub(crate) struct Reset {
    /// The receipt. A client needs it to try a code.
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    /// The account whose password it resets; `None` if the email address had no account, and the code is an unguessable
    /// decoy.
    pub(crate) user: Option<Uuid>,
    /// The language of the mail.
    pub(crate) language: Language,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) used_at: Option<OffsetDateTime>,
    /// When the password was changed by other means: the code is invalid, and responses do not reveal that.
    pub(crate) closed_at: Option<OffsetDateTime>,
    /// The mail could not be delivered.
    pub(crate) undeliverable: bool,
    /// The worker dropped the mail.
    pub(crate) dropped: bool,
    pub(crate) code: Code,
    pub(crate) now: OffsetDateTime,
}

impl From<Row> for Reset {
    fn from(row: Row) -> Self {
        let outcome: Option<&str> = row.get("outcome");
        Self {
            id: row.get("id"),
            email: EmailAddress::from_database(row.get("email")),
            user: row.get("user_id"),
            language: Language::of_tag(row.get("language")),
            created_at: row.get("created_at"),
            used_at: row.get("used_at"),
            closed_at: row.get("closed_at"),
            undeliverable: outcome == Some("undeliverable"),
            dropped: outcome == Some("dropped"),
            now: row.get("now"),
            code: codes::from_row(&row),
        }
    }
}

/// Reads one reset.
pub(crate) async fn by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Reset>, PgError> {
    Ok(super::row(client, BY_ID, &[&id]).await?.map(Into::into))
}

/// Whether a reset code that is not expired has waited longer than this for a mail server, without a delivery record.
pub(crate) async fn any_late(connection: &super::Connection, seconds: f64) -> Result<bool, PgError> {
    Ok(super::row(connection, IS_LATE, &[&seconds]).await?.is_some_and(|row| row.get(0)))
}

/// Inserts a reset with its code, which is valid for `ttl` after its mail was sent.
pub(crate) fn insert<'a>(writes: &mut Writes<'a>, reset: &'a Reset, ttl: Duration) {
    let code = &reset.code;
    let values: [Value<'a>; 13] = [
        Box::new(reset.id),
        Box::new(code.id),
        Box::new(reset.email.as_str()),
        Box::new(reset.user),
        Box::new(reset.language.tag()),
        Box::new(&code.hash),
        Box::new(&code.key_id),
        Box::new(i16::from(code.length)),
        Box::new(i16::from(code.attempts_allowed)),
        Box::new(i32::try_from(ttl.whole_seconds()).unwrap_or(i32::MAX)),
        Box::new(code.deadline),
        Box::new(code.resend_at),
        Box::new(reset.created_at),
    ];
    writes.push(INSERT, values);
}

/// Counts an attempt, if one is left; the reset is then the affected row.
pub(crate) fn count_attempt(writes: &mut Writes<'_>, id: Uuid) {
    writes.push(COUNT_ATTEMPT, [Box::new(id)]);
}

/// Releases a counted attempt that failed through no fault of the client.
pub(crate) fn release_attempt(writes: &mut Writes<'_>, id: Uuid) {
    writes.push(GIVE_BACK, [Box::new(id)]);
}

/// Marks a reset as used: its code has set a new password.
pub(crate) fn mark_used(writes: &mut Writes<'_>, id: Uuid, now: OffsetDateTime) {
    writes.push(MARK_USED, [Box::new(id), Box::new(now)]);
}

/// Closes the open resets of an email address: their codes become invalid. The caller holds its lock.
pub(crate) fn close_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, now: OffsetDateTime) {
    writes.push(CLOSE_OF, [Box::new(email.as_str()), Box::new(now)]);
}

/// Deletes all resets of an email address. The caller holds its lock.
pub(crate) fn delete_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(DELETE_OF, [Box::new(email.as_str())]);
}

/// Deletes up to `limit` resets whose code had its deadline at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
