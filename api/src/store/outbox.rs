//! What the world must be told: written with what made it true, leased by relays, gone when delivered.

use std::time::Duration;

use shared::message::{Envelope, Message};
use tokio_postgres::Error;
use uuid::Uuid;

use super::{Connection, transaction::Writes};

const INSERT: &str = "INSERT INTO outbox (id, message, traceparent) VALUES ($1, $2, $3)";
// SKIP LOCKED lets any number of relays work side by side; a lease that ran out is that of a dead one.
const LEASE: &str = "UPDATE outbox SET leased_by = $3, leased_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id IN (SELECT id FROM outbox WHERE leased_until IS NULL OR leased_until <= clock_timestamp() \
    ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING id, message, traceparent";
const RENEW: &str = "UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id = ANY($1) AND leased_by = $3";
const RELEASE: &str = "UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => pause) \
    FROM unnest($1::uuid[], $2::float8[]) AS released (row_id, pause) WHERE id = row_id AND leased_by = $3";
// Whoever has it on lease by now: it is delivered.
const DELETE: &str = "DELETE FROM outbox WHERE id = ANY($1)";
const INSERT_AGAIN: &str = "INSERT INTO outbox (id, message) SELECT * FROM unnest($1::uuid[], $2::jsonb[]) \
    ON CONFLICT (id) DO NOTHING";
const STATE: &str = "SELECT count(*), count(*) FILTER (WHERE leased_until > clock_timestamp()), \
    floor(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)))::bigint FROM outbox";

pub(super) const ALL: &[&str] = &[INSERT, LEASE, RENEW, RELEASE, DELETE, INSERT_AGAIN, STATE];

/// A row of the outbox; the error says why it cannot be a message.
pub(crate) type Leased = (Uuid, Result<Envelope, &'static str>);

/// How a relay holds what it takes: under its own id, for so long.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) by: Uuid,
    pub(crate) length: Duration,
}

pub(crate) fn insert<'a>(writes: &mut Writes<'a>, Envelope { message, traceparent }: Envelope) {
    writes.push(INSERT, [Box::new(message.id), Box::new(message.to_json()), Box::new(traceparent)]);
}

pub(crate) async fn lease(connection: &Connection, at_most: i64, lease: Lease) -> Result<Vec<Leased>, Error> {
    let rows = super::rows(connection, LEASE, &[&at_most, &lease.length.as_secs_f64(), &lease.by]).await?;
    let leased = |row: tokio_postgres::Row| {
        let message = Message::from_json(row.get::<_, serde_json::Value>(1).to_string().as_bytes());
        (row.get(0), message.map(|message| Envelope { message, traceparent: row.get(2) }))
    };
    Ok(rows.into_iter().map(leased).collect())
}

/// Those that are still held so.
pub(crate) fn renew(writes: &mut Writes<'_>, ids: Vec<Uuid>, lease: Lease) {
    writes.push(RENEW, [Box::new(ids), Box::new(lease.length.as_secs_f64()), Box::new(lease.by)]);
}

/// Each may be leased again after its pause; those that another relay holds by now are its own to release.
pub(crate) fn release(writes: &mut Writes<'_>, pauses: &[(Uuid, Duration)], by: Uuid) {
    let (ids, pauses): (Vec<_>, Vec<_>) = pauses.iter().map(|(id, pause)| (*id, pause.as_secs_f64())).unzip();
    writes.push(RELEASE, [Box::new(ids), Box::new(pauses), Box::new(by)]);
}

pub(crate) fn delete<'a>(writes: &mut Writes<'a>, ids: &'a [Uuid]) {
    writes.push(DELETE, [Box::new(ids)]);
}

/// Those that are not there already; returns how many that were.
pub(crate) async fn insert_again(connection: &Connection, messages: &[Message]) -> Result<u64, Error> {
    let (ids, bodies): (Vec<_>, Vec<_>) = messages.iter().map(|message| (message.id, message.to_json())).unzip();
    super::execute(connection, INSERT_AGAIN, &[&ids, &bodies]).await
}

pub(crate) struct State {
    pub(crate) waiting: i64,
    /// A relay has them in hand, or they rest after it could not get rid of them.
    pub(crate) leased: i64,
    pub(crate) oldest_seconds: Option<i64>,
}

pub(crate) async fn state(connection: &Connection) -> Result<State, Error> {
    let row = connection.query_one(STATE, &[]).await?;
    Ok(State { waiting: row.get(0), leased: row.get(1), oldest_seconds: row.get(2) })
}
