//! The code from the mail gives an account another password.

use futures_util::future::try_join4;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    account::{
        forgot_password,
        reset_attempt::{self, Counted},
        set_password,
    },
    app::App,
    auth::{network_guesses, password_attempt, subject_keys::SubjectKeys},
    domain::{
        network::Network,
        password::{Password, proof::Proof},
    },
    error::Error,
    password_hashing::Priority,
    store::{
        guesses,
        resets::{self, Reset},
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

pub(crate) struct ResetPassword {
    pub(crate) receipt: Uuid,
    pub(crate) code: String,
    pub(crate) password: Password,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

/// Under which keys a reset counts.
pub(crate) struct Subjects {
    pub(crate) keys: SubjectKeys,
    pub(crate) guessed: [u8; 32],
}

pub(crate) async fn reset(app: &App, wish: &ResetPassword) -> Result<(), Error> {
    // Before anything else: an overload must cost nothing, least of all a try.
    let place = app.hashes.admit(Priority::Entering)?;
    let Reset { email, .. } = forgot_password::read(app, wish.receipt).await?;
    // Whoever has the receipt knows the address.
    wish.password.check_not_of(&email)?;
    let of = Subjects { keys: app.keys(&email, wish.network), guessed: app.reset_name(&email) };
    let counted = reset_attempt::count(app, wish.receipt, &email, &of).await?;
    let Counted { reset, account, .. } = &counted;
    let right = reset.code.is(&wish.code, app.ring.get(&reset.code.key_id));
    let account =
        account.as_ref().filter(|account| right && reset.closed_at.is_none() && reset.user == Some(account.id));
    let Some(account) = account else {
        return Err(Error::WrongCode { attempts_left: counted.attempts_left, length: reset.code.length });
    };

    let recipe = app.recipe(&email, std::iter::once(&account.password_hash));
    let proof = match place.prove(wish.password.clone(), recipe).await {
        Ok(proof) => proof,
        Err(overloaded) => {
            give_back(app, &counted, &of).await?;
            return Err(overloaded.into());
        }
    };
    replace(app, wish, &of, &counted, (account, &proof)).await
}

/// The password changes, all sessions end, and the owner is told; or nothing of it happens.
async fn replace(
    app: &App,
    wish: &ResetPassword,
    Subjects { keys, guessed }: &Subjects,
    counted: &Counted,
    (before, proof): (&User, &Proof),
) -> Result<(), Error> {
    let password_hash = proof.to_stored().map_err(Error::Internal)?;
    let connection = app.store.connection().await?;
    let reading = try_join4(
        resets::by_id(&connection, wish.receipt),
        users::by_email(&connection, &before.email),
        guesses::read(&connection, guessed),
        network_guesses::read(&connection, keys),
    );
    let locks = [&keys.address, &keys.network];
    let (transaction, (current, account, ledger, (wrong, now))) =
        Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    // Somebody with the same code was faster, or the password was changed in another way; or all was erased.
    let current = current.filter(|reset| reset.used_at.is_none() && reset.closed_at.is_none());
    let (Some(reset), Some(account)) = (current, account.filter(|account| account.id == before.id)) else {
        return Err(Error::CodeExpired);
    };
    if !proof.is_like(&account.password_hash) {
        return Err(Error::Unavailable(anyhow::anyhow!("the hash of the account was renewed at the same moment")));
    }
    let (mut writes, mut for_all) = (Writes::default(), Writes::default());
    resets::mark_used(&mut writes, reset.id, now);
    sessions::end_all_but(&mut writes, account.id, 0);
    let changed = set_password::Changed { password_hash, traceparent: wish.traceparent.clone(), at: now };
    set_password::set(app, &mut writes, &account, changed);
    password_attempt::let_in(&mut writes, keys, now);
    guesses::count(&mut writes, guessed, &ledger.record.without(1), now);
    network_guesses::forgive(&mut writes, keys, wrong, counted.at);
    guesses::forgive_for_all(&mut for_all, reset.code.length, counted.at);
    // The password is changed. That everybody together has one guess less is all that may be lost.
    drop(transaction.commit_before(writes, for_all).await?);
    app.wake_relay();
    Ok(())
}

/// The code was right, and no thread was free in time: the try was none.
async fn give_back(app: &App, counted: &Counted, Subjects { keys, guessed }: &Subjects) -> Result<(), Error> {
    let (reset, at): (Uuid, OffsetDateTime) = (counted.reset.id, counted.at);
    let connection = app.store.connection().await?;
    let reading =
        futures_util::future::try_join(guesses::read(&connection, guessed), network_guesses::read(&connection, keys));
    let locks = [&keys.address, &keys.network];
    let (transaction, (ledger, (wrong, now))) =
        Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    let (mut writes, mut for_all) = (Writes::default(), Writes::default());
    resets::give_back(&mut writes, reset);
    guesses::count(&mut writes, guessed, &ledger.record.without(1), now);
    network_guesses::forgive(&mut writes, keys, wrong, at);
    guesses::forgive_for_all(&mut for_all, counted.reset.code.length, at);
    drop(transaction.commit_before(writes, for_all).await?);
    Ok(())
}
