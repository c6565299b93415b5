//! Works on messages that come without a broker: the way from an outbox to a mail in one process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::telemetry::traces::spans;
use shared::{messages::Envelope, postgres::Pool};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    Config, WorkerHealth,
    delivery::{
        handler::{Handler, POSTPONED_SECONDS, pause_after},
        outcome::Outcome,
    },
};

pub struct InProcessDelivery {
    handler: Handler,
    /// How often each message that is still waiting was tried.
    attempts: Mutex<HashMap<Uuid, u32>>,
}

/// A message that is not over yet.
#[derive(Debug)]
pub struct RetryLater {
    pub why: String,
    pub after: Duration,
}

impl InProcessDelivery {
    pub fn new(config: Config, database: Pool, health: Arc<WorkerHealth>) -> Self {
        Self { handler: config.handler(database, health), attempts: Mutex::default() }
    }

    /// `Ok` means that its end is on record. There may be as many at once as the caller likes; those that are mailed
    /// at the same time are at most so many as there may be connections to the mail server.
    pub async fn carry(&self, envelope: Envelope) -> Result<(), RetryLater> {
        let message = envelope.message;
        let traced = spans::message(envelope.traceparent.as_deref());
        let span = tracing::info_span!(parent: &traced, "message", id = %message.id, trace = envelope.traceparent);
        let outcome = self.handler.carry(message).instrument(span).instrument(traced.clone()).await;
        outcome.tell(&traced);
        let mut attempts = self.attempts();
        let (why, seconds) = match outcome {
            Outcome::Done(_) => {
                attempts.remove(&message.id);
                return Ok(());
            }
            Outcome::Retry(why) => {
                let attempts = attempts.entry(message.id).or_default();
                let seconds = pause_after(*attempts);
                *attempts = attempts.saturating_add(1);
                (why, seconds)
            }
            Outcome::Postpone(why) => (why, POSTPONED_SECONDS),
            Outcome::Park(why) => (why.to_owned(), pause_after(u32::MAX)),
            Outcome::GiveBack => ("this process is about to end".to_owned(), 0),
        };
        Err(RetryLater { why, after: Duration::from_secs(seconds.into()) })
    }

    /// Says goodbye to the mail server.
    pub async fn close(&self) {
        self.handler.slots.close().await;
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        // Nothing is left half done under this lock.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
