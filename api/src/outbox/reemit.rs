//! The command `api outbox reemit`: writes lost messages to the outbox again, after a queue was lost. A message counts
//! as lost when no worker has finished it and the outbox does not hold it.

use anyhow::Result;
use secrecy::ExposeSecret;
use shared::{
    codes::{CodeSecrets, DECOY, MUTED},
    messages::{MailKind, Message},
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::store::{
    Connection, Store, outbox,
    unacknowledged::{self, CodeRow, CodeTable, Cursor, EventTable},
};

/// Older welcome mails are not sent by the worker.
const WELCOME_MAX_AGE: Duration = Duration::DAY;

/// Older warnings of a changed password are not sent by the worker.
const WARNING_MAX_AGE: Duration = Duration::WEEK;

/// Small enough that each statement is fast and relays make progress meanwhile.
const BATCH: i64 = 500;

/// How many messages were written, by kind.
pub(crate) struct Reemitted {
    /// Codes of registrations and of password resets.
    pub(crate) codes: u64,
    pub(crate) welcomes: u64,
    /// Warnings that a password was changed.
    pub(crate) warnings: u64,
    /// Codes made with a key that is not in `CODE_SECRETS`: which mail they need cannot be determined.
    pub(crate) unreadable: u64,
}

/// Writes all lost messages. Idempotent: it can be interrupted at any point and run again, and leaves messages that are
/// in the outbox unchanged.
pub(crate) async fn run(store: &Store, ring: &CodeSecrets) -> Result<Reemitted> {
    let connection = store.connection().await?;
    let now = unacknowledged::now(&connection).await?;
    let registrations = reemit_codes(&connection, CodeTable::Registrations, ring, now).await?;
    let resets = reemit_codes(&connection, CodeTable::Resets, ring, now).await?;
    Ok(Reemitted {
        codes: registrations.written + resets.written,
        welcomes: reemit_events(&connection, EventTable::Activations, now - WELCOME_MAX_AGE).await?,
        warnings: reemit_events(&connection, EventTable::PasswordChanges, now - WARNING_MAX_AGE).await?,
        unreadable: registrations.unreadable + resets.unreadable,
    })
}

#[derive(Default)]
struct CodeCounts {
    written: u64,
    unreadable: u64,
}

/// Writes the mails of lost codes whose deadline is still to come.
async fn reemit_codes(
    connection: &Connection,
    table: CodeTable,
    ring: &CodeSecrets,
    now: OffsetDateTime,
) -> Result<CodeCounts> {
    let mut counts = CodeCounts::default();
    let mut cursor = Cursor { at: now, id: Uuid::nil() };
    loop {
        let batch = unacknowledged::codes(connection, table, cursor, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(counts) };
        cursor = last.cursor;
        let mut messages = Vec::new();
        for code in batch.iter().filter(|code| code.is_lost) {
            let id = code.cursor.id;
            match mail_kind(table, id, &code.data, ring) {
                Some(kind) => messages.push(Message { kind, id }),
                None => counts.unreadable += 1,
            }
        }
        counts.written += outbox::insert_if_absent(connection, &messages).await?;
    }
}

/// Writes the mails of lost events since a time; returns how many.
async fn reemit_events(connection: &Connection, table: EventTable, since: OffsetDateTime) -> Result<u64> {
    let kind = match table {
        EventTable::Activations => MailKind::Activated,
        EventTable::PasswordChanges => MailKind::PasswordChanged,
    };
    let mut written = 0;
    let mut cursor = Cursor { at: since, id: Uuid::nil() };
    loop {
        let batch = unacknowledged::events(connection, table, cursor, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(written) };
        cursor = last.cursor;
        let lost = batch.iter().filter(|event| event.is_lost);
        let messages: Vec<_> = lost.map(|event| Message { kind, id: event.cursor.id }).collect();
        written += outbox::insert_if_absent(connection, &messages).await?;
    }
}

/// Which mail a code needs. The row does not say whether the code is a decoy; its hash does. `None` if the key is
/// unknown or the hash matches nothing that this key makes.
fn mail_kind(table: CodeTable, id: Uuid, code: &CodeRow, ring: &CodeSecrets) -> Option<MailKind> {
    let (kind_of_decoy, kind_of_code) = match table {
        CodeTable::Registrations => (MailKind::AlreadyRegistered, MailKind::SendCode),
        CodeTable::Resets => (MailKind::NoAccount, MailKind::ResetCode),
    };
    let key = ring.get(&code.key_id)?;
    if key.verifies(id, DECOY, &code.hash) {
        return Some(kind_of_decoy);
    }
    let digits = key.digits(id, code.length);
    let is_one_of = |known: [&str; 2]| known.iter().any(|digits| key.verifies(id, digits, &code.hash));
    is_one_of([digits.expose_secret(), MUTED]).then_some(kind_of_code)
}
