//! Changes the password of a logged-in user who knows the current one.

use futures_util::future::{try_join, try_join3};
use time::OffsetDateTime;

use crate::{
    account::{
        session,
        set_password::{self, NewPassword},
    },
    app::App,
    auth::{
        attempt_refusals::Refusals,
        audit,
        password_attempt::{AttemptLimits, AttemptOutcome, PasswordAttempt},
        unlock::Target,
    },
    domain::{
        client::Client,
        password::{Password, computed_hash::ComputedHash, recipe::Recipe},
        policy::{FieldError, RateLimited, Scope},
        session::Token,
        subject_keys::SubjectKeys,
    },
    error::Error,
    password_hashing::{HashPermit, Overloaded, Priority},
    store::{
        Connection, PgError,
        rate_limits::{self, LimitKind},
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::User,
    },
};

/// A request to change the password.
pub(crate) struct ChangePassword {
    pub(crate) token: Token,
    pub(crate) old: Password,
    pub(crate) new: Password,
    pub(crate) client: Client,
    pub(crate) traceparent: String,
}

/// Verifies the current password, stores the new one, and ends all other sessions of the user.
pub(crate) async fn change(app: &App, request: &ChangePassword) -> Result<(), Error> {
    // Before the permits, because it can take a second.
    app.breached_passwords.check(&request.new, "new_password").await?;
    // One permit for each password, before everything else: an overload must cost nothing.
    let reserve_permits = || {
        let reserve = || app.hash_pool.reserve(request.client.network, Priority::High);
        Ok::<_, Overloaded>((reserve()?, reserve()?))
    };
    let mut permits = reserve_permits()?;
    let user = session::user(app, &request.token).await?;
    request.new.check_not_derived_from(&user.email).map_err(|error| FieldError { field: "new_password", ..error })?;
    let keys = app.subject_keys(&user.email, request.client);
    app.password_checks.count(request.client.network)?;
    let target = Target { email: &user.email, keys: &keys, traceparent: &request.traceparent };
    let mut refusals = Refusals::default();
    let attempt = loop {
        match reserve(app, &keys).await {
            Ok(attempt) => break attempt?,
            Err(error) => {
                // A request that waits for others must not hold a place in the hash queue.
                drop(permits);
                refusals.handle(app, &target, error).await?;
                permits = reserve_permits()?;
            }
        }
    };
    drop(refusals);
    // All hashes of an email address share one recipe, so the old and the new one do as well.
    let recipe = app.recipe(&user.email, std::iter::once(&user.password_hash));
    let new_hash = match verify_old_and_hash_new(request, &user, recipe, permits).await {
        Ok(Some(new_hash)) if new_hash.matches(&user.password_hash) => {
            attempt.settle_for_account(app, &user).await?;
            let message = "This is the current password. Choose another one.";
            return Err(FieldError::new("new_password", "unchanged", message).into());
        }
        Ok(Some(new_hash)) => new_hash,
        Ok(None) => {
            attempt.fail(app).await?;
            return Err(Error::WrongPassword);
        }
        Err(overloaded) => {
            attempt.settle(app, AttemptOutcome::NotVerified).await?;
            return Err(overloaded.into());
        }
    };
    let replaced = replace(app, request, &user, &keys, &attempt, &new_hash).await;
    attempt.ensure_settled(app, replaced).await
}

/// Reserves the password attempt, which is rate-limited like any other: an attacker with a stolen token must not guess
/// the password here. Also checks the limit of changes, which is the inner result: each one is mailed to the owner.
async fn reserve<'k>(app: &App, keys: &'k SubjectKeys) -> Result<Result<PasswordAttempt<'k>, RateLimited>, Error> {
    let connection = app.store.connection().await?;
    let reading = try_join(AttemptLimits::read(&connection, keys), read_changes(&connection, keys));
    let (transaction, (limits, changed)) =
        Transaction::begin(&connection, Commit::Asynchronous, &[&keys.mailbox], reading).await?;
    if let Err(retry_after) = app.policy.password_changes.check(&changed, limits.now()) {
        return Ok(Err(RateLimited { scope: Scope::Account, retry_after }));
    }
    let mut writes = Writes::default();
    let attempt = PasswordAttempt::reserve_in(app, &mut writes, keys, limits)?;
    transaction.commit(writes).await?;
    Ok(Ok(attempt))
}

/// When the password of the account was changed, oldest first; resets do not count.
async fn read_changes(connection: &Connection, keys: &SubjectKeys) -> Result<Vec<OffsetDateTime>, PgError> {
    let ([changed], _) = rate_limits::times_used(connection, [(&keys.email, LimitKind::PasswordChanges)]).await?;
    Ok(changed)
}

/// Hashes the new password if the old one is correct; `None` if it is not.
async fn verify_old_and_hash_new(
    request: &ChangePassword,
    user: &User,
    recipe: Recipe,
    (old_permit, new_permit): (HashPermit, HashPermit),
) -> Result<Option<ComputedHash>, Overloaded> {
    let old_hash = old_permit.hash(request.old.clone(), recipe).await?;
    if !old_hash.matches(&user.password_hash) {
        return Ok(None);
    }
    new_permit.hash(request.new.clone(), recipe).await.map(Some)
}

/// Stores the new password, settles the attempt, and ends all sessions except the one of this request.
async fn replace(
    app: &App,
    request: &ChangePassword,
    verified_user: &User,
    keys: &SubjectKeys,
    attempt: &PasswordAttempt<'_>,
    new_hash: &ComputedHash,
) -> Result<(), Error> {
    let password_hash = new_hash.to_stored().map_err(Error::Internal)?;
    let connection = app.store.connection().await?;
    let token_hash = request.token.hash();
    let reading = try_join3(
        sessions::user_of(&connection, &token_hash),
        attempt.read_lockouts(&connection),
        read_changes(&connection, keys),
    );
    let (transaction, (session_user, lockouts, changed)) =
        Transaction::begin(&connection, Commit::Durable, &[&keys.mailbox], reading).await?;
    // Another request may have ended the session while this one was hashing.
    let (user, _) = session_user.ok_or(Error::NoSession)?;
    if user.password_hash != verified_user.password_hash {
        return Err(Error::Unavailable(anyhow::anyhow!("the password hash was replaced by a concurrent request")));
    }
    let changed_at = lockouts.now;
    let mut writes = Writes::default();
    // No concurrent change can exceed the limit: only one of them finds the hash that it has verified.
    let changed = app.policy.password_changes.with(&changed, changed_at);
    rate_limits::write(&mut writes, &keys.email, LimitKind::PasswordChanges, changed);
    attempt.settle_in(&mut writes, lockouts, AttemptOutcome::CorrectForAccount);
    sessions::end_all_others(&mut writes, user.id, token_hash);
    let new = NewPassword { password_hash, traceparent: request.traceparent.clone(), changed_at };
    set_password::set_password(app, &mut writes, &user, new);
    transaction.commit(writes).await?;
    audit::password_change(user.id, keys);
    app.wake_relay();
    Ok(())
}
