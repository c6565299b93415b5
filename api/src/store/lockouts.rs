//! The wrong passwords for an address, by network and in all.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;

use super::transaction::Writes;
use crate::domain::lockout::Lockout;

// One look for each, as with budgets.
const READ: &str = "SELECT l.failures, l.locks, l.until, clock_timestamp() \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (subject, place) \
    LEFT JOIN LATERAL (SELECT failures, locks, until FROM lockouts WHERE subject = asked.subject LIMIT 1) AS l \
    ON true ORDER BY asked.place";
const WRITE: &str = "INSERT INTO lockouts (subject, failures, locks, until) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (subject) DO UPDATE SET failures = EXCLUDED.failures, locks = EXCLUDED.locks, until = EXCLUDED.until";
const FORGET: &str = "DELETE FROM lockouts WHERE subject = $1";

pub(super) const ALL: &[&str] = &[READ, WRITE, FORGET];

/// Those of these two subjects, and what time it is now. The caller holds the lock of their address.
pub(crate) async fn read(
    client: &impl GenericClient,
    subjects: [&[u8; 32]; 2],
) -> Result<([Lockout; 2], OffsetDateTime), Error> {
    let asked = subjects.map(|subject| subject.as_slice());
    let rows = super::rows(client, READ, &[&asked.as_slice()]).await?;
    let now = rows.first().map_or(OffsetDateTime::UNIX_EPOCH, |row| row.get(3));
    let lockout = |place: usize| {
        rows.get(place).map_or_else(Lockout::default, |row| Lockout {
            failures: row.get::<_, Option<_>>(0).unwrap_or_default(),
            locks: row.get::<_, Option<i16>>(1).and_then(|locks| u16::try_from(locks).ok()).unwrap_or_default(),
            until: row.get(2),
        })
    };
    Ok((std::array::from_fn(lockout), now))
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
