//! The codes of registrations: one is current, the others are superseded.

use time::{Duration, OffsetDateTime};
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::transaction::Writes;
use crate::domain::{email::EmailAddress, policy::Code};

const SUPERSEDE: &str = "UPDATE codes SET superseded_at = $2 WHERE registration_id = $1 AND superseded_at IS NULL";
const INSERT: &str = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, \
    ttl_seconds, deadline, resend_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
// The caller holds the lock of the mailbox; the condition is correct even if it does not.
const COUNT_ATTEMPT: &str =
    "UPDATE codes SET attempts = attempts + 1 WHERE id = ANY($1) AND attempts < attempts_allowed";
const CONSUME: &str = "UPDATE codes SET consumed_at = $2 WHERE id = $1";
// An unsent code gets a deadline that has passed; a code that was sent expires.
const EXPIRE_SHORTER: &str = "UPDATE codes c SET deadline = LEAST(c.deadline, $3), \
    expires_at = CASE WHEN c.sent_at IS NOT NULL THEN LEAST(c.expires_at, $3) END \
    FROM registrations r WHERE r.id = c.registration_id AND r.email = $1 AND r.activated_at IS NULL \
    AND r.closed_at IS NULL AND c.superseded_at IS NULL AND c.length < $2 AND c.deadline > $3 \
    AND (c.expires_at IS NULL OR c.expires_at > $3)";
// statement_timestamp(), because an index cannot be searched with clock_timestamp(), which changes during the
// statement.
const IS_LATE: &str = "SELECT EXISTS (SELECT FROM codes c WHERE c.sent_at IS NULL AND c.superseded_at IS NULL \
    AND c.deadline > statement_timestamp() AND c.created_at < statement_timestamp() - make_interval(secs => $1) \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = c.id))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[SUPERSEDE, INSERT, COUNT_ATTEMPT, CONSUME, EXPIRE_SHORTER, IS_LATE];

/// Inserts the current code of a registration. The caller supersedes the previous one.
pub(crate) fn insert<'a>(writes: &mut Writes<'a>, code: &'a Code, ttl: Duration, now: OffsetDateTime) {
    writes.push(
        INSERT,
        [
            Box::new(code.id),
            Box::new(code.receipt),
            Box::new(&code.hash),
            Box::new(&code.key_id),
            Box::new(i16::from(code.length)),
            Box::new(i16::from(code.attempts_allowed)),
            Box::new(i32::try_from(ttl.whole_seconds()).unwrap_or(i32::MAX)),
            Box::new(code.deadline),
            Box::new(code.resend_at),
            Box::new(now),
        ],
    );
}

/// Marks the codes of a registration as superseded.
pub(crate) fn supersede(writes: &mut Writes<'_>, registration: Uuid, now: OffsetDateTime) {
    writes.push(SUPERSEDE, [Box::new(registration), Box::new(now)]);
}

/// Counts an attempt at each of these codes that has one left; those are the affected rows.
pub(crate) fn count_attempt(writes: &mut Writes<'_>, codes: Vec<Uuid>) {
    writes.push(COUNT_ATTEMPT, [Box::new(codes)]);
}

/// Marks a code as used.
pub(crate) fn consume(writes: &mut Writes<'_>, code: Uuid, now: OffsetDateTime) {
    writes.push(CONSUME, [Box::new(code), Box::new(now)]);
}

/// Expires the codes of an email address that are shorter than its codes must be now.
pub(crate) fn expire_shorter<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, length: u8, now: OffsetDateTime) {
    writes.push(EXPIRE_SHORTER, [Box::new(email.as_str()), Box::new(i16::from(length)), Box::new(now)]);
}

/// Whether a code that is not expired has waited longer than this for a mail server, without a delivery record.
pub(crate) async fn any_late(connection: &super::Connection, seconds: f64) -> Result<bool, PgError> {
    Ok(super::row(connection, IS_LATE, &[&seconds]).await?.is_some_and(|row| row.get(0)))
}

/// Reads a code from a row whose columns have the names of this table; `id` is that of its registration or reset, and
/// `code_id` its own.
pub(super) fn from_row(row: &Row) -> Code {
    let small = |column: &str| u8::try_from(row.get::<_, i16>(column)).unwrap_or(u8::MAX);
    Code {
        id: row.get("code_id"),
        receipt: row.get("id"),
        hash: row.get("code_hash"),
        key_id: row.get("key_id"),
        length: small("length"),
        attempts: small("attempts"),
        attempts_allowed: small("attempts_allowed"),
        deadline: row.get("deadline"),
        sent_at: row.get("sent_at"),
        expires_at: row.get("expires_at"),
        resend_at: row.get("resend_at"),
    }
}
