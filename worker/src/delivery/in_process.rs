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
    /// The failures of each message that is not completed.
    failures: Mutex<HashMap<Uuid, Failures>>,
}

/// How often the delivery of a message failed.
#[derive(Clone, Copy, Default)]
struct Failures {
    /// Because of the mail server.
    attempts: u32,
    /// Because the message could not be processed.
    errors: u32,
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
        Self { handler, failures: Mutex::default() }
    }

    /// Makes one delivery attempt; `Ok` means that the outcome is recorded. May be called any number of times
    /// concurrently: the size of the SMTP connection pool limits how many mails are sent at the same time.
    pub async fn deliver(&self, envelope: Envelope) -> Result<(), RetryLater> {
        let message = envelope.message;
        let trace_span = spans::message(envelope.traceparent.as_deref());
        let log_span = tracing::info_span!(
            parent: &trace_span, "message", id = %message.id, trace = envelope.traceparent
        );
        let Failures { errors, .. } = self.failures().get(&message.id).copied().unwrap_or_default();
        let outcome = self.handler.handle(message, errors).instrument(log_span).instrument(trace_span.clone()).await;
        outcome.mark_failure(&trace_span);
        let mut all_failures = self.failures();
        let (reason, delay_seconds) = match outcome {
            Outcome::Completed(_) => {
                all_failures.remove(&message.id);
                return Ok(());
            }
            Outcome::Retry(reason) => {
                let Failures { attempts, .. } = all_failures.entry(message.id).or_default();
                *attempts = attempts.saturating_add(1);
                (reason, retry_delay_seconds(*attempts - 1))
            }
            Outcome::RetryAfterError(reason) => {
                let Failures { errors, .. } = all_failures.entry(message.id).or_default();
                *errors = errors.saturating_add(1);
                (reason, retry_delay_seconds(*errors - 1))
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

    fn failures(&self) -> MutexGuard<'_, HashMap<Uuid, Failures>> {
        // A panic while the lock is held leaves no partial update behind.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
