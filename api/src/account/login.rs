//! Login: exchanges an email address and a password for a session.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::{
        audit,
        credentials::{self, Credentials, Purpose, VerifiedCredentials},
        password_attempt::{AttemptOutcome, PasswordAttempt},
        rehash,
    },
    domain::{policy::SESSIONS_PER_USER, session::Token, subject_keys::SubjectKeys},
    error::Error,
    password_hashing::Priority,
    rng,
    store::{
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// A new session, with the token that only the client gets to know.
pub(crate) struct Session {
    pub(crate) token: Token,
    pub(crate) expires_at: OffsetDateTime,
}

/// Verifies the password of an account and creates a session.
pub(crate) async fn log_in(app: &App, credentials: &Credentials) -> Result<Session, Error> {
    // Before anything else: an overload must cost nothing.
    let permit = app.hash_pool.reserve(credentials.client.network, Priority::High)?;
    let keys = app.subject_keys(&credentials.email, credentials.client);
    let VerifiedCredentials { user, attempt, .. } =
        credentials::verify_password(app, credentials, &keys, Purpose::Login, permit).await?;
    let Some(user) = user else {
        attempt.settle(app, AttemptOutcome::Correct).await?;
        return Err(Error::NotActivated);
    };
    let session = create_session(app, &user, &keys, &attempt).await;
    let session = attempt.ensure_settled(app, session).await?;
    audit::login(user.id, &keys);
    rehash::rehash_if_outdated(app, &user, &keys, credentials).await;
    Ok(session)
}

/// Creates a session and settles the attempt. Ends the oldest sessions of the user if there are too many.
async fn create_session(
    app: &App,
    user: &User,
    keys: &SubjectKeys,
    attempt: &PasswordAttempt<'_>,
) -> Result<Session, Error> {
    let connection = app.store.connection().await?;
    let reading = try_join(users::by_email(&connection, &user.email), attempt.read_lockouts(&connection));
    let (transaction, (current, lockouts)) =
        Transaction::begin(&connection, Commit::Durable, &[&keys.mailbox], reading).await?;
    // The account may have been deleted while the password was hashed.
    let current = current.filter(|current| current.id == user.id).ok_or(Error::Unauthenticated)?;
    if current.password_hash != user.password_hash {
        return Err(Error::Unavailable(anyhow::anyhow!("the password hash was replaced by a concurrent request")));
    }
    let token = Token::new(rng::bits());
    let now = lockouts.now;
    let expires_at = now + app.policy.session_ttl;
    let mut writes = Writes::default();
    attempt.settle_in(&mut writes, lockouts, AttemptOutcome::CorrectForAccount);
    sessions::end_all_but_newest(&mut writes, user.id, SESSIONS_PER_USER - 1);
    sessions::insert(&mut writes, user.id, token.hash(), now, expires_at);
    transaction.commit(writes).await?;
    Ok(Session { token, expires_at })
}
