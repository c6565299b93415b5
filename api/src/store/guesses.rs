//! The wrong guesses of an address, and of everybody together.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};

use super::transaction::Writes;
use crate::domain::rate_limit::guess_escalation::{DAY, GuessRecord, GuessTotals};

const READ: &str = "WITH day AS (SELECT length, sum(wrong)::bigint AS wrong FROM guesses_by_hour \
    WHERE hour > clock_timestamp() - make_interval(secs => $2) GROUP BY length) \
    SELECT clock_timestamp(), g.wrong, g.last_at, \
    ARRAY (SELECT length FROM day ORDER BY length), ARRAY (SELECT wrong FROM day ORDER BY length) \
    FROM (VALUES ($1::bytea)) AS asked (subject) LEFT JOIN guesses g USING (subject)";
// The same for many, in their order.
const READ_ALL: &str = "WITH day AS (SELECT length, sum(wrong)::bigint AS wrong FROM guesses_by_hour \
    WHERE hour > clock_timestamp() - make_interval(secs => $2) GROUP BY length) \
    SELECT clock_timestamp(), (SELECT wrong FROM guesses WHERE subject = asked.subject), \
    (SELECT last_at FROM guesses WHERE subject = asked.subject), \
    ARRAY (SELECT length FROM day ORDER BY length), ARRAY (SELECT wrong FROM day ORDER BY length) \
    FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (subject, place) ORDER BY place";
const COUNT: &str = "INSERT INTO guesses (subject, wrong, last_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject) DO UPDATE SET wrong = EXCLUDED.wrong, last_at = EXCLUDED.last_at";
// In the order of the lengths, so that no two of these wait for each other.
const COUNT_FOR_ALL: &str = "INSERT INTO guesses_by_hour (hour, length, wrong) \
    SELECT date_trunc('hour', $1::timestamptz), length, count(*) * $3 FROM unnest($2::smallint[]) AS length \
    GROUP BY length ORDER BY length ON CONFLICT (hour, length) DO UPDATE SET wrong = guesses_by_hour.wrong + EXCLUDED.wrong";
const FORGIVE: &str = "DELETE FROM guesses WHERE subject = $1";
const FORGET: &str = "DELETE FROM guesses WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM guesses WHERE last_at <= $1 ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
const FORGET_HOURS: &str = "DELETE FROM guesses_by_hour WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM guesses_by_hour WHERE hour <= $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[READ, READ_ALL, COUNT, COUNT_FOR_ALL, FORGIVE, FORGET, FORGET_HOURS];

/// What was guessed wrong until now.
pub(crate) struct Ledger {
    pub(crate) record: GuessRecord,
    pub(crate) spent: Vec<GuessTotals>,
    pub(crate) now: OffsetDateTime,
}

pub(crate) async fn read(client: &impl GenericClient, address: &[u8; 32]) -> Result<Ledger, PgError> {
    let row =
        client.query_one(&client.prepare_cached(READ).await?, &[&address.as_slice(), &DAY.as_seconds_f64()]).await?;
    Ok(row.into())
}

/// One for each address, in their order.
pub(crate) async fn read_all(client: &impl GenericClient, addresses: &[[u8; 32]]) -> Result<Vec<Ledger>, PgError> {
    let addresses: Vec<_> = addresses.iter().map(<[u8; 32]>::as_slice).collect();
    let rows = super::rows(client, READ_ALL, &[&addresses, &DAY.as_seconds_f64()]).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

impl From<Row> for Ledger {
    fn from(row: Row) -> Self {
        let (lengths, wrong) = (row.get::<_, Vec<i16>>(3), row.get::<_, Vec<i64>>(4));
        let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
        Self {
            record: GuessRecord { wrong: number(row.get(1)), last_at: row.get(2) },
            spent: lengths
                .into_iter()
                .zip(wrong)
                .map(|(length, wrong)| GuessTotals {
                    length: u8::try_from(length).unwrap_or(u8::MAX),
                    wrong: u32::try_from(wrong.max(0)).unwrap_or(u32::MAX),
                })
                .collect(),
            now: row.get(0),
        }
    }
}

/// The caller holds the lock of the address.
pub(crate) fn count<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32], record: &GuessRecord, now: OffsetDateTime) {
    let wrong = i32::try_from(record.wrong).unwrap_or(i32::MAX);
    writes.push(COUNT, [Box::new(address.as_slice()), Box::new(wrong), Box::new(now)]);
}

pub(crate) fn forgive<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32]) {
    writes.push(FORGIVE, [Box::new(address.as_slice())]);
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

/// So many of those of addresses that saw their last wrong guess then or before.
pub(crate) fn forget(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(since), Box::new(at_most)]);
}

/// So many of those of everybody, of hours that began then or before.
pub(crate) fn forget_hours(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET_HOURS, [Box::new(since), Box::new(at_most)]);
}
