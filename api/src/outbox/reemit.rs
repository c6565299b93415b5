//! Tells the world again what it may never have heard: for the day on which a queue was lost.

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
    unacknowledged::{self, Code, Codes, Events},
};

/// The worker mails no welcome that is older.
const WELCOME: Duration = Duration::DAY;

/// Nor a warning that is older.
const WARNING: Duration = Duration::WEEK;

/// So few that each statement is soon done, and that relays get on meanwhile.
const BATCH: i64 = 500;

pub(crate) struct Reemitted {
    /// Of registrations and of resets.
    pub(crate) codes: u64,
    pub(crate) welcomes: u64,
    /// That a password was changed.
    pub(crate) warnings: u64,
    /// Made with a key that is not here: nobody can tell which mail they want.
    pub(crate) unreadable: u64,
}

/// May be cut off anywhere, and run again: what is in the outbox already is left alone.
pub(crate) async fn run(store: &Store, ring: &CodeSecrets) -> Result<Reemitted> {
    let connection = store.connection().await?;
    let now = unacknowledged::now(&connection).await?;
    let registrations = codes(&connection, Codes::OfRegistrations, ring, now).await?;
    let resets = codes(&connection, Codes::OfResets, ring, now).await?;
    let (codes, unreadable) = (registrations.0 + resets.0, registrations.1 + resets.1);
    let welcomes = events(&connection, Events::CameIn, now - WELCOME).await?;
    let warnings = events(&connection, Events::PasswordChanged, now - WARNING).await?;
    Ok(Reemitted { codes, welcomes, warnings, unreadable })
}

/// Those that can still be typed: how many were written, and how many cannot be read.
async fn codes(connection: &Connection, of: Codes, ring: &CodeSecrets, now: OffsetDateTime) -> Result<(u64, u64)> {
    let (mut written, mut unreadable, mut last) = (0, 0, (now, Uuid::nil()));
    loop {
        let batch = unacknowledged::codes(connection, of, last, BATCH).await?;
        let Some(end) = batch.last() else { return Ok((written, unreadable)) };
        last = end.place;
        let mut messages = Vec::new();
        for code in batch.iter().filter(|code| code.is_lost) {
            let id = code.place.1;
            match kind(of, id, &code.about, ring) {
                Some(kind) => messages.push(Message { kind, id }),
                None => unreadable += 1,
            }
        }
        written += outbox::insert_again(connection, &messages).await?;
    }
}

async fn events(connection: &Connection, events: Events, since: OffsetDateTime) -> Result<u64> {
    let kind = if events == Events::CameIn { MailKind::Activated } else { MailKind::PasswordChanged };
    let (mut written, mut last) = (0, (since, Uuid::nil()));
    loop {
        let batch = unacknowledged::events(connection, events, last, BATCH).await?;
        let Some(end) = batch.last() else { return Ok(written) };
        last = end.place;
        let lost = batch.iter().filter(|event| event.is_lost);
        let messages: Vec<_> = lost.map(|event| Message { kind, id: event.place.1 }).collect();
        written += outbox::insert_again(connection, &messages).await?;
    }
}

/// A code's row does not say whom it is for: one that nobody can know says it by its hash.
fn kind(of: Codes, id: Uuid, code: &Code, ring: &CodeSecrets) -> Option<MailKind> {
    let (for_a_decoy, for_digits) = match of {
        Codes::OfRegistrations => (MailKind::AlreadyRegistered, MailKind::SendCode),
        Codes::OfResets => (MailKind::NoAccount, MailKind::ResetCode),
    };
    let key = ring.get(&code.key_id)?;
    if key.verifies(id, DECOY, &code.hash) {
        return Some(for_a_decoy);
    }
    let digits = key.digits(id, code.length);
    let is_one_of = |known: [&str; 2]| known.iter().any(|digits| key.verifies(id, digits, &code.hash));
    is_one_of([digits.expose_secret(), MUTED]).then_some(for_digits)
}
