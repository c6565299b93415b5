//! Brings a stored hash to the costs of today, when its password is at hand.

use std::future::ready;

use crate::{
    app::App,
    auth::subject_keys::SubjectKeys,
    domain::password::{Password, recipe::Recipe},
    error::Error,
    password_hashing::Priority,
    store::{
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// The password was proved to be the user's. There is no hurry: what fails now is done the next time.
pub(crate) async fn renew(app: &App, user: &User, keys: &SubjectKeys, password: &Password) {
    let costs = app.hashes.costs();
    let Some(recipe) = Recipe::of(&user.password_hash).filter(|recipe| recipe.costs != costs) else { return };
    if let Err(error) = replace(app, user, keys, password, Recipe { costs, ..recipe }).await {
        tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "a hash of other costs stays as it is");
    }
}

async fn replace(app: &App, user: &User, keys: &SubjectKeys, password: &Password, recipe: Recipe) -> Result<(), Error> {
    let proof = app.hashes.admit(Priority::Entering)?.prove(password.clone(), recipe).await?;
    let renewed = proof.to_stored().map_err(Error::Internal)?;
    let connection = app.store.connection().await?;
    let (locks, nothing) = ([&keys.address], ready(Ok(())));
    let (transaction, ()) = Transaction::begin(&connection, Commit::Durable, &locks, nothing).await?;
    let mut writes = Writes::default();
    users::renew(&mut writes, user, renewed, app.policy.registration_ttl);
    transaction.commit(writes).await?;
    Ok(())
}
