//! What happens when a password attempt cannot be reserved: it waits while too many others at its account are pending,
//! and the owner of a locked account is mailed a link.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc},
    time::{Instant, sleep, timeout_at},
};

use crate::{
    app::App,
    auth::{
        aborted_attempts::AbortedAttempt,
        unlock::{self, Target},
    },
    domain::policy::Scope,
    error::Error,
};

/// The number of queues. Accounts that share one only wait longer.
const QUEUES: usize = 1024;

/// How long an attempt waits.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// How often the attempt at the head of a queue is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How many aborted attempts may be queued: about two megabytes.
const MAX_ABORTED: usize = 4096;

/// The queues of password attempts.
pub(crate) struct AttemptQueues {
    /// Those that wait, by mailbox. Only the first of a queue asks the database, however many wait.
    waiting: Box<[Arc<Mutex<()>>]>,
    /// Those of aborted requests.
    pub(crate) aborted: mpsc::Sender<AbortedAttempt>,
}

/// Handles the refusals of one attempt, until it is reserved. To be dropped then, so that the next one can be tried.
#[derive(Default)]
pub(crate) struct Refusals {
    /// When the attempt has waited long enough.
    give_up_at: Option<Instant>,
    /// The head of the queue.
    turn: Option<OwnedMutexGuard<()>>,
}

impl AttemptQueues {
    /// Creates empty queues, and returns the end of that of aborted attempts.
    pub(crate) fn new() -> (Self, mpsc::Receiver<AbortedAttempt>) {
        let (aborted, receiver) = mpsc::channel(MAX_ABORTED);
        (Self { waiting: (0..QUEUES).map(|_| Arc::default()).collect(), aborted }, receiver)
    }

    /// Returns when this is the first waiting attempt of the mailbox.
    async fn wait(&self, mailbox: &[u8; 32]) -> OwnedMutexGuard<()> {
        let queue = usize::from(u16::from_be_bytes([mailbox[8], mailbox[9]])) % QUEUES;
        Arc::clone(&self.waiting[queue]).lock_owned().await
    }
}

impl Refusals {
    /// Returns once the attempt may be reserved again, because too many others were pending; or returns the error. The
    /// caller holds nothing that others wait for.
    pub(crate) async fn handle(&mut self, app: &App, target: &Target<'_>, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Overloaded) && self.wait(&app.attempt_queues, &target.keys.mailbox).await {
            return Ok(());
        }
        if is_of_account(&error)
            && let Err(error) = unlock::mail_link(app, target).await
        {
            tracing::warn!(error = %error, "unlock link not mailed");
        }
        Err(error)
    }

    /// Waits for the next try; `false` if the attempt has waited long enough.
    async fn wait(&mut self, queues: &AttemptQueues, mailbox: &[u8; 32]) -> bool {
        let give_up_at = *self.give_up_at.get_or_insert_with(|| Instant::now() + MAX_WAIT);
        if self.turn.is_some() {
            sleep(RETRY_INTERVAL).await;
            return Instant::now() < give_up_at;
        }
        self.turn = timeout_at(give_up_at, queues.wait(mailbox)).await.ok();
        self.turn.is_some()
    }
}

/// Whether the account refuses the attempt, so that its owner needs a link. An attacker can keep an account busy as well as
/// locked.
fn is_of_account(error: &Error) -> bool {
    match error {
        Error::Overloaded => true,
        Error::RateLimited(limit) => limit.scope == Scope::Account,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{email::EmailAddress, policy::RateLimited, subject_keys::tests::keys};

    #[tokio::test(start_paused = true)]
    async fn attempts_of_one_mailbox_are_tried_one_after_the_other() {
        let (queues, _) = AttemptQueues::new();
        let mut other = [0; 32];
        other[9] = 1;
        let first = queues.wait(&[0; 32]).await;
        let soon = || Instant::now() + Duration::from_secs(1);
        assert!(timeout_at(soon(), queues.wait(&[0; 32])).await.is_err());
        assert!(timeout_at(soon(), queues.wait(&other)).await.is_ok());
        drop(first);
        assert!(timeout_at(soon(), queues.wait(&[0; 32])).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_attempt_is_tried_again_for_three_seconds() {
        let (queues, began, mut refusals) = (AttemptQueues::new().0, Instant::now(), Refusals::default());
        let mut tries = 0;
        while refusals.wait(&queues, &[0; 32]).await {
            tries += 1;
            assert!(tries < 100 && began.elapsed() < MAX_WAIT);
        }
        assert_eq!((tries, began.elapsed()), (60, MAX_WAIT), "at once as the head of its queue, then every 50 ms");
    }

    #[tokio::test(start_paused = true)]
    async fn attempt_behind_another_waits_three_seconds() {
        let (queues, began, mut refusals) = (AttemptQueues::new().0, Instant::now(), Refusals::default());
        let _first = queues.wait(&[0; 32]).await;
        assert!(!refusals.wait(&queues, &[0; 32]).await);
        assert_eq!(began.elapsed(), MAX_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_overload_is_waited_for() {
        let (app, keys) = (crate::app::tests::app(), keys("ada@example.com", "203.0.113.7"));
        let email = &EmailAddress::parse("ada@example.com").unwrap();
        let target = Target { email, keys: &keys, traceparent: "" };
        let mut refusals = Refusals::default();
        let refused = refusals.handle(&app, &target, Error::Unauthenticated).await;
        assert!(matches!(refused, Err(Error::Unauthenticated)) && refusals.give_up_at.is_none());
        assert!(refusals.handle(&app, &target, Error::Overloaded).await.is_ok());
    }

    #[test]
    fn only_refusals_of_the_account_mail_a_link() {
        let limited = |scope| Error::RateLimited(RateLimited { scope, retry_after: time::Duration::MINUTE });
        assert!(is_of_account(&Error::Overloaded) && is_of_account(&limited(Scope::Account)));
        assert!(![limited(Scope::Network), limited(Scope::Address), Error::Unauthenticated].iter().any(is_of_account));
    }
}
