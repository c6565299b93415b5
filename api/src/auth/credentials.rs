//! Somebody says who they are: which registrations and which account does their password open?

use futures_util::future::try_join;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{
        network_guesses,
        password_attempt::{self, AttemptOutcome, PasswordAttempt},
        rehash,
        subject_keys::SubjectKeys,
    },
    domain::{email::EmailAddress, network::Network, password::Password, policy::Policy},
    error::Error,
    password_hashing::HashPermit,
    store::{
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// Credentials, and the registration they are meant for when the client keys one.
pub(crate) struct Credentials {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) registration: Option<Uuid>,
    pub(crate) network: Network,
    pub(crate) traceparent: String,
}

/// What the password is given for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To have another code.
    Code,
    /// To give a code, which may be a guess.
    Guess,
    /// To have a session.
    Session,
}

/// What a password opened: at least one of these.
pub(crate) struct Opened {
    pub(crate) user: Option<User>,
    registrations: Vec<Registration>,
    /// To be ended by whoever goes on.
    pub(crate) attempt: PasswordAttempt,
}

/// What it opened when that was no account.
pub(crate) struct Proved {
    /// Newest first, at least one: all that are open at the address, or the named one in whatever state it is.
    pub(crate) registrations: Vec<Registration>,
    /// To be ended by whoever goes on, in his own transaction.
    pub(crate) attempt: PasswordAttempt,
}

/// What must be known before the password is hashed.
struct Looked {
    user: Option<User>,
    candidates: Vec<Registration>,
    attempt: PasswordAttempt,
}

/// For what only a registration can have: whoever has the account is told so.
pub(crate) async fn prove(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    purpose: Purpose,
    place: HashPermit,
) -> Result<Proved, Error> {
    let Opened { user, registrations, attempt } = open(app, credentials, keys, purpose, place).await?;
    if let Some(user) = user {
        password_attempt::settle(app, keys, &attempt, AttemptOutcome::LetIn).await?;
        rehash::renew(app, &user, keys, &credentials.password).await;
        return Err(Error::AlreadyActive);
    }
    Ok(Proved { registrations, attempt })
}

/// One password is hashed, whatever there is: all hashes of an address share one recipe, so the
/// result is compared with each of them, and time tells nothing.
pub(crate) async fn open(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    purpose: Purpose,
    place: HashPermit,
) -> Result<Opened, Error> {
    let Looked { user, candidates, attempt } = look(app, credentials, keys, purpose).await?;
    let hashes = candidates.iter().map(|one| &one.password_hash).chain(user.iter().map(|user| &user.password_hash));
    let recipe = app.recipe(&credentials.email, hashes);
    let proof = match place.prove(credentials.password.clone(), recipe).await {
        Ok(proof) => proof,
        Err(overloaded) => {
            password_attempt::settle(app, keys, &attempt, AttemptOutcome::Untried).await?;
            return Err(overloaded.into());
        }
    };
    let user = user.filter(|user| proof.matches(&user.password_hash));
    let registrations: Vec<_> = candidates.into_iter().filter(|one| proof.matches(&one.password_hash)).collect();
    if user.is_none() && registrations.is_empty() {
        return Err(Error::Unauthenticated);
    }
    Ok(Opened { user, registrations, attempt })
}

/// The connection goes back before the password is hashed.
async fn look(app: &App, credentials: &Credentials, keys: &SubjectKeys, purpose: Purpose) -> Result<Looked, Error> {
    let connection = app.store.connection().await?;
    let candidates = async {
        match credentials.registration {
            Some(named) => registrations::by_id(&connection, named).await.map(|named| named.into_iter().collect()),
            None => registrations::open_of(&connection, &credentials.email, app.policy.registration_ttl).await,
        }
    };
    let reading = try_join(password_attempt::before(&connection, keys), network_guesses::read(&connection, keys));
    let (transaction, (before, wrong)) =
        Transaction::begin(&connection, Commit::Soon, &password_attempt::locks(keys), reading).await?;
    if purpose == Purpose::Guess {
        network_guesses::judge(app, &wrong)?;
    }
    let mut writes = Writes::default();
    let attempt = password_attempt::begin(&app.policy, &mut writes, keys, before)?;
    // Only now: a error takes no longer for an address that has something than for one that has nothing.
    let known = try_join(users::by_email(&connection, &credentials.email), candidates);
    let (user, mut candidates) = transaction.commit_and_read(writes, known).await?;
    candidates.retain(|one| one.email == credentials.email);
    Ok(Looked { user, candidates, attempt })
}

/// Whether a registration can still be activated, or have another code.
pub(crate) fn check_open(app: &App, registration: &Registration) -> Result<(), Error> {
    check_undecided(app, registration)?;
    if Policy::is_guessed_out(registration.guesses) { Err(Error::RegistrationClosed) } else { Ok(()) }
}

/// The same, whatever was guessed: the guess that counted last may be right.
pub(crate) fn check_undecided(app: &App, registration: &Registration) -> Result<(), Error> {
    if registration.activated_at.is_some() {
        Err(Error::AlreadyActive)
    } else if registration.closed_at.is_some() || app.policy.is_over(registration.created_at, registration.now) {
        Err(Error::RegistrationClosed)
    } else {
        Ok(())
    }
}
