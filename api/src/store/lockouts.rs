//! Lockouts after wrong passwords, by subject key: of an email address, and of an email address in a network.

pub(crate) mod known_networks;
pub(crate) mod unlocks;

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};

use super::transaction::{Value, Writes};
use crate::domain::rate_limit::lockout::Lockout;

// One index lookup for each subject: LIMIT makes the plan use the index.
const READ: &str = "SELECT clock_timestamp(), l.failures, l.pending, l.locks, l.until \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS requested (subject, ordinal) LEFT JOIN LATERAL \
    (SELECT failures, pending, locks, until FROM lockouts WHERE subject = requested.subject LIMIT 1) AS l ON true \
    ORDER BY ordinal";
const WRITE: &str = "INSERT INTO lockouts (subject, failures, pending, locks, until) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (subject) DO UPDATE SET failures = EXCLUDED.failures, pending = EXCLUDED.pending, \
    locks = EXCLUDED.locks, until = EXCLUDED.until";
const DELETE: &str = "DELETE FROM lockouts WHERE subject = $1";
const DELETE_EXPIRED: &str = "DELETE FROM lockouts WHERE subject = ANY(ARRAY( SELECT subject FROM lockouts \
    WHERE GREATEST(until, failures[cardinality(failures)], pending[cardinality(pending)]) <= $1 \
    ORDER BY GREATEST(until, failures[cardinality(failures)], pending[cardinality(pending)]) LIMIT $2 \
    FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[READ, WRITE, DELETE, DELETE_EXPIRED];

/// Reads the lockouts of these subject keys, in their order, and the time of the database. The caller holds the lock of
/// their mailbox, and names at least one.
pub(crate) async fn read(
    client: &impl GenericClient,
    subjects: &[&[u8; 32]],
) -> Result<(Vec<Lockout>, OffsetDateTime), PgError> {
    let subjects: Vec<_> = subjects.iter().map(|subject| subject.as_slice()).collect();
    let rows = super::rows(client, READ, &[&subjects]).await?;
    let lockout = |row: &Row| Lockout {
        failures: row.get::<_, Option<_>>(1).unwrap_or_default(),
        pending: row.get::<_, Option<_>>(2).unwrap_or_default(),
        locks: row.get::<_, Option<i16>>(3).and_then(|locks| u16::try_from(locks).ok()).unwrap_or_default(),
        until: row.get(4),
    };
    let now = rows.first().map_or(OffsetDateTime::UNIX_EPOCH, |row| row.get(0));
    Ok((rows.iter().map(lockout).collect(), now))
}

/// Writes or, if it is empty, deletes a lockout. The caller holds the lock of the mailbox.
pub(crate) fn write<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], lockout: Lockout) {
    if lockout == Lockout::default() {
        return delete(writes, subject);
    }
    let Lockout { failures, pending, locks, until } = lockout;
    let locks = i16::try_from(locks).unwrap_or(i16::MAX);
    let values: [Value<'a>; 5] =
        [Box::new(subject.as_slice()), Box::new(failures), Box::new(pending), Box::new(locks), Box::new(until)];
    writes.push(WRITE, values);
}

/// Deletes the lockout of a subject key.
pub(crate) fn delete<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32]) {
    writes.push(DELETE, [Box::new(subject.as_slice())]);
}

/// Deletes up to `limit` lockouts whose last lock ended and whose last failure was at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
