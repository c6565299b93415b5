//! Messages that no worker has put an end to, and no outbox holds: on their way, or lost.

use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};
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
// What one that is over says of the account is nobody's business any more.
const RESETS: &str = "SELECT r.deadline, r.code_id, r.used_at IS NULL AND r.closed_at IS NULL \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = r.code_id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = r.code_id), r.code_hash, r.key_id, r.length \
    FROM (SELECT * FROM resets WHERE sent_at IS NULL AND (deadline, code_id) > ($1, $2) \
    ORDER BY deadline, code_id LIMIT $3) AS r ORDER BY r.deadline, r.code_id";
const USERS: &str = "SELECT u.activated_at, u.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = u.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = u.id) \
    FROM (SELECT * FROM users WHERE (activated_at, id) > ($1, $2) ORDER BY activated_at, id LIMIT $3) AS u \
    ORDER BY u.activated_at, u.id";

const CHANGES: &str = "SELECT p.changed_at, p.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = p.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = p.id) \
    FROM (SELECT * FROM password_changes WHERE (changed_at, id) > ($1, $2) ORDER BY changed_at, id LIMIT $3) AS p \
    ORDER BY p.changed_at, p.id";

pub(crate) const ALL: &[&str] = &[NOW, CODES, RESETS, USERS, CHANGES];

/// Whose codes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    OfRegistrations,
    OfResets,
}

/// Of what nothing but the time is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Events {
    CameIn,
    PasswordChanged,
}

/// The row after which to go on, in the order of time.
pub(crate) type Cursor = (OffsetDateTime, Uuid);

pub(crate) async fn now(connection: &Connection) -> Result<OffsetDateTime, PgError> {
    Ok(connection.query_one(NOW, &[]).await?.get(0))
}

/// A message that there was, and whether it is one of those.
pub(crate) struct Sent<T> {
    pub(crate) place: Cursor,
    pub(crate) is_lost: bool,
    pub(crate) about: T,
}

pub(crate) struct Code {
    pub(crate) hash: Vec<u8>,
    pub(crate) key_id: String,
    pub(crate) length: u8,
}

/// About codes whose deadline comes later, and that nobody has.
pub(crate) async fn codes(
    connection: &Connection,
    of: Codes,
    after: Cursor,
    at_most: i64,
) -> Result<Vec<Sent<Code>>, PgError> {
    let sql = if of == Codes::OfRegistrations { CODES } else { RESETS };
    let code = |row: &Row| Code {
        hash: row.get(3),
        key_id: row.get(4),
        length: u8::try_from(row.get::<_, i16>(5)).unwrap_or(u8::MAX),
    };
    let rows = super::rows(connection, sql, &[&after.0, &after.1, &at_most]).await?;
    Ok(rows.iter().map(|row| sent(row, code(row))).collect())
}

/// About people who came in, or changed their password, later.
pub(crate) async fn events(
    connection: &Connection,
    events: Events,
    after: Cursor,
    at_most: i64,
) -> Result<Vec<Sent<()>>, PgError> {
    let sql = if events == Events::CameIn { USERS } else { CHANGES };
    let rows = super::rows(connection, sql, &[&after.0, &after.1, &at_most]).await?;
    Ok(rows.iter().map(|row| sent(row, ())).collect())
}

fn sent<T>(row: &Row, about: T) -> Sent<T> {
    Sent { place: (row.get(0), row.get(1)), is_lost: row.get(2), about }
}
