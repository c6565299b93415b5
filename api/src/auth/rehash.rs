//! Rehashes a stored password with the current parameters, after the user has submitted the correct password.

use std::future::ready;

use crate::{
    app::App,
    auth::credentials::Credentials,
    domain::{password::recipe::Recipe, subject_keys::SubjectKeys},
    error::Error,
    password_hashing::Priority,
    store::{
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// Rehashes the password of an account if its hash has other parameters than those configured. The caller has verified
/// that it is the user's password. Failures are only logged: the next login tries again.
pub(crate) async fn rehash_if_outdated(app: &App, user: &User, keys: &SubjectKeys, credentials: &Credentials) {
    let costs = app.hash_pool.costs();
    let Some(recipe) = Recipe::of(&user.password_hash).filter(|recipe| recipe.costs != costs) else { return };
    if let Err(error) = rehash(app, user, keys, credentials, Recipe { costs, ..recipe }).await {
        let error = format!("{:#}", anyhow::Error::from(error));
        tracing::warn!(error, "password rehash failed; keeping the old parameters");
    }
}

async fn rehash(
    app: &App,
    user: &User,
    keys: &SubjectKeys,
    credentials: &Credentials,
    recipe: Recipe,
) -> Result<(), Error> {
    let permit = app.hash_pool.reserve(credentials.client.network, Priority::High)?;
    let computed = permit.hash(credentials.password.clone(), recipe).await?;
    let password_hash = computed.to_stored().map_err(Error::Internal)?;
    let connection = app.store.connection().await?;
    let (transaction, ()) = Transaction::begin(&connection, Commit::Durable, &[&keys.mailbox], ready(Ok(()))).await?;
    let mut writes = Writes::default();
    users::rehash(&mut writes, user, password_hash, app.policy.registration_ttl);
    transaction.commit(writes).await?;
    Ok(())
}
