//! Brings a stored hash to the costs of today, when its password is at hand.

use crate::{
    App,
    domain::password::{Password, recipe::Recipe},
    hashing::Errand,
    refusal::Refusal,
    store::users::{self, User},
};

/// The password was proved to be the user's.
pub(crate) async fn renew(app: &App, user: &User, password: &Password) -> Result<(), Refusal> {
    let costs = app.hashes.costs();
    let Some(recipe) = Recipe::of(&user.password_hash).filter(|recipe| recipe.costs != costs) else { return Ok(()) };
    // There is no hurry: when it is too busy now, it is renewed the next time.
    let Ok(place) = app.hashes.admit(Errand::Entering) else { return Ok(()) };
    let Ok(proof) = place.prove(password.clone(), Recipe { costs, ..recipe }).await else { return Ok(()) };
    let renewed = proof.to_stored().map_err(Refusal::Internal)?;
    let connection = app.store.connection().await?;
    Ok(users::renew(&connection, user, &renewed, app.policy.registration_ttl).await?)
}
