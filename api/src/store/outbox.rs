//! What the world must be told: written with what made it true, leased by relays, gone when delivered.

use std::time::Duration;

use serde_json::Value;
use shared::messages::{Envelope, Message};
use tokio::try_join;
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use super::{Connection, transaction::Writes};
use crate::{
    domain::{cloud_event::Event, email::EmailAddress},
    outbox::{capacity::Capacity, delivery::OutboxMessage},
};

const INSERT: &str = "INSERT INTO outbox (id, message, traceparent) VALUES ($1, $2, $3)";
// Plans are made when the table is empty, and kept: without this they would read all of it, however much waits there later.
const BY_INDEX: &str = "SET LOCAL enable_seqscan = off";
// SKIP LOCKED lets any number of relays work side by side; a lease that ran out is that of a dead one. Mails and events are
// found by an index each. That of mails goes by age: one that rests does so for seconds. That of events goes by
// when they are due: those that rest may be many, and are not read. now(), because the index cannot be asked with a
// clock that goes on.
const LEASE_MAILS: &str = "UPDATE outbox SET leased_by = $3, leased_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id = ANY (ARRAY (SELECT id FROM outbox WHERE NOT message ? 'specversion' \
    AND (leased_until IS NULL OR leased_until <= clock_timestamp()) ORDER BY created_at LIMIT $1 \
    FOR UPDATE SKIP LOCKED)) RETURNING id, message, traceparent";
const LEASE_EVENTS: &str = "UPDATE outbox SET leased_by = $3, leased_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id = ANY (ARRAY (SELECT id FROM outbox WHERE message ? 'specversion' AND due_at <= now() \
    AND (leased_until IS NULL OR leased_until <= clock_timestamp()) ORDER BY due_at LIMIT $1 \
    FOR UPDATE SKIP LOCKED)) RETURNING id, message, traceparent, \
    GREATEST(EXTRACT(EPOCH FROM clock_timestamp() - created_at), 0)::float8";
const RENEW: &str = "UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => $2) \
    WHERE id = ANY($1) AND leased_by = $3";
// Of a mail `due_at` is left as it is, so that no index learns of it. The ids are there twice so that all plans go by them.
const RELEASE: &str = "UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => pause), \
    due_at = CASE WHEN message ? 'specversion' THEN clock_timestamp() + make_interval(secs => pause) ELSE due_at END \
    FROM unnest($1::uuid[], $2::float8[]) AS released (row_id, pause) \
    WHERE id = row_id AND id = ANY ($1) AND leased_by = $3";
// Whoever has it on lease by now: it is delivered.
const DELETE: &str = "DELETE FROM outbox WHERE id = ANY($1)";
const INSERT_AGAIN: &str = "INSERT INTO outbox (id, message) SELECT * FROM unnest($1::uuid[], $2::jsonb[]) \
    ON CONFLICT (id) DO NOTHING";
// All that are about an address and its account, but for those that a relay has in hand: the worker drops them, what they
// speak of being gone. Their ids stay on record, as those of all messages do. Arrays, so that the index is asked for these
// ids: the planner may have counted the outbox while it was empty, and would join from there, through all that wait. OFFSET 0
// has the codes of one registration looked up after the other, for a like reason.
const DROP_OF: &str = "WITH theirs (ids) AS (SELECT ARRAY (SELECT c.id FROM registrations r CROSS JOIN LATERAL \
    (SELECT id FROM codes WHERE registration_id = r.id OFFSET 0) AS c WHERE r.email = $1 \
    UNION ALL SELECT code_id FROM resets WHERE email = $1 UNION ALL SELECT id FROM password_changes WHERE user_id = $2 \
    UNION ALL SELECT $2::uuid)), \
    dropped AS (DELETE FROM outbox WHERE id = ANY (ARRAY (SELECT id FROM outbox \
    WHERE id = ANY ((SELECT ids FROM theirs)::uuid[]) AND (leased_until IS NULL OR leased_until <= clock_timestamp()) \
    FOR UPDATE SKIP LOCKED)) RETURNING id) \
    INSERT INTO deliveries (message_id, outcome, why) SELECT id, 'dropped', 'erased' FROM dropped \
    ON CONFLICT (message_id) DO NOTHING";
// Of all that are in the table: one that a relay is just writing to is waited for. Both may then wait for each other; one of
// them is ended and tried again. What a relay has read already is told as it was.
const FORGET: &str = "UPDATE outbox SET message = message #- '{data,email}' WHERE message #>> '{data,email}' = $1";
const STATE: &str = "SELECT count(*), count(*) FILTER (WHERE leased_until > clock_timestamp()), \
    floor(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)))::bigint FROM outbox";

pub(crate) const ALL: &[&str] =
    &[INSERT, BY_INDEX, LEASE_MAILS, LEASE_EVENTS, RENEW, RELEASE, DELETE, INSERT_AGAIN, DROP_OF, FORGET, STATE];

/// A row of the outbox; the error says why nobody can be told of it.
pub(crate) type Leased = (Uuid, Result<OutboxMessage, &'static str>);

/// How a relay holds what it takes: under its own id, for so long.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) by: Uuid,
    pub(crate) length: Duration,
}

pub(crate) fn insert(writes: &mut Writes<'_>, outgoing: OutboxMessage) {
    let (id, body, traceparent) = match outgoing {
        OutboxMessage::Mail(Envelope { message, traceparent }) => (message.id, message.to_json(), traceparent),
        OutboxMessage::Event(Event { id, body, traceparent, .. }) => (id, body, traceparent),
    };
    writes.push(INSERT, [Box::new(id), Box::new(body), Box::new(traceparent)]);
}

/// Mails and events, in one round trip; what there is no room for is not asked for.
pub(crate) async fn lease(
    connection: &Connection,
    room: Capacity,
    lease: Lease,
) -> Result<(Vec<Leased>, Vec<Leased>), PgError> {
    let taking = async |sql, at_most: usize, read: fn(&Row) -> Result<OutboxMessage, &'static str>| {
        let (at_most, length) = (i64::try_from(at_most).unwrap_or(i64::MAX), lease.length.as_secs_f64());
        let values: [&(dyn ToSql + Sync); 3] = [&at_most, &length, &lease.by];
        let rows = if at_most > 0 { super::rows(connection, sql, &values).await? } else { vec![] };
        Ok(rows.iter().map(|row| (row.get(0), read(row))).collect())
    };
    try_join!(taking(LEASE_MAILS, room.mails, read_mail), taking(LEASE_EVENTS, room.events, read_event))
}

fn read_mail(row: &Row) -> Result<OutboxMessage, &'static str> {
    let message = Message::from_json(row.get::<_, Value>(1).to_string().as_bytes())?;
    Ok(OutboxMessage::Mail(Envelope { message, traceparent: row.get(2) }))
}

fn read_event(row: &Row) -> Result<OutboxMessage, &'static str> {
    let age = Duration::try_from_secs_f64(row.get(3)).unwrap_or_default();
    Event::read(row.get(0), row.get(1), row.get(2), age).map(OutboxMessage::Event)
}

/// For this transaction: what it asks for is found by indexes.
pub(crate) fn by_index(writes: &mut Writes<'_>) {
    writes.push(BY_INDEX, []);
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
pub(crate) async fn insert_again(connection: &Connection, messages: &[Message]) -> Result<u64, PgError> {
    let (ids, bodies): (Vec<_>, Vec<_>) = messages.iter().map(|message| (message.id, message.to_json())).unzip();
    super::execute(connection, INSERT_AGAIN, &[&ids, &bodies]).await
}

/// Nobody is to be told any more of this address and this user.
pub(crate) fn drop_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, user: Uuid) {
    writes.push(DROP_OF, [Box::new(email.as_str()), Box::new(user)]);
}

/// Takes an address out of the events that wait. The caller has said that it is to be done by the index.
pub(crate) fn forget<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(FORGET, [Box::new(email.as_str())]);
}

pub(crate) struct State {
    pub(crate) waiting: i64,
    /// A relay has them in hand, or they rest after it could not get rid of them.
    pub(crate) leased: i64,
    pub(crate) oldest_seconds: Option<i64>,
}

pub(crate) async fn state(connection: &Connection) -> Result<State, PgError> {
    let row = connection.query_one(STATE, &[]).await?;
    Ok(State { waiting: row.get(0), leased: row.get(1), oldest_seconds: row.get(2) })
}
