//! The right to have a password looked at: taken as a failure before, given back when it was right.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::subject_keys::Names,
    domain::{
        policy::{Policy, Scope, TooMany, WRONG_PASSWORDS, WRONG_PASSWORDS_HERE},
        rate_limit::lockout::{ASKED_FOR_A_CODE, Lockout, REMEMBERED},
    },
    error::Refusal,
    store::{
        Connection, Error, lockouts,
        rate_limits::{self, Kind},
        transaction::{Commit, Transaction, Writes},
    },
};

/// What was taken.
pub(crate) struct Trial {
    /// Whether it counts for all networks together, and for this one at all addresses: not where there is a way in.
    everywhere: bool,
    at: OffsetDateTime,
}

/// How a trial ended, if not with a wrong password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
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

/// Whoever begins or ends a trial has locked these.
pub(crate) fn locks(names: &Names) -> [&[u8; 32]; 2] {
    [&names.address, &names.network]
}

/// `begin`, in a transaction of its own.
pub(crate) async fn take(app: &App, names: &Names) -> Result<Trial, Refusal> {
    let connection = app.store.connection().await?;
    let reading = before(&connection, names);
    let (transaction, before) = Transaction::begin(&connection, Commit::Soon, &locks(names), reading).await?;
    let mut writes = Writes::default();
    let trial = begin(&app.policy, &mut writes, names, before)?;
    transaction.commit(writes).await?;
    Ok(trial)
}

/// `end`, in a transaction of its own.
pub(crate) async fn settle(app: &App, names: &Names, trial: &Trial, ending: Ending) -> Result<(), Refusal> {
    let connection = app.store.connection().await?;
    let reading = failed(&connection, names);
    let (transaction, failed) = Transaction::begin(&connection, Commit::Soon, &locks(names), reading).await?;
    let mut writes = Writes::default();
    end(&mut writes, names, failed, trial, ending);
    transaction.commit(writes).await?;
    Ok(())
}

/// The password was right, and what should have put that on record as well has failed: whoever comes again must
/// not be locked out by it.
pub(crate) async fn settle_after<T>(app: &App, names: &Names, trial: &Trial, outcome: &Result<T, Refusal>) {
    if matches!(outcome, Err(Refusal::Unavailable(_) | Refusal::Internal(_))) {
        // Most likely it fails for the same reason. What was given back before is not given back again.
        let _ = settle(app, names, trial, Ending::Right).await;
    }
}

pub(crate) async fn before(connection: &Connection, names: &Names) -> Result<Before, Error> {
    let asked = [(&names.here, Kind::LetIn), (&names.here, Kind::CodesFrom)];
    let (([let_in, codes], now), failed) =
        try_join(rate_limits::used(connection, asked), failed(connection, names)).await?;
    // Who asked for a code from here today is not held up by what others do, either: there can be only as
    // many such networks as an address has codes.
    let known = let_in.last().is_some_and(|&last| now < last + REMEMBERED)
        || codes.last().is_some_and(|&last| now < last + ASKED_FOR_A_CODE);
    Ok(Before { failed, known })
}

pub(crate) async fn failed(connection: &Connection, names: &Names) -> Result<Failed, Error> {
    let (([here, everywhere], now), ([from], _)) = try_join(
        lockouts::read(connection, [&names.here, &names.address]),
        rate_limits::used(connection, [(&names.network, Kind::WrongPasswordsFrom)]),
    )
    .await?;
    Ok(Failed { here, everywhere, from, now })
}

/// The caller has taken the locks, and commits.
pub(crate) fn begin<'a>(
    policy: &Policy,
    writes: &mut Writes<'a>,
    names: &'a Names,
    before: Before,
) -> Result<Trial, Refusal> {
    let Before { failed: Failed { mut here, mut everywhere, from, now }, known } = before;
    let locked = |retry_after| TooMany { scope: Scope::Account, retry_after };
    here.reserve(WRONG_PASSWORDS_HERE, now).map_err(locked)?;
    lockouts::write(writes, &names.here, here);
    if !known {
        everywhere.reserve(WRONG_PASSWORDS, now).map_err(locked)?;
        lockouts::write(writes, &names.address, everywhere);
        let share = &policy.wrong_passwords_from;
        share.check(&from, now).map_err(|retry_after| TooMany { scope: Scope::Network, retry_after })?;
        rate_limits::set(writes, &names.network, Kind::WrongPasswordsFrom, share.with(&from, now));
    }
    Ok(Trial { everywhere: !known, at: now })
}

/// Somebody came in from here. The caller has locked the address, and commits.
pub(crate) fn let_in<'a>(writes: &mut Writes<'a>, names: &'a Names, now: OffsetDateTime) {
    lockouts::forget(writes, &names.here);
    rate_limits::set(writes, &names.here, Kind::LetIn, vec![now]);
}

/// The caller has taken the locks, and commits.
pub(crate) fn end<'a>(writes: &mut Writes<'a>, names: &'a Names, failed: Failed, trial: &Trial, ending: Ending) {
    let Failed { mut here, mut everywhere, mut from, now } = failed;
    match ending {
        // Who opens a registration of his own may still be guessing the password of another's account.
        Ending::Untried | Ending::Right => {
            here.give_back(WRONG_PASSWORDS_HERE, trial.at);
            lockouts::write(writes, &names.here, here);
        }
        Ending::LetIn => let_in(writes, names, now),
    }
    if trial.everywhere {
        everywhere.give_back(WRONG_PASSWORDS, trial.at);
        lockouts::write(writes, &names.address, everywhere);
        from.retain(|&at| at != trial.at);
        rate_limits::set(writes, &names.network, Kind::WrongPasswordsFrom, from);
    }
}
