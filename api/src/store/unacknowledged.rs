//! Finds messages that no worker has finished and that the outbox does not hold: they are on their way, or lost.

use shared::messages::{MailKind, Message};
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, types::ToSql};
use uuid::Uuid;

use super::Connection;

/// Small enough that each statement is fast and relays make progress meanwhile.
const PAGE: i64 = 500;

const NOW: &str = "SELECT clock_timestamp()";
// Keyset pagination: one page by an index, from a cursor, and then one lookup for each of its rows, so a statement
// stays cheap however large the table is. (With a clock in the condition, or the lookups in it, all of the table might
// be read; and a lookup that is not scalar might read all of its table.) A later time than 9999 is damaged, and cannot be
// read by this program; the page must not end with it.
macro_rules! page {
    ($rows:literal, $id:literal, $at:literal, $is_of_use:literal) => {
        concat!(
            "SELECT m.",
            $at,
            " AS at, m.",
            $id,
            " AS id, ",
            $is_of_use,
            " AND (SELECT true FROM deliveries d WHERE d.message_id = m.",
            $id,
            ") IS NULL AND (SELECT true FROM parked_outbox_rows p WHERE p.id = m.",
            $id,
            ") IS NULL AS is_unfinished, (SELECT true FROM outbox o WHERE o.id = m.",
            $id,
            ") IS NOT NULL AS is_in_outbox, (SELECT missing_since FROM unfinished_messages u WHERE u.id = m.",
            $id,
            ") IS NOT NULL AS is_known FROM (SELECT * FROM ",
            $rows,
            " AND (",
            $at,
            ", ",
            $id,
            ") > ($1, $2) AND ",
            $at,
            " < '9999-01-01' ORDER BY ",
            $at,
            ", ",
            $id,
            " LIMIT $3) AS m ORDER BY m.",
            $at,
            ", m.",
            $id
        )
    };
}

const CODES: &str = page!(
    "codes WHERE sent_at IS NULL AND superseded_at IS NULL",
    "id",
    "deadline",
    "m.consumed_at IS NULL \
     AND (SELECT r.activated_at IS NULL AND r.closed_at IS NULL FROM registrations r WHERE r.id = m.registration_id)"
);
// A closed reset gets no mail: it must not reveal anything about the account any more.
const RESETS: &str =
    page!("resets WHERE sent_at IS NULL", "code_id", "deadline", "m.used_at IS NULL AND m.closed_at IS NULL");
const USERS: &str = page!("users WHERE true", "id", "activated_at", "true");
const CHANGES: &str = page!("password_changes WHERE true", "id", "changed_at", "true");
const DELETIONS: &str = page!("account_deletions WHERE true", "id", "deleted_at", "true");
const UNLOCKS: &str = page!("unlocks WHERE true", "id", "created_at", "true");

// Of valid codes only, because those that have expired cannot be mailed any more; counting stops at 10 000.
const LATE_CODES: &str = "SELECT count(*) FROM (\
    SELECT FROM codes c WHERE sent_at IS NULL AND superseded_at IS NULL AND deadline > now() \
    AND created_at <= now() - interval '30 s' AND (SELECT true FROM deliveries d WHERE d.message_id = c.id) IS NULL \
    AND (SELECT activated_at IS NULL AND closed_at IS NULL FROM registrations r WHERE r.id = registration_id) \
    UNION ALL SELECT FROM resets r WHERE sent_at IS NULL AND deadline > now() AND created_at <= now() - interval '30 s' \
    AND used_at IS NULL AND closed_at IS NULL AND (SELECT true FROM deliveries d WHERE d.message_id = r.code_id) IS NULL \
    LIMIT 10000) AS late";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[NOW, CODES, RESETS, USERS, CHANGES, DELETIONS, UNLOCKS, LATE_CODES];

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

/// The messages of one kind that no worker has finished, page by page.
pub(crate) struct Unfinished {
    kind: MailKind,
    after: Cursor,
}

/// A page of them. It may be empty.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) in_outbox: Vec<Message>,
    /// Neither in the outbox, nor stored as missing.
    pub(crate) published: Vec<Message>,
    /// Stored as missing.
    pub(crate) missing: Vec<Message>,
}

impl Unfinished {
    /// Those after this position.
    pub(crate) fn of(kind: MailKind, after: Cursor) -> Self {
        Self { kind, after }
    }

    /// Reads the next page; `None` after the last one.
    pub(crate) async fn next_page(&mut self, connection: &Connection) -> Result<Option<Page>, PgError> {
        let values: [&(dyn ToSql + Sync); 3] = [&self.after.at, &self.after.id, &PAGE];
        let rows = super::by_index(connection, super::rows(connection, statement(self.kind), &values)).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = Cursor { at: last.get("at"), id: last.get("id") };
        let mut page = Page::default();
        for row in rows.iter().filter(|row| row.get("is_unfinished")) {
            let messages = match (row.get("is_in_outbox"), row.get("is_known")) {
                (true, _) => &mut page.in_outbox,
                (false, true) => &mut page.missing,
                (false, false) => &mut page.published,
            };
            messages.push(Message { kind: self.kind, id: row.get("id") });
        }
        Ok(Some(page))
    }
}

/// The time of the database.
pub(crate) async fn now(connection: &Connection) -> Result<OffsetDateTime, PgError> {
    Ok(connection.query_one(NOW, &[]).await?.get(0))
}

/// The number of codes that no worker has finished 30 s after they were requested, up to 10 000.
pub(crate) async fn count_late_codes(connection: &Connection) -> Result<i64, PgError> {
    Ok(super::by_index(connection, super::rows(connection, LATE_CODES, &[])).await?[0].get(0))
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
