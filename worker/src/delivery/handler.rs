//! Handles one message: decides, builds the email, sends it over a pooled SMTP connection and records the outcome.
//!
//! A mail that could not be sent is not retried here: `consumer/ack` schedules the retry by publishing the message to a
//! retry queue, with the delay of [`retry_delay_seconds`].

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use futures_util::FutureExt;
use shared::amqp::topology::RETRY_SECONDS;
use shared::messages::Message;
use shared::telemetry::metrics::GaugeGuard;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    delivery::{
        message_builder::{BuildError, MessageBuilder},
        pending_records::PendingRecords,
    },
    domain::{
        decision::Decision,
        outcome::{Completion, Outcome},
    },
    health::WorkerHealth,
    smtp::{
        Email, SendOutcome,
        pool::{PooledConnection, SmtpPool},
    },
    store::{self, DeliveryRecord, Store},
};

/// The delay of a postponed message, in seconds; one of `RETRY_SECONDS`.
pub(crate) const POSTPONE_SECONDS: u32 = 5;

/// If an email waited longer than this for an SMTP connection, its facts are read again while it holds the connection,
/// because its code may have expired. Long enough that this one query takes little time compared to the wait.
const FACTS_MAX_AGE: Duration = Duration::from_millis(250);

/// How often the record of a mail that was not sent is retried before the message is postponed.
const MAX_RECORD_RETRIES: usize = 20;

/// How often it is noted that a message waits for an SMTP connection. Together with the slowest dialogue (205 s) this is less
/// than the default of `RESCUE_AFTER_SECONDS`.
const NOTE_INTERVAL: Duration = Duration::from_secs(30);

/// How often a message is retried that cannot be processed because of its row, or of a bug: for six minutes.
const MAX_RETRIES_AFTER_ERRORS: u32 = 9;

/// After so many errors that are caused by a row, a mail that was sent is recorded without its code.
const MAX_RECORD_ERRORS: u32 = 2;

/// Everything that is needed to deliver a message.
pub(crate) struct Handler {
    pub(crate) store: Store,
    /// Whether messages come from a broker, which may lose them.
    pub(crate) has_broker: bool,
    pub(crate) message_builder: MessageBuilder,
    /// Lock order: a task that holds an SMTP connection may wait for a Postgres connection, never the other way round,
    /// because there may be only one Postgres connection.
    pub(crate) smtp_pool: SmtpPool,
    pub(crate) pending_records: PendingRecords,
    pub(crate) health: Arc<WorkerHealth>,
}

impl Handler {
    /// Handles a message from the broker after this number of errors; one that cannot be parsed is parked.
    pub(crate) async fn handle_body(&self, body: &[u8], errors: u32, is_redelivered: bool) -> Outcome {
        match Message::from_json(body) {
            Ok(message) => {
                if is_redelivered {
                    // The worker that had it may have crashed without a note.
                    self.note_on_its_way(message).await;
                }
                let outcome = self.handle(message, errors).await;
                if outcome.is_given_back() {
                    self.note_on_its_way(message).await;
                }
                outcome
            }
            Err(reason) => {
                let outcome = Outcome::Park(reason);
                self.health.metrics.count_message(None, &outcome);
                outcome
            }
        }
    }

    /// Stores that a message is not lost, for the API. Without that the API might publish it once more; so a failure is no reason
    /// to wait.
    async fn note_on_its_way(&self, message: Message) {
        if !self.has_broker {
            return;
        }
        if let Err(error) = self.store.note_on_its_way(message).await {
            tracing::debug!(error = format!("{error:#}"), "cannot note that the message is on its way");
        }
    }

    /// Handles a message after this number of errors, and counts its outcome.
    pub(crate) async fn handle(&self, message: Message, errors: u32) -> Outcome {
        let metrics = &self.health.metrics;
        let _in_flight = GaugeGuard::new(&metrics.in_flight);
        // A panic is a bug in the worker; it must not abort the other messages in flight.
        let outcome = match AssertUnwindSafe(self.deliver(message)).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) if store::is_caused_by_a_row(&error) => {
                self.retry_or_give_up(message, errors, format!("{error:#}")).await
            }
            // Not caused by the message: it is retried for as long as it takes.
            Ok(Err(error)) => {
                metrics.postgres_errors.inc();
                Outcome::Postpone(format!("{error:#}"))
            }
            Err(_) => self.retry_or_give_up(message, errors, "panic; see the log above".to_owned()).await,
        };
        metrics.count_message(Some(message.kind), &outcome);
        outcome
    }

    /// Retries a message that cannot be processed, most likely because of its row, a limited number of times. Then its mail
    /// is undeliverable.
    async fn retry_or_give_up(&self, Message { id, .. }: Message, errors: u32, reason: String) -> Outcome {
        if errors < MAX_RETRIES_AFTER_ERRORS {
            return Outcome::RetryAfterError(reason);
        }
        tracing::error!(reason, "message cannot be processed; giving up");
        let record = DeliveryRecord::Undeliverable("the message could not be processed");
        self.record(id, record)
            .await
            .unwrap_or(Outcome::Park("it could not be processed, and that could not be recorded"))
    }

    async fn deliver(&self, message: Message) -> Result<Outcome> {
        shared::fault_points::point("worker-after-delivery");
        // Built before a connection is acquired, so that no SMTP connection is idle while Postgres is queried.
        let email = match self.build_email(message).await? {
            Ok(email) => email,
            Err(outcome) => return Ok(outcome),
        };
        let wait_started = Instant::now();
        let Some(connection) = self.acquire_connection(message).await else { return Ok(Outcome::Requeue) };
        if wait_started.elapsed() < FACTS_MAX_AGE {
            return self.send(message, &email, connection).await;
        }
        match self.build_email(message).await? {
            Ok(email) => self.send(message, &email, connection).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// Waits for an SMTP connection. While other mails take long, notes that this one is on its way.
    async fn acquire_connection(&self, message: Message) -> Option<PooledConnection<'_>> {
        let mut acquiring = pin!(self.smtp_pool.acquire());
        loop {
            tokio::select! {
                acquired = &mut acquiring => return acquired,
                () = tokio::time::sleep(NOTE_INTERVAL) => self.note_on_its_way(message).await,
            }
        }
    }

    /// Builds the email from the current facts. The inner `Err` is the outcome of a message that must not be sent.
    async fn build_email(&self, message: Message) -> Result<Result<Email, Outcome>> {
        let Some(facts) = self.store.load_facts(message).await? else {
            return self.record(message.id, DeliveryRecord::Dropped("gone")).await.map(Err);
        };
        match facts.decide() {
            Decision::AlreadyRecorded => return Ok(Err(Outcome::Completed(Completion::AlreadyRecorded))),
            Decision::Drop(reason) => {
                return self.record(message.id, DeliveryRecord::Dropped(reason)).await.map(Err);
            }
            Decision::Send => {}
        }
        match self.message_builder.build(message, &facts) {
            Ok(email) => Ok(Ok(email)),
            Err(BuildError::SecretsDiffer(reason)) => {
                // Another worker may have the secret, or this one after its next restart. If none has it before the
                // deadline, the code is dropped like any other that is too late.
                tracing::error!(reason, "CODE_SECRETS of this worker and of the API differ");
                Ok(Err(Outcome::Postpone(reason.to_owned())))
            }
            Err(BuildError::Permanent(error)) => {
                tracing::error!(error = format!("{error:#}"), "email could not be built");
                let record = DeliveryRecord::Undeliverable("the email could not be built");
                self.record(message.id, record).await.map(Err)
            }
        }
    }

    async fn send(&self, message: Message, email: &Email, mut connection: PooledConnection<'_>) -> Result<Outcome> {
        ensure!(!self.pending_records.any(), "the delivery of an earlier mail could not be recorded yet");
        let sent = connection.send(email).await;
        // Return the connection to the pool, so that the next email is sent while Postgres records this one.
        drop(connection);
        match sent {
            SendOutcome::Accepted => {
                shared::fault_points::point("worker-after-250");
                let record = if email.is_muted { DeliveryRecord::Muted } else { DeliveryRecord::Delivered };
                Ok(self.record_accepted(message, record).await)
            }
            SendOutcome::PermanentFailure(reason) => {
                self.record(message.id, DeliveryRecord::Undeliverable(&reason)).await
            }
            SendOutcome::TransientFailure(reason) => Ok(Outcome::Retry(reason)),
        }
    }

    /// Records that the mail was accepted; retries without limit, because a mail that was sent but not recorded would
    /// be sent again. A muted one must not differ from it. A caller that cannot wait drops the future.
    async fn record_accepted(&self, Message { kind, id }: Message, accepted: DeliveryRecord<'_>) -> Outcome {
        let age = match self.store.record(id, accepted).await {
            Ok(age) => age,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "mail sent but not recorded; retrying the record");
                self.health.metrics.postgres_errors.inc();
                let _pending = self.pending_records.add();
                self.record_in_the_end(id, accepted).await
            }
        };
        if let Some(age) = age {
            self.health.metrics.observe_delivery_age(kind, age);
        }
        completed(accepted)
    }

    /// Retries the record of a mail that was sent. If an error is caused by a row, most likely that of its code, the delivery is
    /// recorded without it: all other mails wait for the record.
    async fn record_in_the_end(&self, id: Uuid, accepted: DeliveryRecord<'_>) -> Option<Duration> {
        let mut errors_of_rows = 0;
        for delay in back_off().without_max_times().build() {
            tokio::time::sleep(delay).await;
            let recorded = if errors_of_rows < MAX_RECORD_ERRORS {
                self.store.record(id, accepted).await
            } else {
                self.store.record_without_code(id, accepted).await.map(|()| None)
            };
            match recorded {
                Ok(age) => return age,
                Err(error) => errors_of_rows += u32::from(store::is_caused_by_a_row(&error)),
            }
        }
        None
    }

    /// Records the outcome of a mail that was not sent; fails after a limited number of retries, and the message is
    /// postponed.
    async fn record(&self, id: Uuid, record: DeliveryRecord<'_>) -> Result<Outcome> {
        (|| self.store.record(id, record)).retry(back_off().with_max_times(MAX_RECORD_RETRIES)).await?;
        Ok(completed(record))
    }
}

/// Logs a recorded outcome. In log and metrics a muted mail is a delivered one: whether a reset code or an unlock link of
/// a muted mailbox is mailed would reveal that there is an account.
fn completed(record: DeliveryRecord<'_>) -> Outcome {
    shared::fault_points::point("worker-after-record");
    let shown = if record == DeliveryRecord::Muted { DeliveryRecord::Delivered } else { record };
    match shown {
        DeliveryRecord::Undeliverable(_) => tracing::warn!(outcome = ?shown, "outcome recorded"),
        DeliveryRecord::Delivered | DeliveryRecord::Muted | DeliveryRecord::Dropped(_) => {
            tracing::info!(outcome = ?shown, "outcome recorded");
        }
    }
    Outcome::Completed(match shown {
        DeliveryRecord::Delivered | DeliveryRecord::Muted => Completion::Delivered,
        DeliveryRecord::Dropped(reason) => Completion::Dropped(reason),
        DeliveryRecord::Undeliverable(_) => Completion::Undeliverable,
    })
}

fn back_off() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_delay(Duration::from_secs(2))
}

/// The backoff after a number of failed attempts: it grows with each attempt, then stays at the longest delay. The
/// code's deadline ends the retries.
pub(crate) fn retry_delay_seconds(attempts: u32) -> u32 {
    let longest = RETRY_SECONDS.len() - 1;
    RETRY_SECONDS[usize::try_from(attempts).unwrap_or(longest).min(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delay_grows_and_stays_at_the_maximum() {
        assert_eq!((0..6).map(retry_delay_seconds).collect::<Vec<_>>(), [1, 5, 15, 60, 60, 60]);
    }
}
