//! Somebody who has an account gives the password, and gets a session.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::{
        credentials::{self, Credentials, Opened, Purpose},
        password_attempt::{self, AttemptOutcome, PasswordAttempt},
        rehash,
        subject_keys::SubjectKeys,
    },
    domain::{policy::SESSIONS_PER_USER, session::Token},
    error::Error,
    password_hashing::Priority,
    rng,
    store::{
        sessions,
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

pub(crate) struct Session {
    pub(crate) token: Token,
    pub(crate) expires_at: OffsetDateTime,
}

pub(crate) async fn log_in(app: &App, credentials: &Credentials) -> Result<Session, Error> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Priority::Entering)?;
    let keys = app.keys(&credentials.email, credentials.network);
    let Opened { user, attempt, .. } = credentials::open(app, credentials, &keys, Purpose::Session, place).await?;
    let Some(user) = user else {
        password_attempt::settle(app, &keys, &attempt, AttemptOutcome::Right).await?;
        return Err(Error::NotActivated);
    };
    let begun = begin(app, &user, &keys, &attempt).await;
    password_attempt::settle_after(app, &keys, &attempt, &begun).await;
    let session = begun?;
    rehash::renew(app, &user, &keys, &credentials.password).await;
    Ok(session)
}

/// One more session; the oldest goes when there are too many.
async fn begin(app: &App, user: &User, keys: &SubjectKeys, attempt: &PasswordAttempt) -> Result<Session, Error> {
    let connection = app.store.connection().await?;
    let reading = try_join(users::by_email(&connection, &user.email), password_attempt::failed(&connection, keys));
    let (transaction, (current, failed)) =
        Transaction::begin(&connection, Commit::Durable, &password_attempt::locks(keys), reading).await?;
    // Erased while the password was hashed.
    let current = current.filter(|current| current.id == user.id).ok_or(Error::Unauthenticated)?;
    if current.password_hash != user.password_hash {
        return Err(Error::Unavailable(anyhow::anyhow!("the hash of the account was replaced at the same moment")));
    }
    let (token, now) = (Token::new(rng::bits()), failed.now);
    let expires_at = now + app.policy.session_ttl;
    let mut writes = Writes::default();
    password_attempt::end(&mut writes, keys, failed, attempt, AttemptOutcome::LetIn);
    sessions::end_all_but(&mut writes, user.id, SESSIONS_PER_USER - 1);
    sessions::insert(&mut writes, user.id, token.hash(), now, expires_at);
    transaction.commit(writes).await?;
    Ok(Session { token, expires_at })
}
