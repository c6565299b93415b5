//! Rate limit for password attempts.
//!
//! An attempt is reserved as a failure in a committed transaction *before* the password is verified, and settled
//! afterwards. A crash in between leaves the failure on record (fail closed).

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::audit,
    domain::{
        policy::{Policy, RateLimited, Scope, WRONG_PASSWORDS_PER_ADDRESS, WRONG_PASSWORDS_PER_ADDRESS_AND_NETWORK},
        rate_limit::lockout::{CODE_REQUEST_TTL, KNOWN_NETWORK_TTL, Lockout},
        subject_keys::SubjectKeys,
    },
    error::Error,
    store::{
        Connection, PgError, lockouts,
        rate_limits::{self, LimitKind},
        transaction::{Commit, Transaction, Writes},
    },
};

/// A reserved attempt. The caller must settle it exactly once, whatever happens: in a transaction of its own by
/// [`settle`](Self::settle), or in one of the caller by [`settle_in`](Self::settle_in) and then
/// [`ensure_settled`](Self::ensure_settled). After a wrong password it [is kept as a failure](Self::keep_as_failure).
#[must_use = "an attempt that is not settled counts as a wrong password"]
pub(crate) struct PasswordAttempt<'k> {
    keys: &'k SubjectKeys,
    reserved_at: OffsetDateTime,
    /// Whether the client's network is known for the email address, by an earlier login or a requested code. If so,
    /// the failure counts only for this email address in this network: not for the email address in all networks, nor
    /// for the network at all email addresses.
    network_is_known: bool,
    /// Whether the failure begins a lockout, unless it is removed.
    begins_lock: bool,
    /// Whether the reservation is committed and not settled yet.
    is_pending: bool,
}

/// How an attempt ended, other than with a wrong password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// The password was not verified, because of an overload. Removes the failure of this attempt.
    NotVerified,
    /// The password is that of a registration. Removes the failure of this attempt.
    Correct,
    /// The password is that of the account. Removes the failure of this attempt, and all at this email address from
    /// this network, which is known for it from now on.
    CorrectForAccount,
}

/// The failed attempts that count against a request, by its subject keys.
pub(crate) struct FailedAttempts {
    email: Lockout,
    email_and_network: Lockout,
    /// Of the network at all email addresses, oldest first.
    network: Vec<OffsetDateTime>,
    /// The database's time when they were read.
    pub(crate) now: OffsetDateTime,
}

/// What a reservation depends on.
pub(crate) struct AttemptLimits {
    failed: FailedAttempts,
    network_is_known: bool,
}

impl FailedAttempts {
    /// Reads what [`PasswordAttempt::settle_in`] needs. The caller holds the locks of the keys.
    pub(crate) async fn read(connection: &Connection, keys: &SubjectKeys) -> Result<Self, PgError> {
        let (([email_and_network, email], now), ([network], _)) = try_join(
            lockouts::read(connection, [&keys.email_and_network, &keys.email]),
            rate_limits::times_used(connection, [(&keys.network, LimitKind::WrongPasswordsPerNetwork)]),
        )
        .await?;
        Ok(Self { email, email_and_network, network, now })
    }
}

impl AttemptLimits {
    /// The database's time when they were read.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.failed.now
    }

    /// Reads what [`PasswordAttempt::reserve_in`] needs. The caller holds the locks of the keys.
    pub(crate) async fn read(connection: &Connection, keys: &SubjectKeys) -> Result<Self, PgError> {
        let key = &keys.email_and_network;
        let known_by = [(key, LimitKind::LastLogin), (key, LimitKind::CodesPerNetwork)];
        let (([logins, codes], now), failed) =
            try_join(rate_limits::times_used(connection, known_by), FailedAttempts::read(connection, keys)).await?;
        // A network that requested a code for this email address within a day is known as well, so that failures from
        // other networks do not lock it out. There can be only as many such networks as an email address gets codes.
        let network_is_known = logins.last().is_some_and(|&last| now < last + KNOWN_NETWORK_TTL)
            || codes.last().is_some_and(|&last| now < last + CODE_REQUEST_TTL);
        Ok(Self { failed, network_is_known })
    }
}

impl<'k> PasswordAttempt<'k> {
    /// Reserves an attempt in a transaction of its own, or returns how long the client has to wait.
    pub(crate) async fn reserve(app: &App, keys: &'k SubjectKeys) -> Result<Self, Error> {
        let connection = app.store.connection().await?;
        let reading = AttemptLimits::read(&connection, keys);
        let (transaction, limits) =
            Transaction::begin(&connection, Commit::Asynchronous, &keys.locks(), reading).await?;
        let mut writes = Writes::default();
        let attempt = Self::reserve_in(&app.policy, &mut writes, keys, limits)?;
        transaction.commit(writes).await?;
        Ok(attempt.committed())
    }

    /// Reserves an attempt, or returns how long the client has to wait. The caller holds the locks of the keys, commits
    /// `writes` before the password is verified, and then calls [`committed`](Self::committed).
    pub(crate) fn reserve_in<'w>(
        policy: &Policy,
        writes: &mut Writes<'w>,
        keys: &'k SubjectKeys,
        limits: AttemptLimits,
    ) -> Result<Self, RateLimited>
    where
        'k: 'w,
    {
        let AttemptLimits { failed, network_is_known } = limits;
        let FailedAttempts { mut email, mut email_and_network, network, now } = failed;
        let locked_out = |retry_after| RateLimited { scope: Scope::Account, retry_after };
        email_and_network.reserve(WRONG_PASSWORDS_PER_ADDRESS_AND_NETWORK, now).map_err(locked_out)?;
        let mut begins_lock = email_and_network.is_locked(now);
        lockouts::write(writes, &keys.email_and_network, email_and_network);
        if !network_is_known {
            email.reserve(WRONG_PASSWORDS_PER_ADDRESS, now).map_err(locked_out)?;
            begins_lock |= email.is_locked(now);
            lockouts::write(writes, &keys.email, email);
            let network_limit = &policy.wrong_passwords_per_network;
            let rate_limited = |retry_after| RateLimited { scope: Scope::Network, retry_after };
            network_limit.check(&network, now).map_err(rate_limited)?;
            let network = network_limit.with(&network, now);
            rate_limits::write(writes, &keys.network, LimitKind::WrongPasswordsPerNetwork, network);
        }
        Ok(Self { keys, reserved_at: now, network_is_known, begins_lock, is_pending: false })
    }

    /// Notes that the reservation is committed: from now on an attempt that is dropped counts as a wrong password.
    pub(crate) fn committed(mut self) -> Self {
        self.is_pending = true;
        self
    }

    /// Settles the attempt in a transaction of its own.
    pub(crate) async fn settle(mut self, app: &App, outcome: AttemptOutcome) -> Result<(), Error> {
        self.is_pending = false;
        let connection = app.store.connection().await?;
        let reading = FailedAttempts::read(&connection, self.keys);
        let (transaction, failed) =
            Transaction::begin(&connection, Commit::Asynchronous, &self.keys.locks(), reading).await?;
        let mut writes = Writes::default();
        self.settle_in(&mut writes, failed, outcome);
        transaction.commit(writes).await?;
        Ok(())
    }

    /// Settles the attempt in a transaction of the caller, who holds the locks of the keys, commits `writes`, and calls
    /// [`ensure_settled`](Self::ensure_settled) with the result.
    pub(crate) fn settle_in<'w>(&self, writes: &mut Writes<'w>, failed: FailedAttempts, outcome: AttemptOutcome)
    where
        'k: 'w,
    {
        let keys = self.keys;
        let FailedAttempts { mut email, mut email_and_network, mut network, now } = failed;
        match outcome {
            // Only its own failure is removed: an attacker who knows the password of a registration of his own at this
            // email address may still be guessing that of the account.
            AttemptOutcome::NotVerified | AttemptOutcome::Correct => {
                email_and_network.release(WRONG_PASSWORDS_PER_ADDRESS_AND_NETWORK, self.reserved_at);
                lockouts::write(writes, &keys.email_and_network, email_and_network);
            }
            AttemptOutcome::CorrectForAccount => mark_network_known(writes, keys, now),
        }
        if !self.network_is_known {
            email.release(WRONG_PASSWORDS_PER_ADDRESS, self.reserved_at);
            lockouts::write(writes, &keys.email, email);
            network.retain(|&at| at != self.reserved_at);
            rate_limits::write(writes, &keys.network, LimitKind::WrongPasswordsPerNetwork, network);
        }
    }

    /// Settles the attempt if the transaction that should have settled it has failed, and returns the result of that
    /// transaction. The password was correct, so a retry of the client must not be locked out by the failure.
    pub(crate) async fn ensure_settled<T>(mut self, app: &App, result: Result<T, Error>) -> Result<T, Error> {
        self.is_pending = false;
        if matches!(result, Err(Error::Unavailable(_) | Error::Internal(_))) {
            // Best effort: this is likely to fail for the same reason. Nothing happens if the attempt is settled
            // already.
            let _ = self.settle(app, AttemptOutcome::Correct).await;
        }
        result
    }

    /// Settles the attempt after a wrong password: the failure that was reserved stays.
    pub(crate) fn keep_as_failure(mut self) {
        self.is_pending = false;
        audit::wrong_password(self.keys);
        if self.begins_lock {
            audit::lock(self.keys);
        }
    }
}

impl Drop for PasswordAttempt<'_> {
    /// The client has disconnected, or the request timed out, before the attempt was settled: the failure stays.
    fn drop(&mut self) {
        if self.is_pending {
            audit::aborted_attempt(self.keys);
            if self.begins_lock {
                audit::lock(self.keys);
            }
        }
    }
}

/// Deletes the failed attempts at this email address from this network, and marks the network as known for it.
/// The caller has locked the email address, and commits.
pub(crate) fn mark_network_known<'w>(writes: &mut Writes<'w>, keys: &'w SubjectKeys, now: OffsetDateTime) {
    lockouts::delete(writes, &keys.email_and_network);
    rate_limits::write(writes, &keys.email_and_network, LimitKind::LastLogin, vec![now]);
}
