//! Somebody who has an account gives the password, and gets a session.

use futures_util::future::try_join;
use time::OffsetDateTime;

use crate::{
    app::App,
    auth::{
        credentials::{self, Claim, Opened, Purpose},
        password_attempt::{self, Ending, Trial},
        rehash,
        subject_keys::Names,
    },
    domain::{policy::SESSIONS_PER_USER, session::Token},
    error::Refusal,
    password_hashing::Errand,
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

pub(crate) async fn log_in(app: &App, claim: &Claim) -> Result<Session, Refusal> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Errand::Entering)?;
    let names = app.names(&claim.email, claim.network);
    let Opened { user, trial, .. } = credentials::open(app, claim, &names, Purpose::Session, place).await?;
    let Some(user) = user else {
        password_attempt::settle(app, &names, &trial, Ending::Right).await?;
        return Err(Refusal::NotActivated);
    };
    let begun = begin(app, &user, &names, &trial).await;
    password_attempt::settle_after(app, &names, &trial, &begun).await;
    let session = begun?;
    rehash::renew(app, &user, &names, &claim.password).await;
    Ok(session)
}

/// One more session; the oldest goes when there are too many.
async fn begin(app: &App, user: &User, names: &Names, trial: &Trial) -> Result<Session, Refusal> {
    let connection = app.store.connection().await?;
    let reading = try_join(users::by_email(&connection, &user.email), password_attempt::failed(&connection, names));
    let (transaction, (current, failed)) =
        Transaction::begin(&connection, Commit::Durable, &password_attempt::locks(names), reading).await?;
    // Erased while the password was hashed.
    let current = current.filter(|current| current.id == user.id).ok_or(Refusal::Unauthenticated)?;
    if current.password_hash != user.password_hash {
        return Err(Refusal::Unavailable(anyhow::anyhow!("the hash of the account was replaced at the same moment")));
    }
    let (token, now) = (Token::new(rng::bits()), failed.now);
    let expires_at = now + app.policy.session_ttl;
    let mut writes = Writes::default();
    password_attempt::end(&mut writes, names, failed, trial, Ending::LetIn);
    sessions::end_all_but(&mut writes, user.id, SESSIONS_PER_USER - 1);
    sessions::insert(&mut writes, user.id, token.hash(), now, expires_at);
    transaction.commit(writes).await?;
    Ok(Session { token, expires_at })
}
