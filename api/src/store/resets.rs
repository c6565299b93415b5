//! The resets: who forgot a password, with the code of each.

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::transaction::{Value, Writes};
use crate::domain::{email::EmailAddress, policy::Code};

const BY_ID: &str = "SELECT r.id, r.email, r.user_id, r.created_at, r.used_at, r.closed_at, d.outcome, clock_timestamp(), \
    r.code_id, r.code_hash, r.key_id, r.length, r.attempts, r.attempts_allowed, r.deadline, r.sent_at, r.expires_at, \
    r.resend_at, r.language FROM resets r LEFT JOIN deliveries d ON d.message_id = r.code_id WHERE r.id = $1";
const INSERT: &str = "INSERT INTO resets (id, code_id, email, user_id, language, code_hash, key_id, length, \
    attempts_allowed, ttl_seconds, deadline, resend_at, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
// Whoever comes here holds the lock of the address; the condition holds even if somebody forgets.
const COUNT_ATTEMPT: &str =
    "UPDATE resets SET attempts = attempts + 1 WHERE id = $1 AND attempts < attempts_allowed AND used_at IS NULL";
const GIVE_BACK: &str = "UPDATE resets SET attempts = attempts - 1 WHERE id = $1 AND attempts > 0";
const USE: &str = "UPDATE resets SET used_at = $2 WHERE id = $1";
const CLOSE_OF: &str =
    "UPDATE resets SET closed_at = $2 WHERE email = $1 AND used_at IS NULL AND closed_at IS NULL AND deadline > $2";
const DELETE_OF: &str = "DELETE FROM resets WHERE email = $1";
const FORGET: &str = "DELETE FROM resets WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM resets WHERE deadline <= $1 ORDER BY deadline LIMIT $2 FOR UPDATE SKIP LOCKED))";
// As with codes.
const IS_LATE: &str = "SELECT EXISTS (SELECT FROM resets r WHERE r.sent_at IS NULL AND r.closed_at IS NULL \
    AND r.deadline > statement_timestamp() AND r.created_at < statement_timestamp() - make_interval(secs => $1) \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = r.code_id))";

pub(crate) const ALL: &[&str] = &[BY_ID, INSERT, COUNT_ATTEMPT, GIVE_BACK, USE, CLOSE_OF, DELETE_OF, FORGET, IS_LATE];

/// A reset as it is at `now`, the database's time when it was read.
#[derive(Debug)]
pub(crate) struct Reset {
    /// The receipt: whoever holds it may guess.
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    /// The account that the code opens; `None` where there was none, and the code is one that nobody can know.
    pub(crate) user: Option<Uuid>,
    /// In which the mail is.
    pub(crate) language: Language,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) used_at: Option<OffsetDateTime>,
    /// The password was changed by other means: the code opens nothing, and nobody is told.
    pub(crate) closed_at: Option<OffsetDateTime>,
    /// How the mail ended, when it did not end with a mail server taking it.
    pub(crate) undeliverable: bool,
    pub(crate) dropped: bool,
    pub(crate) code: Code,
    pub(crate) now: OffsetDateTime,
}

impl From<Row> for Reset {
    fn from(row: Row) -> Self {
        let small = |column: usize| u8::try_from(row.get::<_, i16>(column)).unwrap_or(u8::MAX);
        let outcome = row.get::<_, Option<&str>>(6);
        Self {
            id: row.get(0),
            email: EmailAddress::trusted(row.get(1)),
            user: row.get(2),
            language: Language::of_tag(row.get(18)),
            created_at: row.get(3),
            used_at: row.get(4),
            closed_at: row.get(5),
            undeliverable: outcome == Some("undeliverable"),
            dropped: outcome == Some("dropped"),
            now: row.get(7),
            code: Code {
                id: row.get(8),
                receipt: row.get(0),
                hash: row.get(9),
                key_id: row.get(10),
                length: small(11),
                attempts: small(12),
                attempts_allowed: small(13),
                deadline: row.get(14),
                sent_at: row.get(15),
                expires_at: row.get(16),
                resend_at: row.get(17),
            },
        }
    }
}

pub(crate) async fn by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Reset>, PgError> {
    Ok(super::row(client, BY_ID, &[&id]).await?.map(Into::into))
}

/// Whether the code of one that could still be used has waited longer than this for a mail server.
pub(crate) async fn any_late(connection: &super::Connection, seconds: f64) -> Result<bool, PgError> {
    Ok(super::row(connection, IS_LATE, &[&seconds]).await?.is_some_and(|row| row.get(0)))
}

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

/// Takes a try, if there is one left; it is the row touched.
pub(crate) fn count_attempt(writes: &mut Writes<'_>, id: Uuid) {
    writes.push(COUNT_ATTEMPT, [Box::new(id)]);
}

/// The try that was counted led to nothing, and not by the fault of whoever tried.
pub(crate) fn give_back(writes: &mut Writes<'_>, id: Uuid) {
    writes.push(GIVE_BACK, [Box::new(id)]);
}

/// Its code has given the account another password.
pub(crate) fn mark_used(writes: &mut Writes<'_>, id: Uuid, now: OffsetDateTime) {
    writes.push(USE, [Box::new(id), Box::new(now)]);
}

/// No code of an address that was not used opens anything any more. The caller holds the lock of the address.
pub(crate) fn close_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, now: OffsetDateTime) {
    writes.push(CLOSE_OF, [Box::new(email.as_str()), Box::new(now)]);
}

/// All of an address. The caller holds its lock.
pub(crate) fn delete_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(DELETE_OF, [Box::new(email.as_str())]);
}

/// So many of those whose codes were dead for good then or before.
pub(crate) fn forget(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(since), Box::new(at_most)]);
}
