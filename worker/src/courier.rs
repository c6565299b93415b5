//! Works on messages that come without a broker: the way from an outbox to a mail in one process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{message::Envelope, postgres::Pool};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    Config,
    handle::{Handler, Outcome, POSTPONED_SECONDS, pause_after},
    smtp::{Slot, server::Server},
};

pub struct Courier {
    handler: Handler,
    server: Arc<Server>,
    rest: Mutex<Rest>,
}

/// What is kept between two messages.
#[derive(Default)]
struct Rest {
    slots: Vec<Slot>,
    /// How often each message that is still waiting was tried.
    attempts: HashMap<Uuid, u32>,
}

/// A message that is not over yet.
#[derive(Debug)]
pub struct Later {
    pub why: String,
    pub after: Duration,
}

impl Courier {
    pub fn new(config: Config, database: Pool) -> Self {
        Self { server: Arc::clone(&config.server), handler: config.handler(database), rest: Mutex::default() }
    }

    /// `Ok` means that its end is on record. There may be as many at once as the caller likes: each has a
    /// connection to the mail server.
    pub async fn carry(&self, envelope: Envelope) -> Result<(), Later> {
        let message = envelope.message;
        let span = tracing::info_span!("message", id = %message.id, trace = envelope.traceparent);
        let mut slot = self.rest().slots.pop().unwrap_or_else(|| Slot::new(Arc::clone(&self.server)));
        let outcome = self.handler.carry(message, &mut slot).instrument(span).await;
        let mut rest = self.rest();
        rest.slots.push(slot);
        let (why, seconds) = match outcome {
            Outcome::Done => {
                rest.attempts.remove(&message.id);
                return Ok(());
            }
            Outcome::Retry(why) => {
                let attempts = rest.attempts.entry(message.id).or_default();
                let seconds = pause_after(*attempts);
                *attempts = attempts.saturating_add(1);
                (why, seconds)
            }
            Outcome::Postpone(why) => (why, POSTPONED_SECONDS),
            Outcome::Park(why) => (why.to_owned(), pause_after(u32::MAX)),
        };
        Err(Later { why, after: Duration::from_secs(seconds.into()) })
    }

    /// Says goodbye to the mail server.
    pub async fn close(&self) {
        let mut slots = std::mem::take(&mut self.rest().slots);
        futures_util::future::join_all(slots.iter_mut().map(Slot::close)).await;
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        // Nothing is left half done under this lock.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
