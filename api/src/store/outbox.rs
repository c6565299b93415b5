//! The outbox table: rows are inserted in the transaction that makes them true, leased by relays, and deleted when
//! delivered.

pub(crate) mod parked;
pub(crate) mod stats;
pub(crate) mod unfinished;

use std::time::Duration;

use serde_json::Value;
use shared::messages::{Envelope, MailQueue, Message};
use time::OffsetDateTime;
use tokio::try_join;
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use super::{Connection, transaction::Writes};
use crate::{
    domain::outbox_message::{OutboxLane, OutboxMessage},
    domain::{cloud_event::Event, email::EmailAddress, outbox_capacity::Capacity},
};

const INSERT: &str = "INSERT INTO outbox (id, message, traceparent, is_notice) VALUES ($1, $2, $3, $4)";
// Plans are made while the table is empty, and kept: without this they would read all of it, however many rows wait
// later.
const DISABLE_SEQUENTIAL_SCANS: &str = "SET LOCAL enable_seqscan = off";

/// The conditions of the rows of a lane, each with an index by position of its own; of events only those that were never
/// retried.
macro_rules! codes {
    () => {
        "NOT message ? 'specversion' AND NOT is_notice"
    };
}
macro_rules! notices {
    () => {
        "is_notice"
    };
}
macro_rules! events {
    () => {
        "message ? 'specversion' AND due_at IS NULL"
    };
}
pub(crate) use {codes, events, notices};

/// The position of a row that is written now.
macro_rules! this_position {
    () => {
        "pg_current_xact_id()::text::bigint"
    };
}

/// Leases the first rows. SKIP LOCKED lets any number of relays work side by side. A lease that has expired is that of a
/// crashed relay, or of a row that cannot be read: such a row moves to the end, so that the positions before it are passed.
/// A new row stays where it is, and no index has to be updated. Of a row that moved, NULL is returned: its position does not
/// tell how far this read.
macro_rules! lease {
    ($rows:expr, $order:literal) => {
        concat!(
            "UPDATE outbox SET leased_by = $3, leased_until = clock_timestamp() + make_interval(secs => $2), \
            position = CASE WHEN leased_until IS NULL THEN position ELSE ",
            this_position!(),
            " END WHERE id = ANY (ARRAY (SELECT id FROM outbox WHERE ",
            $rows,
            " AND (leased_until IS NULL OR leased_until <= clock_timestamp()) ORDER BY ",
            $order,
            " LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING id, message, traceparent, NULLIF(position, ",
            this_position!(),
            ") AS position, failures, \
            GREATEST(EXTRACT(EPOCH FROM clock_timestamp() - created_at), 0)::float8 AS age_seconds"
        )
    };
}

/// The first position of the rows of a lane at `$parameter` or after it.
macro_rules! first_position {
    ($rows:expr, $parameter:literal) => {
        concat!("(SELECT min(position) FROM outbox WHERE ", $rows, " AND position >= ", $parameter, ")")
    };
}

const LEASE_CODES: &str = lease!(concat!(codes!(), " AND position >= $4"), "position");
const LEASE_NOTICES: &str = lease!(concat!(notices!(), " AND position >= $4"), "position");
const LEASE_EVENTS: &str = lease!(concat!(events!(), " AND position >= $4"), "position");
// By due time, because many events may be in backoff, and those are not read. now(), because an index cannot be searched
// with clock_timestamp(), which changes during the statement.
const LEASE_RETRIED_EVENTS: &str = lease!("due_at <= now()", "due_at");
// All transactions before that of the first position have ended (GREATEST and LEAST ignore NULL).
const POSITIONS: &str = concat!(
    "SELECT LEAST(first, codes) AS codes, LEAST(first, notices) AS notices, LEAST(first, events) AS events, \
     pg_postmaster_start_time() AS server_started_at FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS first, ",
    first_position!(codes!(), "$1"),
    " AS codes, ",
    first_position!(notices!(), "$2"),
    " AS notices, ",
    first_position!(events!(), "$3"),
    " AS events) AS positions"
);
const RENEW: &str = concat!(
    "UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => $2), position = ",
    this_position!(),
    " WHERE id = ANY($1) AND leased_by = $3"
);
// The ids are there twice so that all plans use the primary key.
const RELEASE: &str = concat!(
    "UPDATE outbox SET leased_until = clock_timestamp() + make_interval(secs => pause), position = ",
    this_position!(),
    ", due_at = CASE WHEN message ? 'specversion' THEN clock_timestamp() + make_interval(secs => pause) END, \
    failures = released.failures FROM unnest($1::uuid[], $2::float8[], $4::smallint[]) AS released (row_id, pause, failures) \
    WHERE id = row_id AND id = ANY ($1) AND leased_by = $3"
);
// Whichever relay holds the lease by now: the message is delivered.
const DELETE: &str = "DELETE FROM outbox WHERE id = ANY($1)";
// They are on their way again.
const INSERT_IF_ABSENT: &str = "WITH seen AS (UPDATE unfinished_messages SET missing_since = NULL, \
    seen_at = clock_timestamp() WHERE id = ANY ($1)) INSERT INTO outbox (id, message, is_notice) \
    SELECT * FROM unnest($1::uuid[], $2::jsonb[], $3::boolean[]) ON CONFLICT (id) DO NOTHING";
// All messages about an email address and its account, except those that are leased: the worker drops those, because
// their subject is deleted. Their ids stay on record, like those of all messages. Arrays, so that the index is searched
// for these ids: the planner may have statistics from when the outbox was empty, and would join from there, through all
// rows that wait. OFFSET 0 makes Postgres look up the codes of one registration after the other, for the same reason.
const DROP_MAILS_OF: &str = "WITH affected (ids) AS (SELECT ARRAY (SELECT c.id FROM registrations r CROSS JOIN LATERAL \
    (SELECT id FROM codes WHERE registration_id = r.id OFFSET 0) AS c WHERE r.email = $1 \
    UNION ALL SELECT code_id FROM resets WHERE email = $1 UNION ALL SELECT id FROM password_changes WHERE user_id = $2 \
    UNION ALL SELECT $2::uuid)), \
    dropped AS (DELETE FROM outbox WHERE id = ANY (ARRAY (SELECT id FROM outbox \
    WHERE id = ANY ((SELECT ids FROM affected)::uuid[]) AND (leased_until IS NULL OR leased_until <= clock_timestamp()) \
    FOR UPDATE SKIP LOCKED)) RETURNING id) \
    INSERT INTO deliveries (message_id, outcome, why) SELECT id, 'dropped', 'erased' FROM dropped \
    ON CONFLICT (message_id) DO NOTHING";
// All events in the table: this waits for a relay that is writing one of them. Both may then wait for each other;
// Postgres ends one of them, and that one is retried. An event that a relay has read already is published with its
// email address.
const REMOVE_EMAIL: &str = "WITH parked AS (UPDATE parked_outbox_rows SET message = message #- '{data,email}' \
    WHERE message #>> '{data,email}' = $1) \
    UPDATE outbox SET message = message #- '{data,email}' WHERE message #>> '{data,email}' = $1";
const BACKLOG: &str = "SELECT count(*), count(*) FILTER (WHERE leased_until > clock_timestamp()), \
    floor(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)))::bigint FROM outbox";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[
    INSERT,
    DISABLE_SEQUENTIAL_SCANS,
    LEASE_CODES,
    LEASE_NOTICES,
    LEASE_EVENTS,
    LEASE_RETRIED_EVENTS,
    POSITIONS,
    RENEW,
    RELEASE,
    DELETE,
    INSERT_IF_ABSENT,
    DROP_MAILS_OF,
    REMOVE_EMAIL,
    BACKLOG,
];

type ReadMessage = fn(&Row) -> Result<OutboxMessage, &'static str>;

/// A leased row; the error says why its message cannot be read.
pub(crate) struct LeasedRow {
    pub(crate) id: Uuid,
    /// How often it could not be read, or its delivery panicked.
    pub(crate) failures: i16,
    pub(crate) message: Result<OutboxMessage, &'static str>,
}

/// The rows that one round leased.
pub(crate) struct LeasedBatch {
    pub(crate) codes: Vec<LeasedRow>,
    pub(crate) notices: Vec<LeasedRow>,
    pub(crate) events: Vec<LeasedRow>,
    /// Where the full batches ended, from where the next ones may continue. 0 where the batch was not full; unchanged where
    /// no row was wanted.
    pub(crate) ended: Positions,
}

/// The terms of a lease: the id of the relay that holds it, and how long it lasts unless it is renewed.
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) owner: Uuid,
    pub(crate) duration: Duration,
}

/// For each lane a position below which it has no rows, and never will have. 0 is always one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) codes: i64,
    pub(crate) notices: i64,
    pub(crate) events: i64,
}

impl Positions {
    /// The later of both in each lane.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            codes: self.codes.max(other.codes),
            notices: self.notices.max(other.notices),
            events: self.events.max(other.events),
        }
    }
}

/// Writes a message. It is published once the transaction is committed.
pub(crate) fn insert(writes: &mut Writes<'_>, message: OutboxMessage) {
    let is_notice = message.lane() == OutboxLane::Notices;
    let (id, body, traceparent) = match message {
        OutboxMessage::Mail(Envelope { message, traceparent }) => (message.id, message.to_json(), traceparent),
        OutboxMessage::Event(Event { id, body, traceparent, .. }) => (id, body, traceparent),
    };
    writes.push(INSERT, [Box::new(id), Box::new(body), Box::new(traceparent), Box::new(is_notice)]);
}

/// Leases up to `capacity` rows of each lane from these positions on, in one round trip. A lane without capacity is not
/// queried. Of events up to `capacity` new ones and as many that are retried.
pub(crate) async fn lease(
    connection: &Connection,
    capacity: Capacity,
    from: Positions,
    lease: Lease,
) -> Result<LeasedBatch, PgError> {
    let lease_rows = async |sql, limit: usize, from: Option<i64>, read: ReadMessage| {
        if limit == 0 {
            return Ok::<_, PgError>((vec![], from.unwrap_or_default()));
        }
        let (max_rows, seconds) = (i64::try_from(limit).unwrap_or(i64::MAX), lease.duration.as_secs_f64());
        let values: [&(dyn ToSql + Sync); 4] = [&max_rows, &seconds, &lease.owner, &from];
        let values = if from.is_some() { &values[..] } else { &values[..3] };
        let rows = super::rows(connection, sql, values).await?;
        let last = rows.iter().filter_map(|row| row.get::<_, Option<i64>>("position")).max().or(from);
        let ended = if rows.len() == limit { last.unwrap_or_default() } else { 0 };
        let mut leased: Vec<_> = rows.iter().map(|row| leased_row(row, read)).collect();
        // Most ids are ordered by time, and Postgres returns updated rows in any order.
        leased.sort_unstable_by_key(|row| row.id);
        Ok((leased, ended))
    };
    let ((codes, codes_ended), (notices, notices_ended), (mut events, events_ended), (retried, _)) = try_join!(
        lease_rows(LEASE_CODES, capacity.codes, Some(from.codes), read_mail),
        lease_rows(LEASE_NOTICES, capacity.notices, Some(from.notices), read_mail),
        lease_rows(LEASE_EVENTS, capacity.events, Some(from.events), read_event),
        lease_rows(LEASE_RETRIED_EVENTS, capacity.events, None, read_event)
    )?;
    events.extend(retried);
    let ended = Positions { codes: codes_ended, notices: notices_ended, events: events_ended };
    Ok(LeasedBatch { codes, notices, events, ended })
}

/// Reads positions that are as late as can be, from earlier ones on, and when the server was started, which tells it from
/// another one.
pub(crate) async fn later_positions(
    connection: &Connection,
    earlier: Positions,
) -> Result<(Positions, OffsetDateTime), PgError> {
    let Positions { codes, notices, events } = earlier;
    let row = connection.query_one(&connection.prepare_cached(POSITIONS).await?, &[&codes, &notices, &events]).await?;
    let later = Positions { codes: row.get("codes"), notices: row.get("notices"), events: row.get("events") };
    Ok((later, row.get("server_started_at")))
}

fn leased_row(row: &Row, read: ReadMessage) -> LeasedRow {
    LeasedRow { id: row.get("id"), failures: row.get("failures"), message: read(row) }
}

fn read_mail(row: &Row) -> Result<OutboxMessage, &'static str> {
    let message = Message::from_json(body(row)?.to_string().as_bytes())?;
    Ok(OutboxMessage::Mail(Envelope { message, traceparent: row.get("traceparent") }))
}

fn read_event(row: &Row) -> Result<OutboxMessage, &'static str> {
    let age = Duration::try_from_secs_f64(row.get("age_seconds")).unwrap_or_default();
    Event::read(row.get("id"), body(row)?, row.get("traceparent"), age).map(OutboxMessage::Event)
}

/// Not every document that Postgres can store can be read.
fn body(row: &Row) -> Result<Value, &'static str> {
    row.try_get("message").map_err(|_| "not JSON that can be read")
}

/// Disables sequential scans for this transaction, so that the following statements use the indexes.
pub(crate) fn disable_sequential_scans(writes: &mut Writes<'_>) {
    writes.push(DISABLE_SEQUENTIAL_SCANS, []);
}

/// Renews the leases of those rows that the relay still holds.
pub(crate) fn renew(writes: &mut Writes<'_>, ids: Vec<Uuid>, lease: Lease) {
    writes.push(RENEW, [Box::new(ids), Box::new(lease.duration.as_secs_f64()), Box::new(lease.owner)]);
}

/// A row to release.
pub(crate) struct Release {
    pub(crate) id: Uuid,
    /// The backoff: it may be leased again after this time.
    pub(crate) pause: Duration,
    pub(crate) failures: i16,
}

/// Releases rows. Those that another relay has leased meanwhile are skipped.
pub(crate) fn release(writes: &mut Writes<'_>, rows: &[Release], owner: Uuid) {
    let column = |row: &Release| (row.id, row.pause.as_secs_f64(), row.failures);
    let (ids, pauses, failures): (Vec<_>, Vec<_>, Vec<_>) = rows.iter().map(column).collect();
    writes.push(RELEASE, [Box::new(ids), Box::new(pauses), Box::new(owner), Box::new(failures)]);
}

/// Deletes delivered rows.
pub(crate) fn delete<'a>(writes: &mut Writes<'a>, ids: &'a [Uuid]) {
    writes.push(DELETE, [Box::new(ids)]);
}

/// Inserts messages whose ids are not in the outbox; returns how many it inserted.
pub(crate) async fn insert_if_absent(connection: &Connection, messages: &[Message]) -> Result<u64, PgError> {
    let (ids, bodies, are_notices) = columns(messages);
    super::execute(connection, INSERT_IF_ABSENT, &[&ids, &bodies, &are_notices]).await
}

/// The same, as part of a transaction.
pub(crate) fn write_if_absent(writes: &mut Writes<'_>, messages: &[Message]) {
    let (ids, bodies, are_notices) = columns(messages);
    writes.push(INSERT_IF_ABSENT, [Box::new(ids), Box::new(bodies), Box::new(are_notices)]);
}

/// The ids, the messages, and whether they are notices.
fn columns(messages: &[Message]) -> (Vec<Uuid>, Vec<Value>, Vec<bool>) {
    let column = |message: &Message| (message.id, message.to_json(), message.kind.queue() == MailQueue::Notices);
    messages.iter().map(column).collect()
}

/// Drops all mails about an email address and its account that are not leased, and records them as dropped.
pub(crate) fn drop_mails_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, user: Uuid) {
    writes.push(DROP_MAILS_OF, [Box::new(email.as_str()), Box::new(user)]);
}

/// Removes an email address from the events in the outbox. The caller has called [`disable_sequential_scans`] on `writes`.
pub(crate) fn remove_email<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(REMOVE_EMAIL, [Box::new(email.as_str())]);
}

/// The backlog of the outbox.
pub(crate) struct Backlog {
    /// All rows.
    pub(crate) waiting: i64,
    /// Rows in flight, or in backoff after a failed delivery.
    pub(crate) leased: i64,
    pub(crate) oldest_seconds: Option<i64>,
}

/// Reads the backlog of the outbox.
pub(crate) async fn backlog(connection: &Connection) -> Result<Backlog, PgError> {
    let row = connection.query_one(BACKLOG, &[]).await?;
    Ok(Backlog { waiting: row.get(0), leased: row.get(1), oldest_seconds: row.get(2) })
}
