//! Wrong code guesses per email address (table `guesses`, which also counts consecutive wrong passwords).

pub(crate) mod activations;
pub(crate) mod code_attempts;

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};

use super::transaction::Writes;
use crate::domain::rate_limit::guess_escalation::GuessRecord;

const READ: &str = "SELECT clock_timestamp() AS now, g.wrong, g.last_at \
    FROM (VALUES ($1::bytea)) AS requested (subject) LEFT JOIN guesses g USING (subject)";
// The same for many subjects, in their order.
const READ_ALL: &str = "SELECT clock_timestamp() AS now, \
    (SELECT wrong FROM guesses WHERE subject = requested.subject) AS wrong, \
    (SELECT last_at FROM guesses WHERE subject = requested.subject) AS last_at \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS requested (subject, ordinal) ORDER BY ordinal";
const WRITE: &str = "INSERT INTO guesses (subject, wrong, last_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject) DO UPDATE SET wrong = EXCLUDED.wrong, last_at = EXCLUDED.last_at";
const DELETE: &str = "DELETE FROM guesses WHERE subject = $1";
const DELETE_EXPIRED: &str = "DELETE FROM guesses WHERE subject = ANY(ARRAY( \
    SELECT subject FROM guesses WHERE last_at <= $1 ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
// Only older APIs write this table: their instance totals.
const DELETE_EXPIRED_HOURS: &str = "DELETE FROM guesses_by_hour WHERE (hour, length) IN ( \
    SELECT hour, length FROM guesses_by_hour WHERE hour <= $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[READ, READ_ALL, WRITE, DELETE, DELETE_EXPIRED, DELETE_EXPIRED_HOURS];

/// The wrong guesses that concern one email address.
pub(crate) struct GuessCounts {
    pub(crate) record: GuessRecord,
    /// The time of the database.
    pub(crate) now: OffsetDateTime,
}

/// Reads the guesses of one subject key.
pub(crate) async fn read(client: &impl GenericClient, subject: &[u8; 32]) -> Result<GuessCounts, PgError> {
    let statement = client.prepare_cached(READ).await?;
    let row = client.query_one(&statement, &[&subject.as_slice()]).await?;
    Ok(row.into())
}

/// Reads the guesses of many subject keys, in their order.
pub(crate) async fn read_all(client: &impl GenericClient, subjects: &[[u8; 32]]) -> Result<Vec<GuessCounts>, PgError> {
    let subjects: Vec<_> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let rows = super::rows(client, READ_ALL, &[&subjects]).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

impl From<Row> for GuessCounts {
    fn from(row: Row) -> Self {
        let wrong: Option<i32> = row.get("wrong");
        let wrong = wrong.and_then(|wrong| u32::try_from(wrong).ok()).unwrap_or(0);
        Self { record: GuessRecord { wrong, last_at: row.get("last_at") }, now: row.get("now") }
    }
}

/// Writes the guess record of a subject key. The caller holds the lock of the mailbox.
pub(crate) fn write<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], record: &GuessRecord, now: OffsetDateTime) {
    let wrong = i32::try_from(record.wrong).unwrap_or(i32::MAX);
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(wrong), Box::new(now)]);
}

/// Deletes the guess record of a subject key.
pub(crate) fn delete<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32]) {
    writes.push(DELETE, [Box::new(subject.as_slice())]);
}

/// Deletes up to `limit` guess records whose last wrong guess was at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}

/// Deletes up to `limit` instance totals of older APIs, of hours that began at `cutoff` or before.
pub(crate) fn delete_expired_hours(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED_HOURS, [Box::new(cutoff), Box::new(limit)]);
}
