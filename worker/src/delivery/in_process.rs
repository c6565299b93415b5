//! Delivers messages without a broker: from the outbox to the mail server within one process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::messages::Envelope;
use shared::telemetry::traces::spans;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    delivery::handler::{Handler, POSTPONE_SECONDS, retry_delay_seconds},
    domain::outcome::Outcome,
};

/// A worker that receives messages by function call instead of from a queue.
pub struct InProcessDelivery {
    handler: Handler,
    /// The number of failed delivery attempts of each message that is not completed.
    attempts: Mutex<HashMap<Uuid, u32>>,
}

/// A message that is not completed: the caller must deliver it again after a delay.
#[derive(Debug)]
pub struct RetryLater {
    pub reason: String,
    pub retry_after: Duration,
}

impl InProcessDelivery {
    /// Creates a delivery that no message has used yet.
    pub(crate) fn new(handler: Handler) -> Self {
        Self { handler, attempts: Mutex::default() }
    }

    /// Makes one delivery attempt; `Ok` means that the outcome is recorded. May be called any number of times
    /// concurrently: the size of the SMTP connection pool limits how many mails are sent at the same time.
    pub async fn deliver(&self, envelope: Envelope) -> Result<(), RetryLater> {
        let message = envelope.message;
        let trace_span = spans::message(envelope.traceparent.as_deref());
        let log_span = tracing::info_span!(
            parent: &trace_span, "message", id = %message.id, trace = envelope.traceparent
        );
        let outcome = self.handler.handle(message).instrument(log_span).instrument(trace_span.clone()).await;
        outcome.mark_failure(&trace_span);
        let mut all_attempts = self.attempts();
        let (reason, delay_seconds) = match outcome {
            Outcome::Completed(_) => {
                all_attempts.remove(&message.id);
                return Ok(());
            }
            Outcome::Retry(reason) => {
                let attempts = all_attempts.entry(message.id).or_default();
                let delay_seconds = retry_delay_seconds(*attempts);
                *attempts = attempts.saturating_add(1);
                (reason, delay_seconds)
            }
            Outcome::Postpone(reason) => (reason, POSTPONE_SECONDS),
            Outcome::Park(reason) => (reason.to_owned(), retry_delay_seconds(u32::MAX)),
            Outcome::Requeue => ("this process is stopping".to_owned(), 0),
        };
        Err(RetryLater { reason, retry_after: Duration::from_secs(delay_seconds.into()) })
    }

    /// Closes the idle SMTP connections with QUIT.
    pub async fn close(&self) {
        self.handler.smtp_pool.close().await;
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Uuid, u32>> {
        // A panic while the lock is held leaves no partial update behind.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
