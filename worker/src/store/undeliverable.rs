//! The mails that a mail server refused for good, and what an operator makes of them.

use anyhow::{Context, Result};
use shared::messages::Message;
use time::OffsetDateTime;
use tokio_postgres::{Row, error::SqlState};
use uuid::Uuid;

use super::{About, Store, facts};
use crate::delivery::decision::Facts;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            // As the facts of a message stand in the other statements, but for its end being on record: it
            // is asked whether it may be undone.
            "SELECT COALESCE(r.email, s.email, u.email), false, clock_timestamp(), \
             COALESCE(c.deadline, s.deadline, p.changed_at, u.activated_at), COALESCE(c.code_hash, s.code_hash), \
             COALESCE(c.key_id, s.key_id), COALESCE(c.length, s.length), COALESCE(c.ttl_seconds, s.ttl_seconds), \
             c.superseded_at IS NOT NULL OR s.used_at IS NOT NULL OR s.closed_at IS NOT NULL, \
             c.consumed_at IS NOT NULL OR r.activated_at IS NOT NULL OR r.closed_at IS NOT NULL, \
             CASE WHEN c.id IS NOT NULL THEN 'code' WHEN s.id IS NOT NULL THEN 'reset' \
             WHEN p.id IS NOT NULL THEN 'change' ELSE 'user' END, \
             d.message_id, d.why, d.at, COALESCE(r.language, s.language, u.language) AS language \
             FROM deliveries d LEFT JOIN codes c ON c.id = d.message_id \
             LEFT JOIN registrations r ON r.id = c.registration_id LEFT JOIN resets s ON s.code_id = d.message_id \
             LEFT JOIN password_changes p ON p.id = d.message_id \
             LEFT JOIN users u ON u.id = COALESCE(p.user_id, d.message_id) WHERE d.outcome = 'undeliverable' ",
            $rest
        )
    };
}

const NEWEST: &str = select!("ORDER BY d.at DESC LIMIT $1");
const ONE: &str = select!("AND d.message_id = $1");
// A row that is in the outbox already makes all of it fail: the relay that is about to delete that row would
// take the new message with it.
const REQUEUE: &str = "WITH undone AS (DELETE FROM deliveries WHERE message_id = $1 AND outcome = 'undeliverable' \
    RETURNING message_id) INSERT INTO outbox (id, message) SELECT message_id, $2 FROM undone";
const DROP: &str = "UPDATE deliveries SET outcome = 'dropped', why = 'by the operator' \
    WHERE message_id = $1 AND outcome = 'undeliverable'";

pub(crate) const ALL: &[&str] = &[NEWEST, ONE, REQUEUE, DROP];

pub(crate) struct Undeliverable {
    pub(crate) id: Uuid,
    pub(crate) why: Option<String>,
    pub(crate) at: OffsetDateTime,
    /// `None` when what it speaks of is gone.
    pub(crate) facts: Option<Facts>,
    pub(crate) about: About,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requeued {
    Now,
    /// A relay has not taken the last message about it out of the outbox yet.
    NotYet,
    /// Somebody else was faster.
    Gone,
}

pub(crate) async fn newest(store: &Store, at_most: i64) -> Result<Vec<Undeliverable>> {
    let connection = store.connection().await?;
    let rows = connection.query(NEWEST, &[&at_most]).await.context("Postgres does not tell what is undeliverable")?;
    Ok(rows.iter().map(read).collect())
}

pub(crate) async fn one(store: &Store, id: Uuid) -> Result<Option<Undeliverable>> {
    let connection = store.connection().await?;
    let row = connection.query_opt(ONE, &[&id]).await.context("Postgres does not tell what is undeliverable")?;
    Ok(row.as_ref().map(read))
}

/// In one statement: the record goes, and the outbox has the message again.
pub(crate) async fn requeue(store: &Store, message: Message) -> Result<Requeued> {
    let connection = store.connection().await?;
    match connection.execute(REQUEUE, &[&message.id, &message.to_json()]).await {
        Ok(0) => Ok(Requeued::Gone),
        Ok(_) => Ok(Requeued::Now),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(Requeued::NotYet),
        Err(error) => Err(error).context("Postgres does not take it: nothing was changed"),
    }
}

/// Whether there was one.
pub(crate) async fn drop(store: &Store, id: Uuid) -> Result<bool> {
    let connection = store.connection().await?;
    let dropped = connection.execute(DROP, &[&id]).await.context("Postgres does not take it: nothing was changed")?;
    Ok(dropped > 0)
}

fn read(row: &Row) -> Undeliverable {
    let about = match row.get(10) {
        "code" => About::Code,
        "reset" => About::Reset,
        "change" => About::Change,
        _ => About::User,
    };
    let is_there = row.get::<_, Option<&str>>(0).is_some();
    Undeliverable {
        id: row.get(11),
        why: row.get(12),
        at: row.get(13),
        facts: is_there.then(|| facts(row, about)),
        about,
    }
}
