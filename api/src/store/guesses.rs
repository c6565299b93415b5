//! The wrong guesses of an address, and of everybody together.

use deadpool_postgres::GenericClient;
use time::{Duration, OffsetDateTime};
use tokio_postgres::Error;

use super::transaction::Writes;
use crate::domain::guesses::{Record, Spent};

const READ: &str = "WITH day AS (SELECT length, sum(wrong)::bigint AS wrong FROM guesses_by_hour \
    WHERE hour > clock_timestamp() - make_interval(secs => $2) GROUP BY length) \
    SELECT clock_timestamp(), g.wrong, g.last_at, \
    ARRAY (SELECT length FROM day ORDER BY length), ARRAY (SELECT wrong FROM day ORDER BY length) \
    FROM (VALUES ($1::bytea)) AS asked (subject) LEFT JOIN guesses g USING (subject)";
const COUNT: &str = "INSERT INTO guesses (subject, wrong, last_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject) DO UPDATE SET wrong = EXCLUDED.wrong, last_at = EXCLUDED.last_at";
// In the order of the lengths, so that no two of these wait for each other.
const COUNT_FOR_ALL: &str = "INSERT INTO guesses_by_hour (hour, length, wrong) \
    SELECT date_trunc('hour', $1::timestamptz), length, count(*) * $3 FROM unnest($2::smallint[]) AS length \
    GROUP BY length ORDER BY length ON CONFLICT (hour, length) DO UPDATE SET wrong = guesses_by_hour.wrong + EXCLUDED.wrong";
const FORGET: &str = "DELETE FROM guesses WHERE subject = $1";

pub(super) const ALL: &[&str] = &[READ, COUNT, COUNT_FOR_ALL, FORGET];

/// The hour that is running and 24 whole ones: never less than a day.
const DAY: Duration = Duration::hours(25);

/// What was guessed wrong until now.
pub(crate) struct Ledger {
    pub(crate) record: Record,
    pub(crate) spent: Vec<Spent>,
    pub(crate) now: OffsetDateTime,
}

pub(crate) async fn read(client: &impl GenericClient, address: &[u8; 32]) -> Result<Ledger, Error> {
    let row =
        client.query_one(&client.prepare_cached(READ).await?, &[&address.as_slice(), &DAY.as_seconds_f64()]).await?;
    let (lengths, wrong) = (row.get::<_, Vec<i16>>(3), row.get::<_, Vec<i64>>(4));
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    Ok(Ledger {
        record: Record { wrong: number(row.get(1)), last_at: row.get(2) },
        spent: lengths
            .into_iter()
            .zip(wrong)
            .map(|(length, wrong)| Spent {
                length: u8::try_from(length).unwrap_or(u8::MAX),
                wrong: u32::try_from(wrong.max(0)).unwrap_or(u32::MAX),
            })
            .collect(),
        now: row.get(0),
    })
}

/// The caller holds the lock of the address.
pub(crate) fn count<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32], record: &Record, now: OffsetDateTime) {
    let wrong = i32::try_from(record.wrong).unwrap_or(i32::MAX);
    writes.push(COUNT, [Box::new(address.as_slice()), Box::new(wrong), Box::new(now)]);
}

pub(crate) fn forgive<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32]) {
    writes.push(FORGET, [Box::new(address.as_slice())]);
}

/// Counts guesses at codes of these lengths for everybody. What is left for everybody was read before, without
/// waiting: at the moment when it runs out, as many more requests may pass as there are connections.
pub(crate) fn count_for_all(writes: &mut Writes<'_>, lengths: &[u8], now: OffsetDateTime) {
    add_for_all(writes, lengths, 1, now);
}

/// The guess at a code of this length, counted at `now`, was right.
pub(crate) fn forgive_for_all(writes: &mut Writes<'_>, length: u8, now: OffsetDateTime) {
    add_for_all(writes, &[length], -1, now);
}

fn add_for_all(writes: &mut Writes<'_>, lengths: &[u8], each: i64, now: OffsetDateTime) {
    let lengths: Vec<_> = lengths.iter().copied().map(i16::from).collect();
    writes.push(COUNT_FOR_ALL, [Box::new(now), Box::new(lengths), Box::new(each)]);
}
