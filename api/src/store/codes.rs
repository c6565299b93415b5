//! The codes of registrations: one that counts, the others superseded.

use time::{Duration, OffsetDateTime};
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::transaction::Writes;
use crate::domain::{email::EmailAddress, policy::Code};

const SUPERSEDE: &str = "UPDATE codes SET superseded_at = $2 WHERE registration_id = $1 AND superseded_at IS NULL";
const INSERT: &str = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, \
    ttl_seconds, deadline, resend_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
// Whoever comes here holds the lock of the address; the condition holds even if somebody forgets.
const COUNT_ATTEMPT: &str =
    "UPDATE codes SET attempts = attempts + 1 WHERE id = ANY($1) AND attempts < attempts_allowed";
const CONSUME: &str = "UPDATE codes SET consumed_at = $2 WHERE id = $1";
// What waits for its mail is then too late for it, and what was mailed is over.
const KILL_SHORTER: &str = "UPDATE codes c SET deadline = LEAST(c.deadline, $3), \
    expires_at = CASE WHEN c.sent_at IS NOT NULL THEN LEAST(c.expires_at, $3) END \
    FROM registrations r WHERE r.id = c.registration_id AND r.email = $1 AND r.activated_at IS NULL \
    AND r.closed_at IS NULL AND c.superseded_at IS NULL AND c.length < $2 AND c.deadline > $3 \
    AND (c.expires_at IS NULL OR c.expires_at > $3)";
// The time of the statement, because an index has no use for a clock that goes on.
const IS_LATE: &str = "SELECT EXISTS (SELECT FROM codes c WHERE c.sent_at IS NULL AND c.superseded_at IS NULL \
    AND c.deadline > statement_timestamp() AND c.created_at < statement_timestamp() - make_interval(secs => $1) \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = c.id))";

pub(crate) const ALL: &[&str] = &[SUPERSEDE, INSERT, COUNT_ATTEMPT, CONSUME, KILL_SHORTER, IS_LATE];

/// Makes this the code that counts for its registration.
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

/// The codes of this registration count no more.
pub(crate) fn supersede(writes: &mut Writes<'_>, registration: Uuid, now: OffsetDateTime) {
    writes.push(SUPERSEDE, [Box::new(registration), Box::new(now)]);
}

/// Takes a try from each of these codes that has one; they are the rows touched.
pub(crate) fn count_attempt(writes: &mut Writes<'_>, codes: Vec<Uuid>) {
    writes.push(COUNT_ATTEMPT, [Box::new(codes)]);
}

pub(crate) fn consume(writes: &mut Writes<'_>, code: Uuid, now: OffsetDateTime) {
    writes.push(CONSUME, [Box::new(code), Box::new(now)]);
}

/// Ends the codes of an address that are shorter than codes must be now.
pub(crate) fn kill_shorter<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, length: u8, now: OffsetDateTime) {
    writes.push(KILL_SHORTER, [Box::new(email.as_str()), Box::new(i16::from(length)), Box::new(now)]);
}

/// Whether a code that could still be used has waited longer than this for a mail server.
pub(crate) async fn any_late(connection: &super::Connection, seconds: f64) -> Result<bool, PgError> {
    Ok(super::row(connection, IS_LATE, &[&seconds]).await?.is_some_and(|row| row.get(0)))
}
