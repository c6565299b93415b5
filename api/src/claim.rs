//! Somebody says who they are: which registrations and which account does their password open?

use uuid::Uuid;

use crate::{
    App,
    domain::{email::EmailAddress, network::Network, password::Password, policy::Policy},
    hashing::Place,
    refusal::Refusal,
    renewal,
    store::{
        self,
        registrations::{self, Registration},
        users::{self, User},
    },
    trial::{self, Ending, Trial},
};

/// Credentials, and the registration they are meant for when the client names one.
pub(crate) struct Claim {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) registration: Option<Uuid>,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

/// The registrations whose password was proved, newest first, at least one: all that are open at
/// the address, or the named one in whatever state it is.
pub(crate) type Proved = Vec<Registration>;

/// What must be known before the password is hashed.
struct Looked {
    user: Option<User>,
    candidates: Vec<Registration>,
    trial: Trial,
}

/// One password is hashed, whatever there is: all hashes of an address share one recipe, so the
/// result is compared with each of them, and time tells nothing.
pub(crate) async fn prove(app: &App, claim: &Claim, place: Place) -> Result<Proved, Refusal> {
    let Looked { user, candidates, trial } = look(app, claim).await?;
    let hashes = candidates.iter().map(|one| &one.password_hash).chain(user.iter().map(|user| &user.password_hash));
    let recipe = app.recipe(&claim.email, hashes);
    let proof = match place.prove(claim.password.clone(), recipe).await {
        Ok(proof) => proof,
        Err(overloaded) => {
            trial::settle(app, &claim.email, &trial, Ending::Untried).await?;
            return Err(overloaded.into());
        }
    };
    if let Some(user) = user.filter(|user| proof.matches(&user.password_hash)) {
        trial::settle(app, &claim.email, &trial, Ending::LetIn).await?;
        renewal::renew(app, &user, &claim.password).await?;
        return Err(Refusal::AlreadyActive);
    }
    let proved: Proved = candidates.into_iter().filter(|one| proof.matches(&one.password_hash)).collect();
    if proved.is_empty() {
        return Err(Refusal::Unauthenticated);
    }
    trial::settle(app, &claim.email, &trial, Ending::Right).await?;
    Ok(proved)
}

/// The connection goes back before the password is hashed.
async fn look(app: &App, claim: &Claim) -> Result<Looked, Refusal> {
    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(&claim.email)).await?;
    let trial = trial::begin(app, &transaction, &claim.email, claim.network).await?;
    let user = users::by_email(&transaction, &claim.email).await?;
    let candidates = match claim.registration {
        Some(named) => {
            let mut named = registrations::by_ids(&transaction, &[named]).await?;
            named.retain(|one| one.email == claim.email);
            named
        }
        None => registrations::open_of(&transaction, &claim.email, app.policy.registration_ttl).await?,
    };
    transaction.commit().await?;
    Ok(Looked { user, candidates, trial })
}

/// Whether a registration can still be activated, or have another code.
pub(crate) fn check_open(app: &App, registration: &Registration) -> Result<(), Refusal> {
    check_undecided(app, registration)?;
    if Policy::is_guessed_out(registration.guesses) { Err(Refusal::RegistrationClosed) } else { Ok(()) }
}

/// The same, whatever was guessed: the guess that counted last may be right.
pub(crate) fn check_undecided(app: &App, registration: &Registration) -> Result<(), Refusal> {
    if registration.activated_at.is_some() {
        Err(Refusal::AlreadyActive)
    } else if registration.closed_at.is_some() || app.policy.is_over(registration.created_at, registration.now) {
        Err(Refusal::RegistrationClosed)
    } else {
        Ok(())
    }
}
