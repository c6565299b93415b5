//! The right to have a password looked at: taken as a failure before, given back when it was right.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::subject_keys::SubjectKeys,
    domain::{
        policy::{Policy, RateLimited, Scope, WRONG_PASSWORDS, WRONG_PASSWORDS_HERE},
        rate_limit::lockout::{ASKED_FOR_A_CODE, Lockout, REMEMBERED},
    },
    error::Error,
    store::{
        Connection, PgError, lockouts,
        rate_limits::{self, LimitKind},
        transaction::{Commit, Transaction, Writes},
    },
};

/// What was taken.
pub(crate) struct PasswordAttempt {
    /// Whether it counts for all networks together, and for this one at all addresses: not where there is a way in.
    everywhere: bool,
    at: OffsetDateTime,
}

/// How a attempt ended, if not with a wrong password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    /// The password was never looked at.
    Untried,
    /// It opens a registration.
    Right,
    /// It opens an account.
    LetIn,
}

/// What failed here, and everywhere, and from this network at whatever address, until now.
pub(crate) struct Failed {
    here: Lockout,
    everywhere: Lockout,
    from: Vec<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

/// The same, and whether this network has a way in of its own.
pub(crate) struct Before {
    failed: Failed,
    known: bool,
}

/// `begin`, in a transaction of its own.
pub(crate) async fn take(app: &App, keys: &SubjectKeys) -> Result<PasswordAttempt, Error> {
    let connection = app.store.connection().await?;
    let reading = before(&connection, keys);
    let (transaction, before) = Transaction::begin(&connection, Commit::Soon, &keys.locks(), reading).await?;
    let mut writes = Writes::default();
    let attempt = begin(&app.policy, &mut writes, keys, before)?;
    transaction.commit(writes).await?;
    Ok(attempt)
}

/// `end`, in a transaction of its own.
pub(crate) async fn settle(
    app: &App,
    keys: &SubjectKeys,
    attempt: &PasswordAttempt,
    ending: AttemptOutcome,
) -> Result<(), Error> {
    let connection = app.store.connection().await?;
    let reading = failed(&connection, keys);
    let (transaction, failed) = Transaction::begin(&connection, Commit::Soon, &keys.locks(), reading).await?;
    let mut writes = Writes::default();
    end(&mut writes, keys, failed, attempt, ending);
    transaction.commit(writes).await?;
    Ok(())
}

/// The password was right, and what should have put that on record as well has failed: whoever comes again must
/// not be locked out by it.
pub(crate) async fn settle_after<T>(
    app: &App,
    keys: &SubjectKeys,
    attempt: &PasswordAttempt,
    outcome: &Result<T, Error>,
) {
    if matches!(outcome, Err(Error::Unavailable(_) | Error::Internal(_))) {
        // Most likely it fails for the same reason. What was given back before is not given back again.
        let _ = settle(app, keys, attempt, AttemptOutcome::Right).await;
    }
}

pub(crate) async fn before(connection: &Connection, keys: &SubjectKeys) -> Result<Before, PgError> {
    let asked = [(&keys.email_and_network, LimitKind::LetIn), (&keys.email_and_network, LimitKind::CodesFrom)];
    let (([let_in, codes], now), failed) =
        try_join(rate_limits::used(connection, asked), failed(connection, keys)).await?;
    // Who asked for a code from here today is not held up by what others do, either: there can be only as
    // many such networks as an address has codes.
    let known = let_in.last().is_some_and(|&last| now < last + REMEMBERED)
        || codes.last().is_some_and(|&last| now < last + ASKED_FOR_A_CODE);
    Ok(Before { failed, known })
}

pub(crate) async fn failed(connection: &Connection, keys: &SubjectKeys) -> Result<Failed, PgError> {
    let (([here, everywhere], now), ([from], _)) = try_join(
        lockouts::read(connection, [&keys.email_and_network, &keys.email]),
        rate_limits::used(connection, [(&keys.network, LimitKind::WrongPasswordsFrom)]),
    )
    .await?;
    Ok(Failed { here, everywhere, from, now })
}

/// The caller has taken the locks, and commits.
pub(crate) fn begin<'a>(
    policy: &Policy,
    writes: &mut Writes<'a>,
    keys: &'a SubjectKeys,
    before: Before,
) -> Result<PasswordAttempt, Error> {
    let Before { failed: Failed { mut here, mut everywhere, from, now }, known } = before;
    let locked = |retry_after| RateLimited { scope: Scope::Account, retry_after };
    here.reserve(WRONG_PASSWORDS_HERE, now).map_err(locked)?;
    lockouts::write(writes, &keys.email_and_network, here);
    if !known {
        everywhere.reserve(WRONG_PASSWORDS, now).map_err(locked)?;
        lockouts::write(writes, &keys.email, everywhere);
        let share = &policy.wrong_passwords_from;
        share.check(&from, now).map_err(|retry_after| RateLimited { scope: Scope::Network, retry_after })?;
        rate_limits::set(writes, &keys.network, LimitKind::WrongPasswordsFrom, share.with(&from, now));
    }
    Ok(PasswordAttempt { everywhere: !known, at: now })
}

/// Somebody came in from here. The caller has locked the address, and commits.
pub(crate) fn let_in<'a>(writes: &mut Writes<'a>, keys: &'a SubjectKeys, now: OffsetDateTime) {
    lockouts::forget(writes, &keys.email_and_network);
    rate_limits::set(writes, &keys.email_and_network, LimitKind::LetIn, vec![now]);
}

/// The caller has taken the locks, and commits.
pub(crate) fn end<'a>(
    writes: &mut Writes<'a>,
    keys: &'a SubjectKeys,
    failed: Failed,
    attempt: &PasswordAttempt,
    ending: AttemptOutcome,
) {
    let Failed { mut here, mut everywhere, mut from, now } = failed;
    match ending {
        // Who opens a registration of his own may still be guessing the password of another's account.
        AttemptOutcome::Untried | AttemptOutcome::Right => {
            here.give_back(WRONG_PASSWORDS_HERE, attempt.at);
            lockouts::write(writes, &keys.email_and_network, here);
        }
        AttemptOutcome::LetIn => let_in(writes, keys, now),
    }
    if attempt.everywhere {
        everywhere.give_back(WRONG_PASSWORDS, attempt.at);
        lockouts::write(writes, &keys.email, everywhere);
        from.retain(|&at| at != attempt.at);
        rate_limits::set(writes, &keys.network, LimitKind::WrongPasswordsFrom, from);
    }
}
