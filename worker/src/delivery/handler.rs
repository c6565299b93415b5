//! One message, from its bytes to its outcome.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use backon::{ExponentialBuilder, Retryable};
use futures_util::FutureExt;
use shared::amqp::topology::RETRY_SECONDS;
use shared::messages::Message;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    delivery::{
        decision::Decision,
        message_builder::{BuildError, MessageBuilder},
        outcome::{Done, Outcome},
        pending_records::PendingRecords,
    },
    health::WorkerHealth,
    smtp::{
        Email, SendOutcome,
        pool::{PooledConnection, SmtpPool},
    },
    store::{End, Store},
};

/// How long a message rests when something of ours is away; one of `RETRY_SECONDS`.
pub(crate) const POSTPONED_SECONDS: u32 = 5;

/// How long a email may wait for a connection before its facts are read again, with the connection in hand: meanwhile
/// its code may have died. Long enough that this one round trip to Postgres is little beside the wait.
const FRESH: Duration = Duration::from_millis(250);

pub(crate) struct Handler {
    pub(crate) store: Store,
    pub(crate) composer: MessageBuilder,
    /// Whoever has one may ask for a connection to Postgres, but never the other way round: there may be only one.
    pub(crate) slots: SmtpPool,
    pub(crate) debts: PendingRecords,
    pub(crate) health: Arc<WorkerHealth>,
}

impl Handler {
    pub(crate) async fn handle(&self, body: &[u8]) -> Outcome {
        match Message::from_json(body) {
            Ok(message) => self.carry(message).await,
            Err(why) => {
                self.health.metrics.worked_on(None, &Outcome::Park(why));
                Outcome::Park(why)
            }
        }
    }

    pub(crate) async fn carry(&self, message: Message) -> Outcome {
        let metrics = &self.health.metrics;
        let _in_hand = metrics.in_hand.hold();
        // A panic is a bug of ours, and no reason to take the work of others down.
        let outcome = match AssertUnwindSafe(self.work(message)).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            // Nothing that fails in there is the message's fault: it comes back.
            Ok(Err(error)) => {
                metrics.postgres_errors.add(1);
                Outcome::Postpone(format!("{error:#}"))
            }
            Err(_) => Outcome::Postpone("a panic, told above".to_owned()),
        };
        metrics.worked_on(Some(message.kind), &outcome);
        outcome
    }

    async fn work(&self, message: Message) -> Result<Outcome> {
        shared::fault_points::point("worker-after-delivery");
        let email = match self.email(message).await? {
            Ok(email) => email,
            Err(outcome) => return Ok(outcome),
        };
        // Written first: a connection is for mailing, and does not wait until Postgres has answered.
        let asked = Instant::now();
        let Some(loan) = self.slots.borrow().await else { return Ok(Outcome::GiveBack) };
        if asked.elapsed() < FRESH {
            return self.mail(message, &email, loan).await;
        }
        match self.email(message).await? {
            Ok(email) => self.mail(message, &email, loan).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// What to mail, going by what is true now; or what else is to be done with the message.
    async fn email(&self, message: Message) -> Result<Result<Email, Outcome>> {
        let Some(facts) = self.store.facts(message).await? else {
            return self.end(message.id, End::Dropped("gone")).await.map(Err);
        };
        match facts.judge() {
            Decision::Recorded => return Ok(Err(Outcome::Done(Done::Before))),
            Decision::Drop(why) => return self.end(message.id, End::Dropped(why)).await.map(Err),
            Decision::Send => {}
        }
        match self.composer.compose(message, &facts) {
            Ok(email) => Ok(Ok(email)),
            Err(BuildError::OtherSecrets(why)) => {
                // Another worker may have the secret, or this one after its next start. If none has it
                // before the deadline, the code is dropped like any other that came too late.
                tracing::error!(why, "CODE_SECRETS of this worker and of the API differ");
                Ok(Err(Outcome::Postpone(why.to_owned())))
            }
            Err(BuildError::Impossible(error)) => {
                tracing::error!(error = format!("{error:#}"), "a mail cannot be written");
                self.end(message.id, End::Undeliverable("it cannot be written")).await.map(Err)
            }
        }
    }

    async fn mail(&self, message: Message, email: &Email, mut loan: PooledConnection<'_>) -> Result<Outcome> {
        ensure!(!self.debts.any(), "what was mailed before cannot be put on record");
        let sent = loan.send(email).await;
        // The next email goes out while Postgres puts this one on record.
        drop(loan);
        match sent {
            SendOutcome::Accepted if email.is_muted => self.end(message.id, End::Muted).await,
            SendOutcome::Accepted => {
                shared::fault_points::point("worker-after-250");
                Ok(self.record_delivery(message).await)
            }
            SendOutcome::Never(why) => self.end(message.id, End::Undeliverable(&why)).await,
            SendOutcome::RetryLater(why) => Ok(Outcome::Retry(why)),
        }
    }

    /// However long it takes: a mail that is out and not on record would go out again. Whoever cannot wait for
    /// it drops this.
    async fn record_delivery(&self, Message { kind, id }: Message) -> Outcome {
        let record = || self.store.record(id, End::Delivered);
        let recording = record().await;
        let age = match recording {
            Ok(age) => age,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "it is mailed, and cannot be put on record");
                self.health.metrics.postgres_errors.add(1);
                let _debt = self.debts.owe();
                record.retry(backoff().without_max_times()).await.unwrap_or_default()
            }
        };
        if let Some(age) = age {
            self.health.metrics.delivered(kind, age);
        }
        recorded(End::Delivered)
    }

    /// What did not go out is given back when it cannot be recorded soon.
    async fn end(&self, id: Uuid, end: End<'_>) -> Result<Outcome> {
        (|| self.store.record(id, end)).retry(backoff().with_max_times(20)).await?;
        Ok(recorded(end))
    }
}

fn recorded(end: End<'_>) -> Outcome {
    shared::fault_points::point("worker-after-record");
    match end {
        End::Undeliverable(_) => tracing::warn!(?end, "recorded"),
        End::Delivered | End::Muted | End::Dropped(_) => tracing::info!(?end, "recorded"),
    }
    Outcome::Done(match end {
        End::Delivered => Done::Delivered,
        End::Muted => Done::Dropped("muted"),
        End::Dropped(why) => Done::Dropped(why),
        End::Undeliverable(_) => Done::Undeliverable,
    })
}

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_delay(Duration::from_secs(2))
}

/// Longer with each attempt, then the longest again and again: what ends it is the code's deadline.
pub(crate) fn pause_after(attempts: u32) -> u32 {
    let longest = RETRY_SECONDS.len() - 1;
    RETRY_SECONDS[usize::try_from(attempts).unwrap_or(longest).min(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_long() {
        assert_eq!((0..6).map(pause_after).collect::<Vec<_>>(), [1, 5, 15, 60, 60, 60]);
    }
}
