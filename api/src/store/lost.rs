//! Messages that no worker has put an end to, and no outbox holds: on their way, or lost.

use time::OffsetDateTime;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::Connection;

const NOW: &str = "SELECT clock_timestamp()";
// A page by an index, from a place that is told, and then a look at each of its rows: what is asked for stays
// small however much there is. (With a clock in the condition, or the looks in it, all of it might be read.)
const CODES: &str = "SELECT c.deadline, c.id, c.consumed_at IS NULL AND r.activated_at IS NULL AND r.closed_at IS NULL \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = c.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = c.id), c.code_hash, c.key_id, c.length \
    FROM (SELECT * FROM codes WHERE sent_at IS NULL AND superseded_at IS NULL AND (deadline, id) > ($1, $2) \
    ORDER BY deadline, id LIMIT $3) AS c JOIN registrations r ON r.id = c.registration_id ORDER BY c.deadline, c.id";
const USERS: &str = "SELECT u.activated_at, u.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = u.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = u.id) \
    FROM (SELECT * FROM users WHERE (activated_at, id) > ($1, $2) ORDER BY activated_at, id LIMIT $3) AS u \
    ORDER BY u.activated_at, u.id";

pub(super) const ALL: &[&str] = &[NOW, CODES, USERS];

/// The row after which to go on, in the order of time.
pub(crate) type Place = (OffsetDateTime, Uuid);

pub(crate) async fn now(connection: &Connection) -> Result<OffsetDateTime, Error> {
    Ok(connection.query_one(NOW, &[]).await?.get(0))
}

/// A message that there was, and whether it is one of those.
pub(crate) struct Sent<T> {
    pub(crate) place: Place,
    pub(crate) is_lost: bool,
    pub(crate) about: T,
}

pub(crate) struct Code {
    pub(crate) hash: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) length: u8,
}

/// About codes whose deadline comes later, and that nobody has.
pub(crate) async fn codes(connection: &Connection, after: Place, at_most: i64) -> Result<Vec<Sent<Code>>, Error> {
    let code = |row: &Row| Code {
        hash: row.get(3),
        key_id: row.get(4),
        length: u8::try_from(row.get::<_, i16>(5)).unwrap_or(u8::MAX),
    };
    let rows = super::rows(connection, CODES, &[&after.0, &after.1, &at_most]).await?;
    Ok(rows.iter().map(|row| sent(row, code(row))).collect())
}

/// About people who came in later.
pub(crate) async fn users(connection: &Connection, after: Place, at_most: i64) -> Result<Vec<Sent<()>>, Error> {
    let rows = super::rows(connection, USERS, &[&after.0, &after.1, &at_most]).await?;
    Ok(rows.iter().map(|row| sent(row, ())).collect())
}

fn sent<T>(row: &Row, about: T) -> Sent<T> {
    Sent { place: (row.get(0), row.get(1)), is_lost: row.get(2), about }
}
