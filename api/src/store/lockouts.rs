//! The wrong passwords for an address, by network and in all.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;

use super::transaction::Writes;
use crate::domain::rate_limit::lockout::Lockout;

// One look for each by the index, and one row of answer, as with budgets.
const READ: &str = "SELECT clock_timestamp(), a.failures, a.locks, a.until, b.failures, b.locks, b.until \
    FROM (SELECT) AS always \
    LEFT JOIN LATERAL (SELECT failures, locks, until FROM lockouts WHERE subject = $1 LIMIT 1) AS a ON true \
    LEFT JOIN LATERAL (SELECT failures, locks, until FROM lockouts WHERE subject = $2 LIMIT 1) AS b ON true";
const WRITE: &str = "INSERT INTO lockouts (subject, failures, locks, until) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (subject) DO UPDATE SET failures = EXCLUDED.failures, locks = EXCLUDED.locks, until = EXCLUDED.until";
const FORGET: &str = "DELETE FROM lockouts WHERE subject = $1";
const FORGET_QUIET: &str = "DELETE FROM lockouts WHERE ctid = ANY(ARRAY( SELECT ctid FROM lockouts \
    WHERE GREATEST(until, failures[cardinality(failures)]) <= $1 \
    ORDER BY GREATEST(until, failures[cardinality(failures)]) LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[READ, WRITE, FORGET, FORGET_QUIET];

/// Those of these two subjects, and what time it is now. The caller holds the lock of their address.
pub(crate) async fn read(
    client: &impl GenericClient,
    subjects: [&[u8; 32]; 2],
) -> Result<([Lockout; 2], OffsetDateTime), PgError> {
    let [a, b] = subjects.map(|subject| subject.as_slice());
    let row = client.query_one(&client.prepare_cached(READ).await?, &[&a, &b]).await?;
    let lockout = |first: usize| Lockout {
        failures: row.get::<_, Option<_>>(first).unwrap_or_default(),
        locks: row.get::<_, Option<i16>>(first + 1).and_then(|locks| u16::try_from(locks).ok()).unwrap_or_default(),
        until: row.get(first + 2),
    };
    Ok(([lockout(1), lockout(4)], row.get(0)))
}

pub(crate) fn write<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], lockout: Lockout) {
    if lockout == Lockout::default() {
        return forget(writes, subject);
    }
    let Lockout { failures, locks, until } = lockout;
    let locks = i16::try_from(locks).unwrap_or(i16::MAX);
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(failures), Box::new(locks), Box::new(until)]);
}

pub(crate) fn forget<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32]) {
    writes.push(FORGET, [Box::new(subject.as_slice())]);
}

/// So many of those whose lock ended then or before, and that saw no failure since.
pub(crate) fn forget_quiet(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET_QUIET, [Box::new(since), Box::new(at_most)]);
}
