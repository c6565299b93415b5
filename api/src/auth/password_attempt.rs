//! Rate limit for password attempts.
//!
//! An attempt is reserved in a committed transaction *before* the password is verified, and settled afterwards. It is
//! pending in between, and no failure. If its request is aborted it becomes one, and so it does after 30 seconds, for
//! example after a crash (fail closed).

use futures_util::future::{try_join, try_join3};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::{
    app::App,
    auth::{
        aborted_attempts::AbortedAttempt,
        attempt_origin::{Lockouts, Origin, OriginFacts},
        audit,
    },
    domain::{
        policy::{MAX_CONSECUTIVE_FAILURES, RateLimited, Scope},
        rate_limit::{
            guess_escalation::GuessRecord,
            lockout::{LockoutRefusal, MAX_LOCK},
        },
        subject_keys::SubjectKeys,
    },
    error::Error,
    store::{
        Connection, PgError, guesses,
        lockouts::{self, known_networks},
        rate_limits::{self, LimitKind},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// How often an attempt is settled again if that fails, because it would be pending for 30 seconds otherwise.
const SETTLE_RETRIES: u32 = 3;

/// A reserved attempt. The caller must settle it exactly once, whatever happens: in a transaction of its own by
/// [`settle`](Self::settle) or [`settle_for_account`](Self::settle_for_account), in one of the caller by [`settle_in`](Self::settle_in) and then
/// [`ensure_settled`](Self::ensure_settled), or after a wrong password by [`fail`](Self::fail).
#[must_use = "an attempt that is not settled counts as a wrong password"]
pub(crate) struct PasswordAttempt<'k> {
    keys: &'k SubjectKeys,
    reservation: Reservation,
    is_settled: bool,
    /// Takes the attempt if it is dropped before it is settled.
    aborted: mpsc::Sender<AbortedAttempt>,
}

/// What the database knows of an attempt.
#[derive(Clone, Copy)]
pub(crate) struct Reservation {
    origin: Origin,
    reserved_at: OffsetDateTime,
}

/// How an attempt ended, other than with a wrong password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// The password was not verified, because of an overload.
    NotVerified,
    /// The password is that of a registration.
    Correct,
    /// The password is that of the account, and was not replaced while it was verified. Removes the failures of the
    /// origin of this attempt, whose network is known to the account from now on.
    CorrectForAccount,
}

/// Why an attempt is a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    WrongPassword,
    /// The request ended before the attempt was settled.
    Aborted,
}

/// What a reservation depends on.
pub(crate) struct AttemptLimits<'k> {
    origin: OriginFacts<'k>,
    /// The wrong passwords of the email address since the last right one.
    consecutive: GuessRecord,
    /// When wrong passwords were given in the network, at all email addresses; oldest first.
    network: Vec<OffsetDateTime>,
}

/// Why an attempt was not reserved.
pub(crate) enum Refusal {
    Limited(RateLimited),
    /// Too many attempts are pending.
    Busy,
}

impl<'k> AttemptLimits<'k> {
    /// The database's time when they were read.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.origin.lockouts.now
    }

    /// Reads what [`PasswordAttempt::reserve_in`] needs. The caller holds the lock of the mailbox.
    pub(crate) async fn read(connection: &Connection, keys: &'k SubjectKeys) -> Result<Self, PgError> {
        let (origin, ledger, ([network], _)) = try_join3(
            OriginFacts::read(connection, keys),
            guesses::read(connection, &keys.password_failures),
            rate_limits::times_used(connection, [(&keys.network, LimitKind::WrongPasswordsPerNetwork)]),
        )
        .await?;
        Ok(Self { origin, consecutive: ledger.record, network })
    }
}

impl<'k> PasswordAttempt<'k> {
    /// Reserves an attempt in a transaction of its own.
    pub(crate) async fn reserve(app: &App, keys: &'k SubjectKeys) -> Result<Self, Error> {
        let connection = app.store.connection().await?;
        let reading = AttemptLimits::read(&connection, keys);
        let (transaction, limits) =
            Transaction::begin(&connection, Commit::Asynchronous, &[&keys.mailbox], reading).await?;
        let mut writes = Writes::default();
        let attempt = Self::reserve_in(app, &mut writes, keys, limits)?;
        transaction.commit(writes).await?;
        Ok(attempt)
    }

    /// Reserves an attempt. The caller holds the lock of the mailbox, and commits `writes` before the password is
    /// verified.
    pub(crate) fn reserve_in<'w>(
        app: &App,
        writes: &mut Writes<'w>,
        keys: &'k SubjectKeys,
        limits: AttemptLimits<'k>,
    ) -> Result<Self, Refusal>
    where
        'k: 'w,
    {
        let reserved_at = limits.now();
        let AttemptLimits { origin: facts, consecutive, network } = limits;
        let (origin, lockouts) = facts.reserve().map_err(|refusal| match refusal {
            LockoutRefusal::Locked(retry_after) => Refusal::limited(Scope::Account, retry_after),
            LockoutRefusal::Busy => Refusal::Busy,
        })?;
        let failures = consecutive.wrong_at(reserved_at).saturating_add(lockouts.overdue);
        if origin == Origin::Unknown {
            // Were all pending attempts wrong, this one included, they would still be within the limit.
            if failures.saturating_add(lockouts.pending()) > MAX_CONSECUTIVE_FAILURES {
                return Err(Refusal::limited(Scope::Account, MAX_LOCK));
            }
            let checked = app.policy.wrong_passwords_per_network.check(&network, reserved_at);
            checked.map_err(|retry_after| Refusal::limited(Scope::Network, retry_after))?;
        }
        if lockouts.overdue > 0 {
            let consecutive = consecutive.with(lockouts.overdue, reserved_at);
            guesses::write(writes, &keys.password_failures, &consecutive, reserved_at);
        }
        lockouts.write(writes);
        let aborted = app.attempt_queues.aborted.clone();
        Ok(Self { keys, reservation: Reservation { origin, reserved_at }, is_settled: false, aborted })
    }

    /// Settles the attempt in a transaction of its own.
    pub(crate) async fn settle(self, app: &App, outcome: AttemptOutcome) -> Result<(), Error> {
        self.settle_with_retries(app, outcome, None).await
    }

    /// Settles the attempt in a transaction of its own: the password is that of the account, as it was read before the
    /// password was verified. One that was replaced meanwhile, for example by a reset, makes no network known.
    pub(crate) async fn settle_for_account(self, app: &App, verified: &User) -> Result<(), Error> {
        self.settle_with_retries(app, AttemptOutcome::CorrectForAccount, Some(verified)).await
    }

    async fn settle_with_retries(
        mut self,
        app: &App,
        outcome: AttemptOutcome,
        verified: Option<&User>,
    ) -> Result<(), Error> {
        let mut settled = self.settle_now(app, outcome, verified).await;
        for _ in 0..SETTLE_RETRIES {
            if !matches!(settled, Err(Error::Unavailable(_))) {
                break;
            }
            settled = self.settle_now(app, outcome, verified).await;
        }
        self.is_settled = true;
        settled
    }

    async fn settle_now(&self, app: &App, outcome: AttemptOutcome, verified: Option<&User>) -> Result<(), Error> {
        let connection = app.store.connection().await?;
        let is_replaced = async {
            let Some(verified) = verified else { return Ok(false) };
            let current = users::by_email(&connection, &verified.email).await?;
            Ok(current.is_none_or(|current| current.password_hash != verified.password_hash))
        };
        let reading = try_join(self.read_lockouts(&connection), is_replaced);
        let (transaction, (lockouts, is_replaced)) =
            Transaction::begin(&connection, Commit::Asynchronous, &[&self.keys.mailbox], reading).await?;
        let mut writes = Writes::default();
        self.settle_in(&mut writes, lockouts, if is_replaced { AttemptOutcome::Correct } else { outcome });
        transaction.commit(writes).await?;
        Ok(())
    }

    /// Reads what [`settle_in`](Self::settle_in) needs. The caller holds the lock of the mailbox.
    pub(crate) async fn read_lockouts(&self, connection: &Connection) -> Result<Lockouts<'k>, PgError> {
        Lockouts::read(connection, self.reservation.origin.lockouts(self.keys)).await
    }

    /// Settles the attempt in a transaction of the caller, who holds the lock of the mailbox, commits `writes`, and
    /// calls [`ensure_settled`](Self::ensure_settled) with the result.
    pub(crate) fn settle_in<'w>(&self, writes: &mut Writes<'w>, mut lockouts: Lockouts<'k>, outcome: AttemptOutcome)
    where
        'k: 'w,
    {
        lockouts.release(self.reservation.reserved_at);
        if outcome == AttemptOutcome::CorrectForAccount {
            // Not after the password of a registration: an attacker who has one of his own at this email address may
            // still be guessing that of the account.
            lockouts.clear_origin();
            guesses::delete(writes, &self.keys.password_failures);
            known_networks::add(writes, &self.keys.email, &self.keys.email_and_network, lockouts.now);
            if self.reservation.origin == Origin::UnlockedBrowser {
                // The network is known from now on, whatever was tried from there before.
                lockouts::delete(writes, &self.keys.email_and_network);
            }
        }
        lockouts.write(writes);
    }

    /// Settles the attempt if the transaction that should have settled it has failed, and returns the result of that
    /// transaction. The password was correct, so a retry of the client must not be locked out by the failure.
    pub(crate) async fn ensure_settled<T>(mut self, app: &App, result: Result<T, Error>) -> Result<T, Error> {
        let is_rolled_back = |error: &Error| {
            matches!(error, Error::Unavailable(_) | Error::Internal(_) | Error::NoSession | Error::Unauthenticated)
        };
        if result.as_ref().err().is_some_and(is_rolled_back) {
            // Best effort: this may fail for the same reason, and then the attempt becomes a failure. Nothing happens if
            // it is settled already.
            let _ = self.settle(app, AttemptOutcome::Correct).await;
        } else {
            self.is_settled = true;
        }
        result
    }

    /// Settles the attempt after a wrong password. The response must wait for it: a client that knows that a password
    /// is wrong has spent an attempt.
    pub(crate) async fn fail(mut self, app: &App) -> Result<(), Error> {
        self.reservation.fail(app, self.keys, Failure::WrongPassword).await?;
        self.is_settled = true;
        Ok(())
    }
}

impl Drop for PasswordAttempt<'_> {
    /// The client has disconnected, or the request timed out, before the attempt was settled.
    fn drop(&mut self) {
        if !self.is_settled {
            // If too many are queued, this one counts after 30 seconds, and only for the email address.
            let _ = self.aborted.try_send(AbortedAttempt::new(self.keys, self.reservation));
        }
    }
}

impl Reservation {
    /// Counts the attempt as a failure.
    pub(crate) async fn fail(self, app: &App, keys: &SubjectKeys, failure: Failure) -> Result<(), Error> {
        let Self { origin, reserved_at } = self;
        let connection = app.store.connection().await?;
        let reading = try_join3(
            Lockouts::read(&connection, origin.lockouts(keys)),
            guesses::read(&connection, &keys.password_failures),
            rate_limits::times_used(&connection, [(&keys.network, LimitKind::WrongPasswordsPerNetwork)]),
        );
        let (transaction, (mut lockouts, ledger, ([network], _))) =
            Transaction::begin(&connection, Commit::Asynchronous, &keys.locks(), reading).await?;
        // The transaction that reserved or settled an aborted attempt may have been rolled back or not.
        if failure == Failure::Aborted && !lockouts.has_pending(reserved_at) {
            return Ok(());
        }
        let now = lockouts.now;
        let begins_lock = lockouts.fail(reserved_at);
        let mut writes = Writes::default();
        lockouts.write(&mut writes);
        guesses::write(&mut writes, &keys.password_failures, &ledger.record.with(1, now), now);
        if origin == Origin::Unknown {
            let network = app.policy.wrong_passwords_per_network.with(&network, now);
            rate_limits::write(&mut writes, &keys.network, LimitKind::WrongPasswordsPerNetwork, network);
        }
        transaction.commit(writes).await?;
        match failure {
            Failure::WrongPassword => audit::wrong_password(keys),
            Failure::Aborted => audit::aborted_attempt(keys),
        }
        if begins_lock {
            audit::lock(keys);
        }
        Ok(())
    }
}

impl Refusal {
    fn limited(scope: Scope, retry_after: time::Duration) -> Self {
        Self::Limited(RateLimited { scope, retry_after })
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Limited(limit) => limit.into(),
            Refusal::Busy => Self::Overloaded,
        }
    }
}

/// Forgets the failures for an account that its owner has just entered by a code from the mailbox: the network of the
/// client is known to it from now on. The caller has locked the mailbox, and commits.
pub(crate) fn mark_network_known<'w>(writes: &mut Writes<'w>, keys: &'w SubjectKeys, now: OffsetDateTime) {
    lockouts::delete(writes, &keys.email_and_network);
    guesses::delete(writes, &keys.password_failures);
    known_networks::add(writes, &keys.email, &keys.email_and_network, now);
}

#[cfg(test)]
mod tests;
