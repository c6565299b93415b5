//! Brings a stored hash to the costs of today, when its password is at hand.

use std::future::ready;

use crate::{
    app::App,
    auth::subject_keys::Names,
    domain::password::{Password, recipe::Recipe},
    error::Refusal,
    password_hashing::Errand,
    store::{
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// The password was proved to be the user's. There is no hurry: what fails now is done the next time.
pub(crate) async fn renew(app: &App, user: &User, names: &Names, password: &Password) {
    let costs = app.hashes.costs();
    let Some(recipe) = Recipe::of(&user.password_hash).filter(|recipe| recipe.costs != costs) else { return };
    if let Err(refusal) = replace(app, user, names, password, Recipe { costs, ..recipe }).await {
        tracing::warn!(error = format!("{:#}", anyhow::Error::from(refusal)), "a hash of other costs stays as it is");
    }
}

async fn replace(app: &App, user: &User, names: &Names, password: &Password, recipe: Recipe) -> Result<(), Refusal> {
    let proof = app.hashes.admit(Errand::Entering)?.prove(password.clone(), recipe).await?;
    let renewed = proof.to_stored().map_err(Refusal::Internal)?;
    let connection = app.store.connection().await?;
    let (locks, nothing) = ([&names.address], ready(Ok(())));
    let (transaction, ()) = Transaction::begin(&connection, Commit::Durable, &locks, nothing).await?;
    let mut writes = Writes::default();
    users::renew(&mut writes, user, renewed, app.policy.registration_ttl);
    transaction.commit(writes).await?;
    Ok(())
}
