//! One message, from its bytes to its outcome.

use std::{panic::AssertUnwindSafe, time::Duration};

use amqp::topology::RETRY_SECONDS;
use anyhow::{Result, anyhow, ensure};
use backon::{ExponentialBuilder, Retryable};
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use shared::{
    code::{DECOY, Ring},
    message::{Kind, Message},
};
use uuid::Uuid;

use crate::{
    debts::Debts,
    judge::{Code, Facts, Verdict},
    mail::{self, Content, Outgoing, Sender},
    smtp::{Letter, Sent, Slot},
    store::{End, Store},
};

/// How long a message rests when something of ours is away; one of `RETRY_SECONDS`.
pub(crate) const POSTPONED_SECONDS: u32 = 5;

const NO_KEY: &str = "the code was made with a key that is not here";

/// What is to be done with a message that was worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its end is on record.
    Done,
    /// The mail server would not take it now: it may later, so later and later.
    Retry(String),
    /// Something of ours is away: as soon as that is back.
    Postpone(String),
    /// It can never succeed: a person has to look at it.
    Park(&'static str),
}

/// Why there is no letter.
enum Unwritten {
    OtherSecrets(&'static str),
    Impossible(anyhow::Error),
}

pub(crate) struct Handler {
    pub(crate) store: Store,
    pub(crate) ring: Ring,
    pub(crate) sender: Sender,
    pub(crate) public_url: String,
    pub(crate) debts: Debts,
}

impl Handler {
    pub(crate) async fn handle(&self, body: &[u8], slot: &mut Slot) -> Outcome {
        match Message::from_json(body) {
            Ok(message) => self.carry(message, slot).await,
            Err(why) => Outcome::Park(why),
        }
    }

    pub(crate) async fn carry(&self, message: Message, slot: &mut Slot) -> Outcome {
        // A panic is a bug of ours, and no reason to take the work of others down.
        match AssertUnwindSafe(self.work(message, slot)).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            // Nothing that fails in there is the message's fault: it comes back.
            Ok(Err(error)) => Outcome::Postpone(format!("{error:#}")),
            Err(_) => Outcome::Postpone("a panic, told above".to_owned()),
        }
    }

    async fn work(&self, message: Message, slot: &mut Slot) -> Result<Outcome> {
        failpoint::point("worker-after-delivery");
        let Some(facts) = self.store.facts(message).await? else {
            return self.end(message.id, End::Dropped("gone")).await;
        };
        match facts.judge() {
            Verdict::Recorded => return Ok(Outcome::Done),
            Verdict::Drop(why) => return self.end(message.id, End::Dropped(why)).await,
            Verdict::Send => {}
        }
        let letter = match self.compose(message, &facts) {
            Ok(letter) => letter,
            Err(Unwritten::OtherSecrets(why)) => {
                // Another worker may have the secret, or this one after its next start. If none has it
                // before the deadline, the code is dropped like any other that came too late.
                tracing::error!(why, "CODE_SECRETS of this worker and of the API differ");
                return Ok(Outcome::Postpone(why.to_owned()));
            }
            Err(Unwritten::Impossible(error)) => {
                tracing::error!(error = format!("{error:#}"), "a mail cannot be written");
                return self.end(message.id, End::Undeliverable("it cannot be written")).await;
            }
        };
        ensure!(!self.debts.any(), "what was mailed before cannot be put on record");
        match slot.send(&letter).await {
            Sent::Accepted => {
                failpoint::point("worker-after-250");
                Ok(self.record_delivery(message.id).await)
            }
            Sent::Never(why) => self.end(message.id, End::Undeliverable(&why)).await,
            Sent::Later(why) => Ok(Outcome::Retry(why)),
        }
    }

    fn compose(&self, message: Message, facts: &Facts) -> Result<Letter, Unwritten> {
        let digits;
        let content = match (message.kind, &facts.code) {
            (Kind::SendCode, Some(code)) => {
                digits = self.digits(message.id, code).map_err(Unwritten::OtherSecrets)?;
                Content::Code { digits: digits.expose_secret(), lifetime_seconds: facts.lifetime_seconds(code) }
            }
            (Kind::AlreadyRegistered, Some(code)) => {
                // Nothing of it is mailed; but if codes must wait for a secret, so must this, or the wait would
                // tell who has an account.
                self.check_key(message.id, code, DECOY).map_err(Unwritten::OtherSecrets)?;
                Content::AlreadyRegistered
            }
            (Kind::Activated, None) => Content::Activated,
            _ => return Err(Unwritten::Impossible(anyhow!("the facts are not those of such a message"))),
        };
        let mail = Outgoing { id: message.id, to: &facts.email, content };
        mail::render(&self.sender, &self.public_url, &mail, facts.now).map_err(Unwritten::Impossible)
    }

    fn digits(&self, id: Uuid, code: &Code) -> Result<SecretString, &'static str> {
        let key = self.ring.get(&code.key_id).ok_or(NO_KEY)?;
        let digits = key.digits(id, code.length);
        self.check_key(id, code, digits.expose_secret())?;
        Ok(digits)
    }

    fn check_key(&self, id: Uuid, code: &Code, digits: &str) -> Result<(), &'static str> {
        let key = self.ring.get(&code.key_id).ok_or(NO_KEY)?;
        if key.verifies(id, digits, &code.hash) { Ok(()) } else { Err("the key makes other digits") }
    }

    /// However long it takes: a mail that is out and not on record would go out again. Whoever cannot wait for
    /// it drops this.
    async fn record_delivery(&self, id: Uuid) -> Outcome {
        if let Err(error) = self.store.record(id, End::Delivered).await {
            tracing::warn!(error = format!("{error:#}"), "it is mailed, and cannot be put on record");
            let _debt = self.debts.owe();
            let again = backoff().without_max_times();
            let _ = (|| self.store.record(id, End::Delivered)).retry(again).await;
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
    failpoint::point("worker-after-record");
    match end {
        End::Undeliverable(_) => tracing::warn!(?end, "recorded"),
        End::Delivered | End::Dropped(_) => tracing::info!(?end, "recorded"),
    }
    Outcome::Done
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
