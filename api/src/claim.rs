//! Somebody says who they are: which registrations and which account does their password open?

use uuid::Uuid;

use crate::{
    App,
    domain::{email::EmailAddress, password::Password},
    refusal::Refusal,
    store::{
        registrations::{self, Registration},
        users::{self, User},
    },
};

/// Credentials, and the registration they are meant for when the client names one.
pub(crate) struct Claim {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) registration: Option<Uuid>,
    pub(crate) traceparent: String,
}

/// The registrations whose password was proved, newest first, at least one: all that are open at
/// the address, or the named one in whatever state it is.
pub(crate) type Proved = Vec<Registration>;

/// One password is hashed, whatever there is: all hashes of an address share one recipe, so the
/// result is compared with each of them, and time tells nothing.
pub(crate) async fn prove(app: &App, claim: &Claim) -> Result<Proved, Refusal> {
    let (user, candidates) = candidates(app, claim).await?;
    let user_hash = user.map(|user| user.password_hash);
    let hashes = candidates.iter().map(|one| &one.password_hash).chain(user_hash.iter());
    let recipe = app.recipe(&claim.email, hashes);
    let proof = app.hashes.prove(claim.password.clone(), recipe).await?;

    if user_hash.is_some_and(|hash| proof.matches(&hash)) {
        return Err(Refusal::AlreadyActive);
    }
    let proved: Proved = candidates.into_iter().filter(|one| proof.matches(&one.password_hash)).collect();
    if proved.is_empty() { Err(Refusal::Unauthenticated) } else { Ok(proved) }
}

/// The connection goes back before the password is hashed.
async fn candidates(app: &App, claim: &Claim) -> Result<(Option<User>, Vec<Registration>), Refusal> {
    let connection = app.store.connection().await?;
    let user = users::by_email(&connection, &claim.email).await?;
    let candidates = match claim.registration {
        Some(named) => {
            let mut named = registrations::by_ids(&connection, &[named]).await?;
            named.retain(|one| one.email == claim.email);
            named
        }
        None => {
            let mut open = registrations::open_of(&connection, &claim.email).await?;
            open.retain(|one| !app.policy.is_over(one.created_at, one.now));
            open
        }
    };
    Ok((user, candidates))
}

/// Whether a registration can still be activated, or have another code.
pub(crate) fn check_open(app: &App, registration: &Registration) -> Result<(), Refusal> {
    if registration.activated_at.is_some() {
        Err(Refusal::AlreadyActive)
    } else if registration.closed_at.is_some() || app.policy.is_over(registration.created_at, registration.now) {
        Err(Refusal::RegistrationClosed)
    } else {
        Ok(())
    }
}
