//! The wrong passwords for an address, by network and in all.

use time::OffsetDateTime;
use tokio_postgres::Error;

use super::Transaction;
use crate::domain::lockout::Lockout;

const READ: &str = "SELECT l.failures, l.locks, l.until, clock_timestamp() \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (subject, place) \
    LEFT JOIN lockouts l USING (subject) ORDER BY asked.place";
const WRITE: &str = "INSERT INTO lockouts (subject, failures, locks, until) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (subject) DO UPDATE SET failures = EXCLUDED.failures, locks = EXCLUDED.locks, until = EXCLUDED.until";
const FORGET: &str = "DELETE FROM lockouts WHERE subject = $1";

pub(super) const ALL: &[&str] = &[READ, WRITE, FORGET];

/// Those of these two subjects, and what time it is now. The caller holds the lock of their address.
pub(crate) async fn read(
    transaction: &Transaction<'_>,
    subjects: [&[u8; 32]; 2],
) -> Result<([Lockout; 2], OffsetDateTime), Error> {
    let asked = subjects.map(|subject| subject.as_slice());
    let rows = super::rows(transaction, READ, &[&asked.as_slice()]).await?;
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

pub(crate) async fn write(transaction: &Transaction<'_>, subject: &[u8; 32], lockout: &Lockout) -> Result<(), Error> {
    if *lockout == Lockout::default() {
        return super::execute(transaction, FORGET, &[&subject.as_slice()]).await.map(drop);
    }
    let locks = i16::try_from(lockout.locks).unwrap_or(i16::MAX);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&subject.as_slice(), &lockout.failures, &locks, &lockout.until];
    super::execute(transaction, WRITE, &values).await.map(drop)
}
