//! Wrong code guesses: per email address (table `guesses`, which also counts consecutive wrong passwords), and the instance totals per hour (table `guesses_by_hour`).

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};

use super::transaction::Writes;
use crate::domain::rate_limit::guess_escalation::{GuessRecord, GuessTotals, INSTANCE_WINDOW};

const READ: &str = "WITH day AS (SELECT length, sum(wrong)::bigint AS wrong FROM guesses_by_hour \
    WHERE hour > clock_timestamp() - make_interval(secs => $2) GROUP BY length) \
    SELECT clock_timestamp() AS now, g.wrong, g.last_at, ARRAY (SELECT length FROM day ORDER BY length) AS lengths, \
    ARRAY (SELECT wrong FROM day ORDER BY length) AS wrong_by_length \
    FROM (VALUES ($1::bytea)) AS requested (subject) LEFT JOIN guesses g USING (subject)";
// The same for many subjects, in their order.
const READ_ALL: &str = "WITH day AS (SELECT length, sum(wrong)::bigint AS wrong FROM guesses_by_hour \
    WHERE hour > clock_timestamp() - make_interval(secs => $2) GROUP BY length) \
    SELECT clock_timestamp() AS now, (SELECT wrong FROM guesses WHERE subject = requested.subject) AS wrong, \
    (SELECT last_at FROM guesses WHERE subject = requested.subject) AS last_at, \
    ARRAY (SELECT length FROM day ORDER BY length) AS lengths, \
    ARRAY (SELECT wrong FROM day ORDER BY length) AS wrong_by_length \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS requested (subject, ordinal) ORDER BY ordinal";
const RECORD: &str = "SELECT wrong, last_at FROM guesses WHERE subject = $1 LIMIT 1";
const WRITE: &str = "INSERT INTO guesses (subject, wrong, last_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject) DO UPDATE SET wrong = EXCLUDED.wrong, last_at = EXCLUDED.last_at";
// In the order of the lengths, so that no two of these statements deadlock.
const ADD_TO_TOTALS: &str = "INSERT INTO guesses_by_hour (hour, length, wrong) \
    SELECT date_trunc('hour', $1::timestamptz), length, count(*) * $3 FROM unnest($2::smallint[]) AS length \
    GROUP BY length ORDER BY length ON CONFLICT (hour, length) DO UPDATE SET wrong = guesses_by_hour.wrong + EXCLUDED.wrong";
const DELETE: &str = "DELETE FROM guesses WHERE subject = $1";
const DELETE_EXPIRED: &str = "DELETE FROM guesses WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM guesses WHERE last_at <= $1 ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
const DELETE_EXPIRED_HOURS: &str = "DELETE FROM guesses_by_hour WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM guesses_by_hour WHERE hour <= $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] =
    &[READ, READ_ALL, RECORD, WRITE, ADD_TO_TOTALS, DELETE, DELETE_EXPIRED, DELETE_EXPIRED_HOURS];

/// The wrong guesses that concern one email address.
pub(crate) struct GuessCounts {
    pub(crate) record: GuessRecord,
    /// The instance totals.
    pub(crate) totals: Vec<GuessTotals>,
    /// The time of the database.
    pub(crate) now: OffsetDateTime,
}

/// Reads the guesses of one subject key, and the instance totals.
pub(crate) async fn read(client: &impl GenericClient, subject: &[u8; 32]) -> Result<GuessCounts, PgError> {
    let statement = client.prepare_cached(READ).await?;
    let row = client.query_one(&statement, &[&subject.as_slice(), &INSTANCE_WINDOW.as_seconds_f64()]).await?;
    Ok(row.into())
}

/// Reads the guesses of one subject key alone.
pub(crate) async fn record(client: &impl GenericClient, subject: &[u8; 32]) -> Result<GuessRecord, PgError> {
    let row = super::row(client, RECORD, &[&subject.as_slice()]).await?;
    Ok(row.map_or_else(GuessRecord::default, |row| GuessRecord {
        wrong: u32::try_from(row.get::<_, i32>("wrong")).unwrap_or(0),
        last_at: Some(row.get("last_at")),
    }))
}

/// Reads the guesses of many subject keys, in their order.
pub(crate) async fn read_all(client: &impl GenericClient, subjects: &[[u8; 32]]) -> Result<Vec<GuessCounts>, PgError> {
    let subjects: Vec<_> = subjects.iter().map(<[u8; 32]>::as_slice).collect();
    let rows = super::rows(client, READ_ALL, &[&subjects, &INSTANCE_WINDOW.as_seconds_f64()]).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

impl From<Row> for GuessCounts {
    fn from(row: Row) -> Self {
        let lengths: Vec<i16> = row.get("lengths");
        let wrong_by_length: Vec<i64> = row.get("wrong_by_length");
        let wrong: Option<i32> = row.get("wrong");
        let wrong = wrong.and_then(|wrong| u32::try_from(wrong).ok()).unwrap_or(0);
        Self {
            record: GuessRecord { wrong, last_at: row.get("last_at") },
            totals: lengths
                .into_iter()
                .zip(wrong_by_length)
                .map(|(length, wrong)| GuessTotals {
                    length: u8::try_from(length).unwrap_or(u8::MAX),
                    wrong: u32::try_from(wrong.max(0)).unwrap_or(u32::MAX),
                })
                .collect(),
            now: row.get("now"),
        }
    }
}

/// Writes the guess record of a subject key. The caller holds the lock of the email address.
pub(crate) fn write<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], record: &GuessRecord, now: OffsetDateTime) {
    let wrong = i32::try_from(record.wrong).unwrap_or(i32::MAX);
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(wrong), Box::new(now)]);
}

/// Deletes the guess record of a subject key.
pub(crate) fn delete<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32]) {
    writes.push(DELETE, [Box::new(subject.as_slice())]);
}

/// Adds guesses at codes of these lengths to the instance totals. The totals were read before without a lock: when a
/// limit is reached, as many more requests may pass as there are database connections.
pub(crate) fn add_to_totals(writes: &mut Writes<'_>, lengths: &[u8], now: OffsetDateTime) {
    change_totals(writes, lengths, 1, now);
}

/// Removes a guess at a code of this length, counted at `now`, from the instance totals, because it was right.
pub(crate) fn subtract_from_totals(writes: &mut Writes<'_>, length: u8, now: OffsetDateTime) {
    change_totals(writes, &[length], -1, now);
}

fn change_totals(writes: &mut Writes<'_>, lengths: &[u8], each: i64, now: OffsetDateTime) {
    let lengths: Vec<_> = lengths.iter().copied().map(i16::from).collect();
    writes.push(ADD_TO_TOTALS, [Box::new(now), Box::new(lengths), Box::new(each)]);
}

/// Deletes up to `limit` guess records whose last wrong guess was at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}

/// Deletes up to `limit` instance totals of hours that began at `cutoff` or before.
pub(crate) fn delete_expired_hours(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED_HOURS, [Box::new(cutoff), Box::new(limit)]);
}
