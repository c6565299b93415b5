//! The table `parked_outbox_rows`: rows that no relay could publish, and that wait for an operator.

use time::OffsetDateTime;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use crate::store::{self, Connection, transaction::Writes};

// A row that another relay has leased meanwhile is left to it.
const PARK: &str = "WITH parked AS (DELETE FROM outbox USING unnest($1::uuid[], $2::text[]) AS failed (row_id, why) \
    WHERE id = row_id AND id = ANY ($1) AND leased_by = $3 RETURNING id, message, traceparent, is_notice, created_at, why) \
    INSERT INTO parked_outbox_rows SELECT *, clock_timestamp() FROM parked \
    ON CONFLICT (id) DO UPDATE SET why = EXCLUDED.why, parked_at = EXCLUDED.parked_at";
const COUNT: &str = "SELECT count(*) FROM parked_outbox_rows";
const LIST: &str = "SELECT id, why, parked_at FROM parked_outbox_rows ORDER BY parked_at, id LIMIT $1";
// If the outbox has a row with this id, it will be published anyway.
const REQUEUE: &str = "WITH requeued AS (DELETE FROM parked_outbox_rows WHERE id = ANY ($1) \
    RETURNING id, message, traceparent, is_notice, created_at), \
    seen AS (UPDATE unfinished_messages SET missing_since = NULL, seen_at = clock_timestamp() WHERE id = ANY ($1)), \
    inserted AS (INSERT INTO outbox (id, message, traceparent, is_notice, created_at) SELECT * FROM requeued \
    ON CONFLICT (id) DO NOTHING) SELECT count(*) FROM requeued";
// A mail that is dropped has an outcome, so that it is not published again.
const DROP: &str = "WITH dropped AS (DELETE FROM parked_outbox_rows WHERE id = $1 RETURNING id, message), \
    recorded AS (INSERT INTO deliveries (message_id, outcome, why) SELECT id, 'dropped', 'by the operator' FROM dropped \
    WHERE NOT message ? 'specversion' ON CONFLICT (message_id) DO NOTHING) SELECT count(*) FROM dropped";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[PARK, COUNT, LIST, REQUEUE, DROP];

/// A row that is parked.
pub(crate) struct ParkedRow {
    pub(crate) id: Uuid,
    pub(crate) why: String,
    pub(crate) parked_at: OffsetDateTime,
}

/// Parks rows that this relay has leased, each for its reason.
pub(crate) fn park(writes: &mut Writes<'_>, rows: &[(Uuid, &'static str)], owner: Uuid) {
    let (ids, whys): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
    writes.push(PARK, [Box::new(ids), Box::new(whys), Box::new(owner)]);
}

/// The number of parked rows.
pub(crate) async fn count(connection: &Connection) -> Result<i64, PgError> {
    Ok(connection.query_one(&connection.prepare_cached(COUNT).await?, &[]).await?.get(0))
}

/// The first parked rows, the oldest first.
pub(crate) async fn list(connection: &Connection, limit: i64) -> Result<Vec<ParkedRow>, PgError> {
    let rows = store::rows(connection, LIST, &[&limit]).await?;
    let parked = |row: &tokio_postgres::Row| ParkedRow {
        id: row.get("id"),
        why: row.get("why"),
        parked_at: row.get("parked_at"),
    };
    Ok(rows.iter().map(parked).collect())
}

/// Moves rows back to the outbox; returns how many were parked.
pub(crate) async fn requeue(connection: &Connection, ids: &[Uuid]) -> Result<i64, PgError> {
    Ok(connection.query_one(&connection.prepare_cached(REQUEUE).await?, &[&ids]).await?.get(0))
}

/// Deletes a row; returns whether it was parked.
pub(crate) async fn drop(connection: &Connection, id: Uuid) -> Result<bool, PgError> {
    let dropped: i64 = connection.query_one(&connection.prepare_cached(DROP).await?, &[&id]).await?.get(0);
    Ok(dropped > 0)
}
