//! Tells the world again what it may never have heard: for the day on which a queue was lost.

use anyhow::Result;
use secrecy::ExposeSecret;
use shared::{
    code::{DECOY, Ring},
    message::{Kind, Message},
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::store::{
    Connection, Store,
    lost::{self, Code},
    outbox,
};

/// The worker mails no welcome that is older.
const WELCOME: Duration = Duration::DAY;

/// So few that each statement is soon done, and that relays get on meanwhile.
const BATCH: i64 = 500;

pub(crate) struct Reemitted {
    pub(crate) codes: u64,
    pub(crate) welcomes: u64,
    /// Made with a key that is not here: nobody can tell which mail they want.
    pub(crate) unreadable: u64,
}

/// May be cut off anywhere, and run again: what is in the outbox already is left alone.
pub(crate) async fn run(store: &Store, ring: &Ring) -> Result<Reemitted> {
    let connection = store.connection().await?;
    let now = lost::now(&connection).await?;
    let (codes, unreadable) = codes(&connection, ring, now).await?;
    let welcomes = welcomes(&connection, now - WELCOME).await?;
    Ok(Reemitted { codes, welcomes, unreadable })
}

/// Those that can still be typed: how many were written, and how many cannot be read.
async fn codes(connection: &Connection, ring: &Ring, now: OffsetDateTime) -> Result<(u64, u64)> {
    let (mut written, mut unreadable, mut last) = (0, 0, (now, Uuid::nil()));
    loop {
        let batch = lost::codes(connection, last, BATCH).await?;
        let Some(end) = batch.last() else { return Ok((written, unreadable)) };
        last = end.place;
        let mut messages = Vec::new();
        for code in batch.iter().filter(|code| code.is_lost) {
            let id = code.place.1;
            match kind(id, &code.about, ring) {
                Some(kind) => messages.push(Message { kind, id }),
                None => unreadable += 1,
            }
        }
        written += outbox::insert_again(connection, &messages).await?;
    }
}

async fn welcomes(connection: &Connection, since: OffsetDateTime) -> Result<u64> {
    let (mut written, mut last) = (0, (since, Uuid::nil()));
    loop {
        let batch = lost::users(connection, last, BATCH).await?;
        let Some(end) = batch.last() else { return Ok(written) };
        last = end.place;
        let lost = batch.iter().filter(|user| user.is_lost);
        let messages: Vec<_> = lost.map(|user| Message { kind: Kind::Activated, id: user.place.1 }).collect();
        written += outbox::insert_again(connection, &messages).await?;
    }
}

/// A code's row does not say whom it is for: one that nobody can know says it by its hash.
fn kind(id: Uuid, code: &Code, ring: &Ring) -> Option<Kind> {
    let key = ring.get(&code.key_id)?;
    if key.verifies(id, DECOY, &code.hash) {
        return Some(Kind::AlreadyRegistered);
    }
    let digits = key.digits(id, code.length);
    key.verifies(id, digits.expose_secret(), &code.hash).then_some(Kind::SendCode)
}
