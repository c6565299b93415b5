//! The tables `unfinished_messages` and `rescue_rounds`: the search for lost messages.

use std::time::Duration;

use futures_util::future::try_join;
use shared::messages::{MailKind, MailQueue, Message};
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use crate::store::{
    self, Connection,
    outbox::{DISABLE_SEQUENTIAL_SCANS, write_if_absent},
    transaction::{Commit, Transaction, Writes},
};

/// The most rows that a statement reads.
const MAX_ROWS: i64 = 500;

/// A message that a worker gave back is in its queue again after this time: the longest retry delay and some more.
macro_rules! retry_time {
    () => {
        "interval '65 s'"
    };
}

// One API at a time: for the others it is too early. A round that did not end in a minute was interrupted. After a fail-over
// the clock may be behind.
const BEGIN_ROUND: &str = "UPDATE rescue_rounds SET began_at = clock_timestamp(), continuous_since = \
    CASE WHEN $3 OR ended_at < clock_timestamp() - make_interval(secs => $1::float8 * 3) THEN clock_timestamp() ELSE continuous_since END \
    WHERE began_at > clock_timestamp() OR began_at <= clock_timestamp() - make_interval(secs => $1::float8) \
    AND (ended_at >= began_at OR began_at <= clock_timestamp() - interval '1 min') RETURNING began_at, codes_searched_until, notices_searched_until, \
    continuous_since <= clock_timestamp() - make_interval(secs => $2::float8) AS is_undisturbed";
const END_ROUND: &str =
    "UPDATE rescue_rounds SET ended_at = clock_timestamp(), codes_searched_until = $1, notices_searched_until = $2";
const COUNT_RETRYING: &str = concat!(
    "SELECT count(*) FROM (SELECT FROM unfinished_messages WHERE missing_since IS NULL AND seen_at > now() - ",
    retry_time!(),
    " AND kind = ANY ($1) LIMIT $2) AS first"
);
const GIVEN_BACK: &str = concat!(
    "SELECT id, kind, seen_at, (SELECT true FROM deliveries d WHERE d.message_id = m.id) IS NOT NULL AS is_finished, \
     COALESCE((SELECT true FROM outbox o WHERE o.id = m.id), (SELECT true FROM parked_outbox_rows p WHERE p.id = m.id)) \
     IS NOT NULL AS is_in_outbox \
     FROM (SELECT * FROM unfinished_messages WHERE missing_since IS NULL AND seen_at <= now() - ",
    retry_time!(),
    " AND (seen_at, id) > ($2, $3) AND kind = ANY ($1) ORDER BY seen_at, id LIMIT $4) AS m ORDER BY seen_at, id"
);
const NOTE_IN_OUTBOX: &str = "INSERT INTO unfinished_messages (id, kind, seen_at) \
    SELECT id, kind, clock_timestamp() FROM unnest($1::uuid[], $2::text[]) AS waiting (id, kind) ON CONFLICT (id) DO NOTHING";
// Those that are missing already keep their time, and those that a worker gave back meanwhile are not missing.
const MARK_MISSING: &str = concat!(
    "INSERT INTO unfinished_messages AS known (id, kind, seen_at, missing_since) \
     SELECT id, kind, clock_timestamp(), clock_timestamp() FROM unnest($1::uuid[], $2::text[]) AS missing (id, kind) \
     ON CONFLICT (id) DO UPDATE SET missing_since = clock_timestamp() \
     WHERE known.missing_since IS NULL AND known.seen_at <= clock_timestamp() - ",
    retry_time!()
);
// Each time a message is published again, the time doubles until the next.
const LOST: &str = "SELECT id, kind, (SELECT true FROM deliveries d WHERE d.message_id = m.id) IS NOT NULL AS is_finished \
    FROM unfinished_messages AS m WHERE missing_since <= now() - make_interval(secs => $1::float8 * 2 ^ rescues) \
    AND kind = ANY ($2) AND (SELECT true FROM parked_outbox_rows p WHERE p.id = m.id) IS NULL \
    ORDER BY missing_since LIMIT $3 FOR UPDATE SKIP LOCKED";
const FORGET: &str = "DELETE FROM unfinished_messages WHERE id = ANY ($1)";
const COUNT_RESCUE: &str = "UPDATE unfinished_messages SET rescues = LEAST(rescues + 1, 20) WHERE id = ANY ($1)";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] =
    &[BEGIN_ROUND, END_ROUND, COUNT_RETRYING, GIVEN_BACK, NOTE_IN_OUTBOX, MARK_MISSING, LOST, FORGET, COUNT_RESCUE];

/// Where the next search begins.
#[derive(Clone, Copy)]
pub(crate) struct SearchedUntil {
    /// With codes that expire later.
    pub(crate) codes: OffsetDateTime,
    /// With notices that are written later.
    pub(crate) notices: OffsetDateTime,
}

impl SearchedUntil {
    /// Of a queue.
    pub(crate) fn of(&mut self, queue: MailQueue) -> &mut OffsetDateTime {
        match queue {
            MailQueue::Codes => &mut self.codes,
            MailQueue::Notices => &mut self.notices,
        }
    }
}

/// A round of the search.
pub(crate) struct Round {
    pub(crate) began_at: OffsetDateTime,
    pub(crate) searched_until: SearchedUntil,
    /// For some time, one round has followed the other.
    pub(crate) is_undisturbed: bool,
}

/// Begins a round; `None` if the last one began less than `interval` ago, or has not ended. `after_failure`: the last round of
/// this process failed. The round is undisturbed if no round failed or was missing for `time_since_outage`.
pub(crate) async fn begin_round(
    connection: &Connection,
    interval: Duration,
    after_failure: bool,
    time_since_outage: Duration,
) -> Result<Option<Round>, PgError> {
    let (interval, time_since_outage) = (interval.as_secs_f64(), time_since_outage.as_secs_f64());
    let row = store::row(connection, BEGIN_ROUND, &[&interval, &time_since_outage, &after_failure]).await?;
    Ok(row.map(|row| Round {
        began_at: row.get("began_at"),
        searched_until: SearchedUntil {
            codes: row.get("codes_searched_until"),
            notices: row.get("notices_searched_until"),
        },
        is_undisturbed: row.get("is_undisturbed"),
    }))
}

/// Ends a round that has searched until these times.
pub(crate) async fn end_round(connection: &Connection, searched_until: SearchedUntil) -> Result<(), PgError> {
    let SearchedUntil { codes, notices } = searched_until;
    store::execute(connection, END_ROUND, &[&codes, &notices]).await.map(drop)
}

/// How many messages of a queue may be in its retry queues, up to `limit`.
pub(crate) async fn count_retrying(connection: &Connection, queue: MailQueue, limit: u32) -> Result<i64, PgError> {
    let (kinds, limit) = (kinds(queue), i64::from(limit));
    let values: [&(dyn ToSql + Sync); 2] = [&kinds, &limit];
    Ok(store::by_index(connection, store::rows(connection, COUNT_RETRYING, &values)).await?[0].get(0))
}

/// The messages of a queue that must be back in it, page by page.
pub(crate) struct GivenBack {
    kinds: Vec<&'static str>,
    after: (OffsetDateTime, Uuid),
}

impl GivenBack {
    /// All of them.
    pub(crate) fn of(queue: MailQueue) -> Self {
        Self { kinds: kinds(queue), after: (OffsetDateTime::UNIX_EPOCH, Uuid::nil()) }
    }

    /// Forgets those of the next page that a worker has finished, and returns those that are not in the outbox either.
    /// `None` after the last page.
    pub(crate) async fn next_page(&mut self, connection: &Connection) -> Result<Option<Vec<Message>>, PgError> {
        let values: [&(dyn ToSql + Sync); 4] = [&self.kinds, &self.after.0, &self.after.1, &MAX_ROWS];
        let rows = store::by_index(connection, store::rows(connection, GIVEN_BACK, &values)).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = (last.get("seen_at"), last.get("id"));
        let (finished, unfinished): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get("is_finished"));
        if !finished.is_empty() {
            store::execute(connection, FORGET, &[&ids(&finished)]).await?;
        }
        let published = unfinished.into_iter().filter(|row| !row.get::<_, bool>("is_in_outbox"));
        Ok(Some(published.filter_map(message).collect()))
    }
}

/// Stores that these messages are on their way, because they are in the outbox.
pub(crate) async fn note_in_outbox(connection: &Connection, messages: &[Message]) -> Result<(), PgError> {
    let (ids, kinds) = columns(messages);
    store::execute(connection, NOTE_IN_OUTBOX, &[&ids, &kinds]).await.map(drop)
}

/// Stores that these messages are missing, from now on.
pub(crate) async fn mark_missing(connection: &Connection, messages: &[Message]) -> Result<(), PgError> {
    let (ids, kinds) = columns(messages);
    store::execute(connection, MARK_MISSING, &[&ids, &kinds]).await.map(drop)
}

/// Writes messages of a queue that have been missing for `rescue_after` into the outbox again, and returns them. `None` if
/// there are none.
pub(crate) async fn publish_again(
    connection: &Connection,
    queue: MailQueue,
    rescue_after: Duration,
) -> Result<Option<Vec<Message>>, PgError> {
    let (seconds, kinds) = (rescue_after.as_secs_f64(), kinds(queue));
    let values: [&(dyn ToSql + Sync); 3] = [&seconds, &kinds, &MAX_ROWS];
    let reading =
        try_join(store::execute(connection, DISABLE_SEQUENTIAL_SCANS, &[]), store::rows(connection, LOST, &values));
    let (transaction, (_, rows)) = Transaction::begin(connection, Commit::Asynchronous, &[], reading).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let (finished, lost): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get("is_finished"));
    let messages: Vec<_> = lost.iter().copied().filter_map(message).collect();
    let mut writes = Writes::default();
    writes.push(FORGET, [Box::new(ids(&finished))]);
    write_if_absent(&mut writes, &messages);
    writes.push(COUNT_RESCUE, [Box::new(ids(&lost))]);
    transaction.commit(writes).await?;
    Ok(Some(messages))
}

fn kinds(queue: MailQueue) -> Vec<&'static str> {
    MailKind::ALL.iter().filter(|kind| kind.queue() == queue).map(|kind| kind.name()).collect()
}

fn columns(messages: &[Message]) -> (Vec<Uuid>, Vec<&'static str>) {
    messages.iter().map(|message| (message.id, message.kind.name())).unzip()
}

fn ids(rows: &[&Row]) -> Vec<Uuid> {
    rows.iter().map(|row| row.get("id")).collect()
}

fn message(row: &Row) -> Option<Message> {
    let kind: &str = row.get("kind");
    // Only kinds that this version knows are searched for.
    let kind = MailKind::ALL.iter().copied().find(|known| known.name() == kind)?;
    Some(Message { kind, id: row.get("id") })
}
