//! Whoever is logged in, and knows the password, has another one.

use futures_util::future::try_join;

use crate::{
    account::{session, set_password},
    app::App,
    auth::{
        password_attempt::{self, Ending, Trial},
        subject_keys::Names,
    },
    domain::{
        network::Network,
        password::{Password, proof::Proof, recipe::Recipe},
        policy::Fault,
        session::Token,
    },
    error::Refusal,
    password_hashing::{Errand, Overloaded, Place},
    store::{
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::User,
    },
};

pub(crate) struct Changing {
    pub(crate) token: Token,
    pub(crate) old: Password,
    pub(crate) new: Password,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

pub(crate) async fn change(app: &App, wish: &Changing) -> Result<(), Refusal> {
    // One for each password, before anything else: an overload must cost nothing.
    let places = (app.hashes.admit(Errand::Entering)?, app.hashes.admit(Errand::Entering)?);
    let user = session::who(app, &wish.token).await?;
    wish.new.check_not_of(&user.email).map_err(|fault| Fault { field: "new_password", ..fault })?;
    let names = app.names(&user.email, wish.network);
    // A password is looked at here as anywhere: whoever found a token does not guess on with it.
    let trial = password_attempt::take(app, &names).await?;
    let recipe = app.recipe(&user.email, std::iter::once(&user.password_hash));
    let new = match prove(wish, &user, places, recipe).await {
        Ok(Some(new)) => new,
        Ok(None) => return Err(Refusal::WrongPassword),
        Err(overloaded) => {
            password_attempt::settle(app, &names, &trial, Ending::Untried).await?;
            return Err(overloaded.into());
        }
    };
    let replaced = replace(app, wish, &user, (&names, &trial), &new).await;
    password_attempt::settle_after(app, &names, &trial, &replaced).await;
    replaced
}

/// The new one, if the old one is right. Both hashes of the account are of one recipe, as all of an address are.
async fn prove(
    wish: &Changing,
    user: &User,
    (first, second): (Place, Place),
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
    wish: &Changing,
    before: &User,
    (names, trial): (&Names, &Trial),
    new: &Proof,
) -> Result<(), Refusal> {
    let password_hash = new.to_stored().map_err(Refusal::Internal)?;
    let (connection, token) = (app.store.connection().await?, wish.token.hash());
    let reading = try_join(sessions::holder(&connection, &token), password_attempt::failed(&connection, names));
    let (transaction, (holder, failed)) =
        Transaction::begin(&connection, Commit::Durable, &password_attempt::locks(names), reading).await?;
    // Another request may have ended the session while this one was hashing.
    let (user, _) = holder.ok_or(Refusal::NoSession)?;
    if user.password_hash != before.password_hash {
        return Err(Refusal::Unavailable(anyhow::anyhow!("the hash of the account was replaced at the same moment")));
    }
    let at = failed.now;
    let mut writes = Writes::default();
    password_attempt::end(&mut writes, names, failed, trial, Ending::LetIn);
    sessions::end_all_others(&mut writes, user.id, token);
    let changed = set_password::Changed { password_hash, traceparent: wish.traceparent.clone(), at };
    set_password::set(app, &mut writes, &user, changed);
    transaction.commit(writes).await?;
    app.wake_relay();
    Ok(())
}
