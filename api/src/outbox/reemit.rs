//! The command `api outbox reemit`: writes lost messages to the outbox again, after a queue was lost. A message counts
//! as lost when no worker has finished it and the outbox does not hold it.

use anyhow::Result;
use shared::messages::{MailKind, Message};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{
    Connection, Store, outbox,
    unacknowledged::{self, CodeTable, Cursor, EventTable, MessageRow},
};

/// Small enough that each statement is fast and relays make progress meanwhile.
const BATCH: i64 = 500;

/// How many messages were written, by kind.
pub(crate) struct Reemitted {
    /// Codes of registrations and of password resets.
    pub(crate) codes: u64,
    pub(crate) welcomes: u64,
    /// Warnings that a password was changed or an account deleted, and unlock links.
    pub(crate) warnings: u64,
}

/// Writes all lost messages. Idempotent: it can be interrupted at any point and run again, and leaves messages that are
/// in the outbox unchanged.
pub(crate) async fn run(store: &Store) -> Result<Reemitted> {
    let connection = store.connection().await?;
    let now = unacknowledged::now(&connection).await?;
    let mut codes = 0;
    for table in [CodeTable::Registrations, CodeTable::Resets] {
        codes += reemit_codes(&connection, table, now).await?;
    }
    let welcomes = reemit_events(&connection, EventTable::Activations, now).await?;
    let mut warnings = 0;
    for table in [EventTable::PasswordChanges, EventTable::AccountDeletions, EventTable::UnlockLinks] {
        warnings += reemit_events(&connection, table, now).await?;
    }
    Ok(Reemitted { codes, welcomes, warnings })
}

/// Writes the mails of lost codes whose deadline is still to come; returns how many.
async fn reemit_codes(connection: &Connection, table: CodeTable, now: OffsetDateTime) -> Result<u64> {
    let kind = match table {
        CodeTable::Registrations => MailKind::SendCode,
        CodeTable::Resets => MailKind::ResetCode,
    };
    let mut written = 0;
    let mut cursor = Cursor { at: now, id: Uuid::nil() };
    loop {
        let batch = unacknowledged::codes(connection, table, cursor, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(written) };
        cursor = last.cursor;
        written += outbox::insert_if_absent(connection, &lost(&batch, kind)).await?;
    }
}

/// Writes the mails of lost events that are still of use; returns how many.
async fn reemit_events(connection: &Connection, table: EventTable, now: OffsetDateTime) -> Result<u64> {
    let kind = match table {
        EventTable::Activations => MailKind::Activated,
        EventTable::PasswordChanges => MailKind::PasswordChanged,
        EventTable::AccountDeletions => MailKind::AccountDeleted,
        EventTable::UnlockLinks => MailKind::Unlock,
    };
    let mut written = 0;
    let mut cursor = Cursor { at: now - kind.max_age().unwrap_or_default(), id: Uuid::nil() };
    loop {
        let batch = unacknowledged::events(connection, table, cursor, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(written) };
        cursor = last.cursor;
        written += outbox::insert_if_absent(connection, &lost(&batch, kind)).await?;
    }
}

/// The messages of the rows that count as lost.
fn lost(batch: &[MessageRow], kind: MailKind) -> Vec<Message> {
    batch.iter().filter(|row| row.is_lost).map(|row| Message { kind, id: row.cursor.id }).collect()
}
