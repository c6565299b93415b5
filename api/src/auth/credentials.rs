//! Verifies an email address and a password: which registrations and which account does the password belong to?

use futures_util::future::try_join;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{
        attempt_refusals::Refusals,
        audit, network_guesses,
        password_attempt::{AttemptLimits, AttemptOutcome, PasswordAttempt},
        rehash,
        unlock::Target,
    },
    domain::{client::Client, email::EmailAddress, password::Password, policy::Policy, subject_keys::SubjectKeys},
    error::Error,
    password_hashing::{HashPermit, Priority},
    store::{
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// HTTP Basic credentials, with what else the request says.
pub(crate) struct Credentials {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    /// The registration that the client names; `None` means all of the email address.
    pub(crate) registration: Option<Uuid>,
    pub(crate) client: Client,
    pub(crate) traceparent: String,
}

/// What the client wants to do once the password is verified.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Request another code.
    Resend,
    /// Submit a code, which may be a guess.
    Activate,
    /// Create a session.
    Login,
    /// Delete the account.
    DeleteAccount,
}

/// What the password belongs to: an account, registrations, or both; never neither.
pub(crate) struct VerifiedCredentials<'k> {
    pub(crate) user: Option<User>,
    registrations: Vec<Registration>,
    pub(crate) attempt: PasswordAttempt<'k>,
}

/// The registrations that the password belongs to, where there is no account with this password.
pub(crate) struct VerifiedRegistrations<'k> {
    /// Newest first, at least one: all open ones of the email address, or the one that the client named, whatever its
    /// state.
    pub(crate) registrations: Vec<Registration>,
    pub(crate) attempt: PasswordAttempt<'k>,
}

/// What the password is compared with, read before it is hashed.
struct Candidates<'k> {
    user: Option<User>,
    registrations: Vec<Registration>,
    attempt: PasswordAttempt<'k>,
}

/// Verifies the password for what only a registration can do. The owner of an account gets `AlreadyActive`.
pub(crate) async fn verify_registration_password<'k>(
    app: &App,
    credentials: &Credentials,
    keys: &'k SubjectKeys,
    purpose: Purpose,
    permit: HashPermit,
) -> Result<VerifiedRegistrations<'k>, Error> {
    let VerifiedCredentials { user, registrations, attempt } =
        verify_password(app, credentials, keys, purpose, permit).await?;
    if let Some(user) = user {
        attempt.settle_for_account(app, &user).await?;
        audit::password_verified(user.id, keys);
        rehash::rehash_if_outdated(app, &user, keys, credentials).await;
        return Err(Error::AlreadyActive);
    }
    Ok(VerifiedRegistrations { registrations, attempt })
}

/// Verifies the password against the account and the registrations of an email address.
///
/// Exactly one password is hashed, whatever exists: all hashes of an email address share one recipe (parameters and
/// salt), so the result is compared with each of them, and the response time reveals nothing.
pub(crate) async fn verify_password<'k>(
    app: &App,
    credentials: &Credentials,
    keys: &'k SubjectKeys,
    purpose: Purpose,
    permit: HashPermit,
) -> Result<VerifiedCredentials<'k>, Error> {
    app.password_checks.count(credentials.client.network)?;
    let target = Target { email: &credentials.email, keys, traceparent: &credentials.traceparent };
    let (mut permit, mut refusals) = (permit, Refusals::default());
    let Candidates { user, registrations, attempt } = loop {
        match read_candidates(app, credentials, keys, purpose).await {
            Ok(candidates) => break candidates,
            Err(error) => {
                // A request that waits for others must not hold a place in the hash queue.
                drop(permit);
                refusals.handle(app, &target, error).await?;
                permit = app.hash_pool.reserve(credentials.client.network, Priority::High)?;
            }
        }
    };
    drop(refusals);
    let registration_hashes = registrations.iter().map(|registration| &registration.password_hash);
    let hashes = registration_hashes.chain(user.iter().map(|user| &user.password_hash));
    let recipe = app.recipe(&credentials.email, hashes);
    let computed = match permit.hash(credentials.password.clone(), recipe).await {
        Ok(computed) => computed,
        Err(overloaded) => {
            attempt.settle(app, AttemptOutcome::NotVerified).await?;
            return Err(overloaded.into());
        }
    };
    let user = user.filter(|user| computed.matches(&user.password_hash));
    let registrations: Vec<_> =
        registrations.into_iter().filter(|registration| computed.matches(&registration.password_hash)).collect();
    if user.is_none() && registrations.is_empty() {
        attempt.fail(app).await?;
        return Err(Error::Unauthenticated);
    }
    Ok(VerifiedCredentials { user, registrations, attempt })
}

/// Reserves a password attempt, commits it, and reads what the password is to be compared with. The connection goes
/// back to the pool before the password is hashed.
async fn read_candidates<'k>(
    app: &App,
    credentials: &Credentials,
    keys: &'k SubjectKeys,
    purpose: Purpose,
) -> Result<Candidates<'k>, Error> {
    let connection = app.store.connection().await?;
    let registrations = async {
        match credentials.registration {
            Some(id) => registrations::by_id(&connection, id).await.map(|found| found.into_iter().collect()),
            None => registrations::open_of(&connection, &credentials.email, app.policy.registration_ttl).await,
        }
    };
    let reading = try_join(AttemptLimits::read(&connection, keys), network_guesses::read(app, &connection, keys));
    let (transaction, (limits, wrong_codes)) =
        Transaction::begin(&connection, Commit::Asynchronous, &[&keys.mailbox], reading).await?;
    if purpose == Purpose::Activate {
        network_guesses::check(app, wrong_codes.as_ref())?;
    }
    let mut writes = Writes::default();
    let attempt = PasswordAttempt::reserve_in(app, &mut writes, keys, limits)?;
    // Read only after the limits were checked: a rejection takes no longer for a known email address than for an
    // unknown one.
    let candidates = try_join(users::by_email(&connection, &credentials.email), registrations);
    let (user, mut registrations) = transaction.commit_and_read(writes, candidates).await?;
    registrations.retain(|registration| registration.email == credentials.email);
    Ok(Candidates { user, registrations, attempt })
}

/// Checks whether a registration can still be activated or get another code.
pub(crate) fn check_open(app: &App, registration: &Registration) -> Result<(), Error> {
    check_open_ignoring_guesses(app, registration)?;
    if Policy::guesses_exhausted(registration.guesses) { Err(Error::RegistrationClosed) } else { Ok(()) }
}

/// The same without the limit of wrong guesses, for a guess that is counted already: the last one allowed may be right.
pub(crate) fn check_open_ignoring_guesses(app: &App, registration: &Registration) -> Result<(), Error> {
    if registration.activated_at.is_some() {
        Err(Error::AlreadyActive)
    } else if registration.closed_at.is_some() || app.policy.is_expired(registration.created_at, registration.now) {
        Err(Error::RegistrationClosed)
    } else {
        Ok(())
    }
}
