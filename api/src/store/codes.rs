//! The codes of registrations: one that counts, the others superseded.

use time::OffsetDateTime;
use tokio_postgres::Error;
use uuid::Uuid;

use super::Transaction;
use crate::domain::{email::EmailAddress, policy::Code};

const SUPERSEDE: &str = "UPDATE codes SET superseded_at = $2 WHERE registration_id = $1 AND superseded_at IS NULL";
const INSERT: &str = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, \
    ttl_seconds, deadline, resend_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
// Whoever comes here holds the lock of the address; the condition holds even if somebody forgets.
const COUNT_ATTEMPT: &str =
    "UPDATE codes SET attempts = attempts + 1 WHERE id = ANY($1) AND attempts < attempts_allowed RETURNING id";
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

pub(super) const ALL: &[&str] = &[SUPERSEDE, INSERT, COUNT_ATTEMPT, CONSUME, KILL_SHORTER, IS_LATE];

/// Makes this the code that counts for its registration.
pub(crate) async fn insert(
    transaction: &Transaction<'_>,
    code: &Code,
    ttl_seconds: i32,
    now: OffsetDateTime,
) -> Result<(), Error> {
    super::execute(transaction, SUPERSEDE, &[&code.registration, &now]).await?;
    super::execute(
        transaction,
        INSERT,
        &[
            &code.id,
            &code.registration,
            &code.hash,
            &code.key_id,
            &i16::from(code.length),
            &i16::from(code.attempts_allowed),
            &ttl_seconds,
            &code.deadline,
            &code.resend_at,
            &now,
        ],
    )
    .await
    .map(drop)
}

/// Takes a try from each of these codes, and returns those that had one.
pub(crate) async fn count_attempt(transaction: &Transaction<'_>, codes: &[Uuid]) -> Result<Vec<Uuid>, Error> {
    Ok(super::rows(transaction, COUNT_ATTEMPT, &[&codes]).await?.iter().map(|row| row.get(0)).collect())
}

pub(crate) async fn consume(transaction: &Transaction<'_>, code: Uuid, now: OffsetDateTime) -> Result<(), Error> {
    super::execute(transaction, CONSUME, &[&code, &now]).await.map(drop)
}

/// Ends the codes of an address that are shorter than codes must be now.
pub(crate) async fn kill_shorter(
    transaction: &Transaction<'_>,
    email: &EmailAddress,
    length: u8,
    now: OffsetDateTime,
) -> Result<(), Error> {
    super::execute(transaction, KILL_SHORTER, &[&email.as_str(), &i16::from(length), &now]).await.map(drop)
}

/// Whether a code that could still be used has waited longer than this for a mail server.
pub(crate) async fn any_late(connection: &super::Connection, seconds: f64) -> Result<bool, Error> {
    Ok(super::row(connection, IS_LATE, &[&seconds]).await?.is_some_and(|row| row.get(0)))
}
