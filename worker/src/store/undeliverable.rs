//! SQL of undeliverable mails: list, find, requeue and drop mails that a mail server rejected permanently.

use anyhow::{Context, Result};
use shared::messages::{MailKind, MailQueue, Message};
use time::OffsetDateTime;
use tokio_postgres::{Row, error::SqlState};
use uuid::Uuid;

use super::{Store, facts_from_row};
use crate::domain::decision::Facts;

macro_rules! undeliverable_query {
    ($rest:literal) => {
        concat!(
            // The columns of the facts in the same order as in the other statements, but `recorded` is always false:
            // the question is whether the mail would be sent if its record were deleted.
            "SELECT COALESCE(r.email, s.email, u.email, a.email, k.email), false, clock_timestamp(), \
             COALESCE(c.deadline, s.deadline, p.changed_at, u.activated_at, a.deleted_at, k.created_at), \
             COALESCE(c.code_hash, s.code_hash), \
             COALESCE(c.key_id, s.key_id), COALESCE(c.length, s.length), COALESCE(c.ttl_seconds, s.ttl_seconds), \
             c.superseded_at IS NOT NULL OR s.used_at IS NOT NULL OR s.closed_at IS NOT NULL, \
             c.consumed_at IS NOT NULL OR r.activated_at IS NOT NULL OR r.closed_at IS NOT NULL, \
             CASE WHEN c.id IS NOT NULL THEN 'code' WHEN s.id IS NOT NULL THEN 'reset' \
             WHEN p.id IS NOT NULL THEN 'change' WHEN a.id IS NOT NULL THEN 'deletion' \
             WHEN k.id IS NOT NULL THEN 'unlock' ELSE 'user' END, \
             d.message_id, d.why, d.at, COALESCE(r.language, s.language, u.language, a.language, k.language) AS language, \
             k.is_muted \
             FROM deliveries d LEFT JOIN codes c ON c.id = d.message_id \
             LEFT JOIN registrations r ON r.id = c.registration_id LEFT JOIN resets s ON s.code_id = d.message_id \
             LEFT JOIN password_changes p ON p.id = d.message_id LEFT JOIN account_deletions a ON a.id = d.message_id \
             LEFT JOIN unlocks k ON k.id = d.message_id \
             LEFT JOIN users u ON u.id = COALESCE(p.user_id, d.message_id) WHERE d.outcome = 'undeliverable' ",
            $rest
        )
    };
}

const NEWEST: &str = undeliverable_query!("ORDER BY d.at DESC LIMIT $1");
const ONE: &str = undeliverable_query!("AND d.message_id = $1");
// Deletes the record and inserts the message into the outbox. If the outbox still has a row with this id, all of it
// fails: the relay that is about to delete that row would delete the new message with it.
const REQUEUE: &str = "WITH undone AS (DELETE FROM deliveries WHERE message_id = $1 AND outcome = 'undeliverable' \
    RETURNING message_id), seen AS (UPDATE unfinished_messages SET missing_since = NULL, seen_at = clock_timestamp() \
    WHERE id = $1) INSERT INTO outbox (id, message, is_notice) SELECT message_id, $2, $3 FROM undone";
const DROP: &str = "UPDATE deliveries SET outcome = 'dropped', why = 'by the operator' \
    WHERE message_id = $1 AND outcome = 'undeliverable'";

/// Every statement of this module.
pub(crate) const STATEMENTS: &[&str] = &[NEWEST, ONE, REQUEUE, DROP];

/// A mail that was rejected permanently, or could not be built.
pub(crate) struct UndeliverableMail {
    pub(crate) id: Uuid,
    pub(crate) reason: Option<String>,
    pub(crate) recorded_at: OffsetDateTime,
    /// `None` if the row that the mail refers to was deleted.
    pub(crate) facts: Option<Facts>,
    pub(crate) kind: MailKind,
}

/// The result of requeueing a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequeueResult {
    Requeued,
    /// A relay has not deleted the previous message about the mail from the outbox yet.
    StillInOutbox,
    /// The mail is not undeliverable any more: another operator requeued or dropped it.
    NotFound,
}

/// Returns the newest undeliverable mails, newest first.
pub(crate) async fn list_newest(store: &Store, limit: i64) -> Result<Vec<UndeliverableMail>> {
    let connection = store.connection().await?;
    let rows = connection.query(NEWEST, &[&limit]).await.context("cannot read undeliverable mails from Postgres")?;
    Ok(rows.iter().map(mail_from_row).collect())
}

/// Returns one undeliverable mail.
pub(crate) async fn find(store: &Store, id: Uuid) -> Result<Option<UndeliverableMail>> {
    let connection = store.connection().await?;
    let row = connection.query_opt(ONE, &[&id]).await.context("cannot read undeliverable mails from Postgres")?;
    Ok(row.as_ref().map(mail_from_row))
}

/// Deletes the record of the mail and inserts its message into the outbox, in one statement.
pub(crate) async fn requeue(store: &Store, message: Message) -> Result<RequeueResult> {
    let connection = store.connection().await?;
    let is_notice = message.kind.queue() == MailQueue::Notices;
    match connection.execute(REQUEUE, &[&message.id, &message.to_json(), &is_notice]).await {
        Ok(0) => Ok(RequeueResult::NotFound),
        Ok(_) => Ok(RequeueResult::Requeued),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(RequeueResult::StillInOutbox),
        Err(error) => Err(error).context("Postgres rejected the change; nothing was changed"),
    }
}

/// Records the mail as dropped by the operator; returns whether it was undeliverable.
pub(crate) async fn drop(store: &Store, id: Uuid) -> Result<bool> {
    let connection = store.connection().await?;
    let dropped =
        connection.execute(DROP, &[&id]).await.context("Postgres rejected the change; nothing was changed")?;
    Ok(dropped > 0)
}

fn mail_from_row(row: &Row) -> UndeliverableMail {
    let kind = match row.get(10) {
        "code" => MailKind::SendCode,
        "reset" => MailKind::ResetCode,
        "change" => MailKind::PasswordChanged,
        "deletion" => MailKind::AccountDeleted,
        "unlock" => MailKind::Unlock,
        _ => MailKind::Activated,
    };
    let exists = row.get::<_, Option<&str>>(0).is_some();
    UndeliverableMail {
        id: row.get(11),
        reason: row.get(12),
        recorded_at: row.get(13),
        facts: exists.then(|| facts_from_row(row, kind)),
        kind,
    }
}
