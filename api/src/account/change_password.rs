//! Whoever is logged in, and knows the password, has another one.

use futures_util::future::try_join;

use crate::{
    account::{session, set_password},
    app::App,
    auth::{
        password_attempt::{self, AttemptOutcome, PasswordAttempt},
        subject_keys::SubjectKeys,
    },
    domain::{
        network::Network,
        password::{Password, proof::Proof, recipe::Recipe},
        policy::FieldError,
        session::Token,
    },
    error::Error,
    password_hashing::{HashPermit, Overloaded, Priority},
    store::{
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::User,
    },
};

pub(crate) struct ChangePassword {
    pub(crate) token: Token,
    pub(crate) old: Password,
    pub(crate) new: Password,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

pub(crate) async fn change(app: &App, wish: &ChangePassword) -> Result<(), Error> {
    // One for each password, before anything else: an overload must cost nothing.
    let places = (app.hashes.admit(Priority::Entering)?, app.hashes.admit(Priority::Entering)?);
    let user = session::who(app, &wish.token).await?;
    wish.new.check_not_of(&user.email).map_err(|fault| FieldError { field: "new_password", ..fault })?;
    let keys = app.keys(&user.email, wish.network);
    // A password is looked at here as anywhere: whoever found a token does not guess on with it.
    let attempt = password_attempt::take(app, &keys).await?;
    let recipe = app.recipe(&user.email, std::iter::once(&user.password_hash));
    let new = match prove(wish, &user, places, recipe).await {
        Ok(Some(new)) => new,
        Ok(None) => return Err(Error::WrongPassword),
        Err(overloaded) => {
            password_attempt::settle(app, &keys, &attempt, AttemptOutcome::Untried).await?;
            return Err(overloaded.into());
        }
    };
    let replaced = replace(app, wish, &user, (&keys, &attempt), &new).await;
    password_attempt::settle_after(app, &keys, &attempt, &replaced).await;
    replaced
}

/// The new one, if the old one is right. Both hashes of the account are of one recipe, as all of an address are.
async fn prove(
    wish: &ChangePassword,
    user: &User,
    (first, second): (HashPermit, HashPermit),
    recipe: Recipe,
) -> Result<Option<Proof>, Overloaded> {
    let old = first.prove(wish.old.clone(), recipe).await?;
    if !old.matches(&user.password_hash) {
        return Ok(None);
    }
    second.prove(wish.new.clone(), recipe).await.map(Some)
}

/// All sessions end but the one that asks for it.
async fn replace(
    app: &App,
    wish: &ChangePassword,
    before: &User,
    (keys, attempt): (&SubjectKeys, &PasswordAttempt),
    new: &Proof,
) -> Result<(), Error> {
    let password_hash = new.to_stored().map_err(Error::Internal)?;
    let (connection, token) = (app.store.connection().await?, wish.token.hash());
    let reading = try_join(sessions::holder(&connection, &token), password_attempt::failed(&connection, keys));
    let (transaction, (holder, failed)) =
        Transaction::begin(&connection, Commit::Durable, &password_attempt::locks(keys), reading).await?;
    // Another request may have ended the session while this one was hashing.
    let (user, _) = holder.ok_or(Error::NoSession)?;
    if user.password_hash != before.password_hash {
        return Err(Error::Unavailable(anyhow::anyhow!("the hash of the account was replaced at the same moment")));
    }
    let at = failed.now;
    let mut writes = Writes::default();
    password_attempt::end(&mut writes, keys, failed, attempt, AttemptOutcome::LetIn);
    sessions::end_all_others(&mut writes, user.id, token);
    let changed = set_password::Changed { password_hash, traceparent: wish.traceparent.clone(), at };
    set_password::set(app, &mut writes, &user, changed);
    transaction.commit(writes).await?;
    app.wake_relay();
    Ok(())
}
