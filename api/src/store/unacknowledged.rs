//! Finds messages that no worker has finished and that the outbox does not hold: they are on their way, or lost.

use shared::messages::{MailKind, Message};
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::Connection;

/// Small enough that each statement is fast and relays make progress meanwhile.
const PAGE: i64 = 500;

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

/// A position in the messages of a kind: those with a code are ordered by deadline, the others by the time of their event.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    at: OffsetDateTime,
    id: Uuid,
}

impl Cursor {
    /// The first position at a time.
    pub(crate) fn at(time: OffsetDateTime) -> Self {
        Self { at: time, id: Uuid::nil() }
    }

    /// The position of the oldest message of this kind that is still of use.
    pub(crate) fn oldest_of_use(kind: MailKind, now: OffsetDateTime) -> Self {
        Self::at(now - kind.max_age().unwrap_or_default())
    }
}

/// The lost messages of one kind, page by page.
pub(crate) struct LostMessages {
    kind: MailKind,
    after: Cursor,
}

impl LostMessages {
    /// Those after this position.
    pub(crate) fn of(kind: MailKind, after: Cursor) -> Self {
        Self { kind, after }
    }

    /// Reads the next page, of which no message may be lost; `None` after the last one.
    pub(crate) async fn next_page(&mut self, connection: &Connection) -> Result<Option<Vec<Message>>, PgError> {
        let rows = super::rows(connection, statement(self.kind), &[&self.after.at, &self.after.id, &PAGE]).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = Cursor { at: last.get("at"), id: last.get("id") };
        let lost = rows.iter().filter(|row| row.get("is_lost"));
        Ok(Some(lost.map(|row| Message { kind: self.kind, id: row.get("id") }).collect()))
    }
}

/// The time of the database.
pub(crate) async fn now(connection: &Connection) -> Result<OffsetDateTime, PgError> {
    Ok(connection.query_one(NOW, &[]).await?.get(0))
}

fn statement(kind: MailKind) -> &'static str {
    match kind {
        MailKind::SendCode => CODES,
        MailKind::ResetCode => RESETS,
        MailKind::Activated => USERS,
        MailKind::PasswordChanged => CHANGES,
        MailKind::AccountDeleted => DELETIONS,
        MailKind::Unlock => UNLOCKS,
    }
}
