//! Lockouts after wrong passwords: per email address and network, and per email address.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;

use super::transaction::Writes;
use crate::domain::rate_limit::lockout::Lockout;

// One index lookup for each subject, and one result row, as in `rate_limits`.
const READ: &str = "SELECT clock_timestamp(), a.failures, a.locks, a.until, b.failures, b.locks, b.until \
    FROM (SELECT) AS always \
    LEFT JOIN LATERAL (SELECT failures, locks, until FROM lockouts WHERE subject = $1 LIMIT 1) AS a ON true \
    LEFT JOIN LATERAL (SELECT failures, locks, until FROM lockouts WHERE subject = $2 LIMIT 1) AS b ON true";
const WRITE: &str = "INSERT INTO lockouts (subject, failures, locks, until) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (subject) DO UPDATE SET failures = EXCLUDED.failures, locks = EXCLUDED.locks, until = EXCLUDED.until";
const DELETE: &str = "DELETE FROM lockouts WHERE subject = $1";
const DELETE_EXPIRED: &str = "DELETE FROM lockouts WHERE ctid = ANY(ARRAY( SELECT ctid FROM lockouts \
    WHERE GREATEST(until, failures[cardinality(failures)]) <= $1 \
    ORDER BY GREATEST(until, failures[cardinality(failures)]) LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[READ, WRITE, DELETE, DELETE_EXPIRED];

/// Reads the lockouts of two subject keys, and the time of the database. The caller holds the lock of their email
/// address.
pub(crate) async fn read(
    client: &impl GenericClient,
    subjects: [&[u8; 32]; 2],
) -> Result<([Lockout; 2], OffsetDateTime), PgError> {
    let [a, b] = subjects.map(|subject| subject.as_slice());
    let row = client.query_one(&client.prepare_cached(READ).await?, &[&a, &b]).await?;
    let lockout = |first_column: usize| Lockout {
        failures: row.get::<_, Option<_>>(first_column).unwrap_or_default(),
        locks: row
            .get::<_, Option<i16>>(first_column + 1)
            .and_then(|locks| u16::try_from(locks).ok())
            .unwrap_or_default(),
        until: row.get(first_column + 2),
    };
    Ok(([lockout(1), lockout(4)], row.get(0)))
}

/// Writes or, if it is empty, deletes a lockout. The caller holds the lock of the email address.
pub(crate) fn write<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], lockout: Lockout) {
    if lockout == Lockout::default() {
        return delete(writes, subject);
    }
    let Lockout { failures, locks, until } = lockout;
    let locks = i16::try_from(locks).unwrap_or(i16::MAX);
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(failures), Box::new(locks), Box::new(until)]);
}

/// Deletes the lockout of a subject key.
pub(crate) fn delete<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32]) {
    writes.push(DELETE, [Box::new(subject.as_slice())]);
}

/// Deletes up to `limit` lockouts whose last lock ended and whose last failure was at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
