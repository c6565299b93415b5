//! Finds messages that no worker has finished and that the outbox does not hold: they are on their way, or lost.

use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::Connection;

const NOW: &str = "SELECT clock_timestamp()";
// Keyset pagination: one page by an index, from a cursor, and then one lookup for each of its rows, so a statement
// stays cheap however large the table is. (With a clock in the condition, or the lookups in it, all of the table might
// be read.)
const CODES: &str = "SELECT c.deadline AS at, c.id, c.consumed_at IS NULL AND r.activated_at IS NULL AND r.closed_at IS NULL \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = c.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = c.id) AS is_lost \
    FROM (SELECT * FROM codes WHERE sent_at IS NULL AND superseded_at IS NULL AND (deadline, id) > ($1, $2) \
    ORDER BY deadline, id LIMIT $3) AS c JOIN registrations r ON r.id = c.registration_id ORDER BY c.deadline, c.id";
// A closed reset gets no mail: it must not reveal anything about the account any more.
const RESETS: &str = "SELECT r.deadline AS at, r.code_id AS id, r.used_at IS NULL AND r.closed_at IS NULL \
    AND NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = r.code_id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = r.code_id) AS is_lost \
    FROM (SELECT * FROM resets WHERE sent_at IS NULL AND (deadline, code_id) > ($1, $2) \
    ORDER BY deadline, code_id LIMIT $3) AS r ORDER BY r.deadline, r.code_id";
const USERS: &str = "SELECT u.activated_at AS at, u.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = u.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = u.id) AS is_lost \
    FROM (SELECT * FROM users WHERE (activated_at, id) > ($1, $2) ORDER BY activated_at, id LIMIT $3) AS u \
    ORDER BY u.activated_at, u.id";
const CHANGES: &str = "SELECT p.changed_at AS at, p.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = p.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = p.id) AS is_lost \
    FROM (SELECT * FROM password_changes WHERE (changed_at, id) > ($1, $2) ORDER BY changed_at, id LIMIT $3) AS p \
    ORDER BY p.changed_at, p.id";
const DELETIONS: &str = "SELECT a.deleted_at AS at, a.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = a.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = a.id) AS is_lost \
    FROM (SELECT * FROM account_deletions WHERE (deleted_at, id) > ($1, $2) ORDER BY deleted_at, id LIMIT $3) AS a \
    ORDER BY a.deleted_at, a.id";

const UNLOCKS: &str = "SELECT k.created_at AS at, k.id, NOT EXISTS (SELECT FROM deliveries d WHERE d.message_id = k.id) \
    AND NOT EXISTS (SELECT FROM outbox o WHERE o.id = k.id) AS is_lost \
    FROM (SELECT * FROM unlocks WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3) AS k \
    ORDER BY k.created_at, k.id";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[NOW, CODES, RESETS, USERS, CHANGES, DELETIONS, UNLOCKS];

/// Which codes to look for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeTable {
    Registrations,
    Resets,
}

/// Which events to look for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventTable {
    /// Accounts that were activated.
    Activations,
    PasswordChanges,
    AccountDeletions,
    UnlockLinks,
}

/// The position after which the next page begins, in the order of time.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    pub(crate) at: OffsetDateTime,
    pub(crate) id: Uuid,
}

/// A row that a message was written for.
pub(crate) struct MessageRow {
    /// Its position; `cursor.id` is the message id.
    pub(crate) cursor: Cursor,
    /// Whether it is still needed, no worker has finished it, and the outbox does not hold it.
    pub(crate) is_lost: bool,
}

/// The time of the database.
pub(crate) async fn now(connection: &Connection) -> Result<OffsetDateTime, PgError> {
    Ok(connection.query_one(NOW, &[]).await?.get(0))
}

/// The next page of codes that no mail server has taken, by deadline.
pub(crate) async fn codes(
    connection: &Connection,
    table: CodeTable,
    after: Cursor,
    limit: i64,
) -> Result<Vec<MessageRow>, PgError> {
    let sql = match table {
        CodeTable::Registrations => CODES,
        CodeTable::Resets => RESETS,
    };
    let rows = super::rows(connection, sql, &[&after.at, &after.id, &limit]).await?;
    Ok(rows.iter().map(message_row).collect())
}

/// The next page of events, by the time at which they happened.
pub(crate) async fn events(
    connection: &Connection,
    table: EventTable,
    after: Cursor,
    limit: i64,
) -> Result<Vec<MessageRow>, PgError> {
    let sql = match table {
        EventTable::Activations => USERS,
        EventTable::PasswordChanges => CHANGES,
        EventTable::AccountDeletions => DELETIONS,
        EventTable::UnlockLinks => UNLOCKS,
    };
    let rows = super::rows(connection, sql, &[&after.at, &after.id, &limit]).await?;
    Ok(rows.iter().map(message_row).collect())
}

fn message_row(row: &Row) -> MessageRow {
    MessageRow { cursor: Cursor { at: row.get("at"), id: row.get("id") }, is_lost: row.get("is_lost") }
}
