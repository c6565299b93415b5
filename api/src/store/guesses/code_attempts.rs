//! Guesses at codes that count (table `code_attempts`): unsettled and wrong ones, of each network and of the instance.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use crate::{
    domain::rate_limit::guess_shares::{
        ACTIVATION_WINDOW, GUESS_WINDOW, GuessTotals, InstanceTotals, NetworkGuesses, UNSETTLED_TTL,
    },
    store::transaction::{LOCK, Writes},
};

/// The constraint that refuses a guess for which the instance limit has no place.
pub(crate) const HAVE_PLACES: &str = "code_attempts_have_places";

/// The advisory lock under which guesses take the last places of an instance limit: an arbitrary constant.
const INSTANCE_LOCK: i64 = 0x6775_6573_7365_7301;

// The window begins at `statement_timestamp()`, and not at `clock_timestamp()`, which no index can be searched by. IS TRUE
// keeps the plan from searching by time alone, among the deleted guesses of all networks that are not vacuumed yet.
const READ_NETWORK: &str = "WITH attempts AS MATERIALIZED (SELECT at, codes, \
        wrong OR at <= statement_timestamp() - make_interval(secs => $3) AS is_wrong FROM code_attempts \
        WHERE network = $1 AND (at > statement_timestamp() - make_interval(secs => $2)) IS TRUE) \
    SELECT statement_timestamp() AS now, \
    ARRAY (SELECT at FROM attempts, generate_series(1, codes) WHERE is_wrong ORDER BY at) AS wrong, \
    (SELECT COALESCE(sum(codes), 0)::bigint FROM attempts WHERE NOT is_wrong) AS unsettled, \
    CASE WHEN (SELECT sum(codes) FROM attempts) >= $4::bigint THEN (SELECT sum(activations)::bigint \
        FROM activations_by_hour WHERE subject = $1 AND hour > statement_timestamp() - make_interval(secs => $5)) \
    END AS activations";
const READ_INSTANCE: &str = "WITH unsettled AS MATERIALIZED (SELECT at, length, codes FROM code_attempts \
        WHERE NOT wrong AND at >= COALESCE($4, '-infinity'::timestamptz)), \
    day AS MATERIALIZED (SELECT length, sum(codes)::bigint AS wrong FROM ( \
        SELECT length, codes FROM code_attempts WHERE wrong AND at > statement_timestamp() - make_interval(secs => $1) \
        UNION ALL SELECT length, codes FROM unsettled WHERE at <= statement_timestamp() - make_interval(secs => $2) \
        AND at > statement_timestamp() - make_interval(secs => $1)) AS counted GROUP BY length) \
    SELECT ARRAY (SELECT length FROM day ORDER BY length) AS lengths, \
    ARRAY (SELECT wrong FROM day ORDER BY length) AS wrong_by_length, \
    (SELECT sum(activations)::bigint FROM activations_by_hour \
        WHERE subject = '' AND hour > statement_timestamp() - make_interval(secs => $3)) AS activations, \
    LEAST((SELECT min(at) FROM unsettled), statement_timestamp() - 2 * make_interval(secs => $2)) AS unsettled_since";
const INSERT: &str = "INSERT INTO code_attempts (id, network, at, length, codes) VALUES ($1, $2, $3, $4, $5)";
const INSERT_IF_PLACES: &str = "INSERT INTO code_attempts (id, network, at, length, codes) \
    SELECT $1, $2, $3, $4, CASE WHEN (SELECT COALESCE(sum(codes), 0) FROM code_attempts \
        WHERE wrong AND at > statement_timestamp() - make_interval(secs => $6) AND length BETWEEN $7 AND $8) \
        + (SELECT COALESCE(sum(codes), 0) FROM code_attempts WHERE NOT wrong \
        AND at >= COALESCE($10, '-infinity'::timestamptz) \
        AND at > statement_timestamp() - make_interval(secs => $6) AND length BETWEEN $7 AND $8) <= $9::bigint \
    THEN $5::smallint END";
const DELETE: &str = "DELETE FROM code_attempts WHERE id = $1";
const MARK_WRONG: &str = "UPDATE code_attempts SET wrong = true WHERE id = $1";
const MARK_OVERDUE: &str = "UPDATE code_attempts SET wrong = true WHERE id = ANY(ARRAY( \
    SELECT id FROM code_attempts WHERE NOT wrong AND at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))";
const DELETE_EXPIRED: &str = "DELETE FROM code_attempts WHERE id = ANY(ARRAY( \
    SELECT id FROM code_attempts WHERE wrong AND at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] =
    &[READ_NETWORK, READ_INSTANCE, INSERT, INSERT_IF_PLACES, DELETE, MARK_WRONG, MARK_OVERDUE, DELETE_EXPIRED];

/// A guess to count.
pub(crate) struct NewAttempt<'a> {
    pub(crate) id: Uuid,
    pub(crate) network: &'a [u8; 32],
    pub(crate) at: OffsetDateTime,
    /// The length of the shortest code that the guess is compared with.
    pub(crate) length: u8,
    /// How many codes the guess is compared with.
    pub(crate) codes: u32,
}

/// The guesses of one network. Its activations are read only if it has at least `base_limit` guesses.
pub(crate) async fn of_network(
    client: &impl GenericClient,
    network: &[u8; 32],
    base_limit: u32,
) -> Result<NetworkGuesses, PgError> {
    let statement = client.prepare_cached(READ_NETWORK).await?;
    let [guess_window, unsettled, activation_window] = windows();
    let base_limit = i64::from(base_limit);
    let row = client
        .query_one(&statement, &[&network.as_slice(), &guess_window, &unsettled, &base_limit, &activation_window])
        .await?;
    Ok(NetworkGuesses {
        wrong: row.get("wrong"),
        unsettled: to_count(row.get("unsettled")),
        activations: to_count(row.get("activations")),
        now: row.get("now"),
    })
}

/// The wrong guesses and the activations of the instance. Guesses before `unsettled_since` are known to be settled.
pub(crate) async fn of_instance(
    client: &impl GenericClient,
    unsettled_since: Option<OffsetDateTime>,
) -> Result<InstanceTotals, PgError> {
    let statement = client.prepare_cached(READ_INSTANCE).await?;
    let [guess_window, unsettled, activation_window] = windows();
    let row = client.query_one(&statement, &[&guess_window, &unsettled, &activation_window, &unsettled_since]).await?;
    let lengths: Vec<i16> = row.get("lengths");
    let wrong_by_length: Vec<i64> = row.get("wrong_by_length");
    let totals = lengths.into_iter().zip(wrong_by_length).map(|(length, wrong)| GuessTotals {
        length: u8::try_from(length).unwrap_or(u8::MAX),
        wrong: to_count(Some(wrong)),
    });
    Ok(InstanceTotals {
        guesses: totals.collect(),
        activations: to_count(row.get("activations")),
        unsettled_since: row.get("unsettled_since"),
    })
}

/// Inserts an unsettled guess.
pub(crate) fn insert<'a>(writes: &mut Writes<'a>, attempt: &NewAttempt<'a>) {
    let NewAttempt { id, network, at, length, codes } = attempt;
    writes.push(
        INSERT,
        [
            Box::new(*id),
            Box::new(network.as_slice()),
            Box::new(*at),
            Box::new(i16::from(*length)),
            Box::new(i16::try_from(*codes).unwrap_or(i16::MAX)),
        ],
    );
}

/// Inserts an unsettled guess unless there are more than `others` at codes of these lengths, unsettled and wrong ones:
/// then the transaction fails with a violation of [`HAVE_PLACES`]. Locks the instance until the end of the transaction,
/// so the caller writes this last.
///
/// Guesses before `unsettled_since` are known to be settled.
pub(crate) fn insert_if_places<'a>(
    writes: &mut Writes<'a>,
    attempt: &NewAttempt<'a>,
    lengths: (u8, u8),
    others: u32,
    unsettled_since: Option<OffsetDateTime>,
) {
    let NewAttempt { id, network, at, length, codes } = attempt;
    // A statement of its own: the next one sees what was committed before the lock was free.
    writes.push(LOCK, [Box::new(vec![INSTANCE_LOCK])]);
    writes.push(
        INSERT_IF_PLACES,
        [
            Box::new(*id),
            Box::new(network.as_slice()),
            Box::new(*at),
            Box::new(i16::from(*length)),
            Box::new(i16::try_from(*codes).unwrap_or(i16::MAX)),
            Box::new(GUESS_WINDOW.as_seconds_f64()),
            Box::new(i16::from(lengths.0)),
            Box::new(i16::from(lengths.1)),
            Box::new(i64::from(others)),
            Box::new(unsettled_since),
        ],
    );
}

/// Deletes a guess: it was right.
pub(crate) fn delete(writes: &mut Writes<'_>, id: Uuid) {
    writes.push(DELETE, [Box::new(id)]);
}

/// Notes that a guess was wrong, and waits for the disk. Returns `false` if the guess is not there.
pub(crate) async fn mark_wrong(client: &impl GenericClient, id: Uuid) -> Result<bool, PgError> {
    Ok(crate::store::execute(client, MARK_WRONG, &[&id]).await? == 1)
}

/// Notes that up to `limit` guesses were wrong that were made at `cutoff` or before, and not settled since.
pub(crate) fn mark_overdue(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(MARK_OVERDUE, [Box::new(cutoff), Box::new(limit)]);
}

/// Deletes up to `limit` wrong guesses that were made at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}

/// In seconds: how long guesses count, when an unsettled one counts as wrong, and how long activations count.
fn windows() -> [f64; 3] {
    [GUESS_WINDOW, UNSETTLED_TTL, ACTIVATION_WINDOW].map(time::Duration::as_seconds_f64)
}

/// A sum, which is NULL if there are no rows.
fn to_count(sum: Option<i64>) -> u32 {
    u32::try_from(sum.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
}
