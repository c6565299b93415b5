//! The wrong guesses of an address, and of everybody together.

use deadpool_postgres::GenericClient;
use time::{Duration, OffsetDateTime};
use tokio_postgres::Error;

use super::Transaction;
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
pub(crate) async fn count(
    transaction: &Transaction<'_>,
    address: &[u8; 32],
    record: &Record,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let wrong = i32::try_from(record.wrong).unwrap_or(i32::MAX);
    super::execute(transaction, COUNT, &[&address.as_slice(), &wrong, &now]).await.map(drop)
}

/// Counts guesses at codes of these lengths for everybody. The last thing before a commit: whoever guesses
/// anywhere waits from here on. What is left for everybody was read before, without waiting: at the moment
/// when it runs out, as many more requests may pass as there are connections.
pub(crate) async fn count_for_all(
    transaction: &Transaction<'_>,
    lengths: &[u8],
    now: OffsetDateTime,
) -> Result<(), Error> {
    add_for_all(transaction, lengths, 1, now).await
}

/// The guess at a code of this length, counted at `now`, was right.
pub(crate) async fn forgive_for_all(
    transaction: &Transaction<'_>,
    length: u8,
    now: OffsetDateTime,
) -> Result<(), Error> {
    add_for_all(transaction, &[length], -1, now).await
}

pub(crate) async fn forgive(transaction: &Transaction<'_>, address: &[u8; 32]) -> Result<(), Error> {
    super::execute(transaction, FORGET, &[&address.as_slice()]).await.map(drop)
}

async fn add_for_all(
    transaction: &Transaction<'_>,
    lengths: &[u8],
    each: i64,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let lengths: Vec<_> = lengths.iter().copied().map(i16::from).collect();
    super::execute(transaction, COUNT_FOR_ALL, &[&now, &lengths, &each]).await.map(drop)
}
