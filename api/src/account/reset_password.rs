//! Resets the password of an account with the code from the mail.

use futures_util::future::try_join3;
use uuid::Uuid;

use crate::{
    account::{
        forgot_password,
        reset_attempt::{ReservedResetAttempt, ResetKeys},
        set_password::{self, NewPassword},
    },
    app::App,
    auth::{audit, password_attempt},
    domain::{
        client::Client,
        password::{Password, computed_hash::ComputedHash},
    },
    error::Error,
    password_hashing::Priority,
    store::{
        guesses,
        lockouts::known_networks,
        resets::{self, Reset},
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// A request to set a new password with a reset code.
pub(crate) struct ResetPassword {
    pub(crate) receipt: Uuid,
    pub(crate) code: String,
    pub(crate) password: Password,
    pub(crate) client: Client,
    pub(crate) traceparent: String,
}

/// Verifies the reset code, stores the new password, and ends all sessions of the user.
pub(crate) async fn reset(app: &App, request: &ResetPassword) -> Result<(), Error> {
    // Before the permit, because it can take a second.
    app.breached_passwords.check(&request.password, "password").await?;
    // Before everything else: an overload must cost nothing, least of all an attempt.
    let permit = app.hash_pool.reserve(request.client.network, Priority::High)?;
    let Reset { email, .. } = forgot_password::read(app, request.receipt).await?;
    // This reveals nothing: the holder of the receipt knows the email address.
    request.password.check_not_derived_from(&email)?;
    let keys = ResetKeys { subjects: app.subject_keys(&email, request.client), guess_key: app.reset_guess_key(&email) };
    let (reserved, connection) = ReservedResetAttempt::reserve(app, request.receipt, &email, &keys).await?;
    let ReservedResetAttempt { reset, account, .. } = &reserved;
    let is_correct = reset.code.matches(&request.code, app.code_secrets.get(&reset.code.key_id));
    let account =
        account.as_ref().filter(|account| is_correct && reset.closed_at.is_none() && reset.user == Some(account.id));
    let Some(account) = account else {
        reserved.settle_wrong(&connection).await?;
        audit::wrong_code(&keys.subjects);
        return Err(Error::WrongCode { attempts_left: reserved.attempts_left, length: reset.code.length });
    };

    // No connection is held while a password is hashed.
    drop(connection);
    let recipe = app.recipe(&email, std::iter::once(&account.password_hash));
    let computed = match permit.hash(request.password.clone(), recipe).await {
        Ok(computed) => computed,
        Err(overloaded) => {
            reserved.release(app).await?;
            return Err(overloaded.into());
        }
    };
    let replaced = replace(app, request, &keys, &reserved, account, &computed).await;
    if replaced.is_err() {
        reserved.settle_right(app).await;
    }
    replaced
}

/// Stores the new password, ends all sessions, notifies the owner, and releases the attempt: all of it, or nothing.
async fn replace(
    app: &App,
    request: &ResetPassword,
    keys: &ResetKeys,
    reserved: &ReservedResetAttempt<'_>,
    reserved_account: &User,
    computed: &ComputedHash,
) -> Result<(), Error> {
    let ResetKeys { subjects, guess_key } = keys;
    let password_hash = computed.to_stored().map_err(Error::Internal)?;
    let connection = app.store.connection().await?;
    let reading = try_join3(
        resets::by_id(&connection, request.receipt),
        users::by_email(&connection, &reserved_account.email),
        guesses::read(&connection, guess_key),
    );
    let (transaction, (current, account, ledger)) =
        Transaction::begin(&connection, Commit::Durable, &subjects.locks(), reading).await?;
    let now = ledger.now;
    // A concurrent request may have used the same code, changed the password in another way, or deleted the account.
    let current = current.filter(|reset| reset.used_at.is_none() && reset.closed_at.is_none());
    let account = account.filter(|account| account.id == reserved_account.id);
    let (Some(reset), Some(account)) = (current, account) else {
        return Err(Error::CodeExpired);
    };
    if !computed.has_same_recipe(&account.password_hash) {
        return Err(Error::Unavailable(anyhow::anyhow!("the password was rehashed by a concurrent request")));
    }
    let mut writes = Writes::default();
    resets::mark_used(&mut writes, reset.id, now);
    sessions::end_all_but_newest(&mut writes, account.id, 0);
    let new = NewPassword { password_hash, traceparent: request.traceparent.clone(), changed_at: now };
    set_password::set_password(app, &mut writes, &account, new);
    known_networks::delete_others(&mut writes, &subjects.email, &subjects.email_and_network);
    password_attempt::mark_network_known(&mut writes, subjects, now);
    reserved.release_in(&mut writes, &ledger);
    transaction.commit(writes).await?;
    audit::password_reset(account.id, subjects);
    app.wake_relay();
    Ok(())
}
