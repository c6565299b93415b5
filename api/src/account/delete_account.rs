//! Deletes an account and everything that identifies its owner, and notifies the owner.

use futures_util::future::try_join;
use shared::messages::{Envelope, MailKind, Message};

use crate::{
    app::App,
    auth::{
        audit,
        credentials::{self, Credentials, Purpose, VerifiedCredentials},
        password_attempt::{AttemptOutcome, PasswordAttempt},
    },
    domain::{outbox_message::OutboxMessage, subject_keys::SubjectKeys},
    error::Error,
    outbox::events::EventDetails,
    password_hashing::Priority,
    rng,
    store::{
        lockouts::{known_networks, unlocks},
        notices::account_deletions,
        outbox, registrations, resets,
        transaction::{Commit, Transaction, Writes},
        users::{self, User},
    },
};

/// Verifies the password and deletes the account: a stolen session token must not be enough.
pub(crate) async fn delete(app: &App, credentials: &Credentials) -> Result<(), Error> {
    // Before anything else: an overload must cost nothing.
    let permit = app.hash_pool.reserve(credentials.client.network, Priority::High)?;
    let keys = app.subject_keys(&credentials.email, credentials.client);
    let VerifiedCredentials { user, attempt, .. } =
        credentials::verify_password(app, credentials, &keys, Purpose::DeleteAccount, permit).await?;
    let Some(user) = user else {
        attempt.settle(app, AttemptOutcome::Correct).await?;
        return Err(Error::NotActivated);
    };
    let deleted = delete_all(app, credentials, &user, &keys, &attempt).await;
    attempt.ensure_settled(app, deleted).await
}

/// Deletes the user, the sessions, all registrations and resets of the email address with their codes, and the mails
/// that are still in the outbox. Settles the attempt.
///
/// Messages that are in RabbitMQ already are dropped by the worker, because it finds no rows for them. Rate limits
/// stay: they identify no person, and they keep protecting the email address.
async fn delete_all(
    app: &App,
    credentials: &Credentials,
    verified_user: &User,
    keys: &SubjectKeys,
    attempt: &PasswordAttempt<'_>,
) -> Result<(), Error> {
    let connection = app.store.connection().await?;
    let reading = try_join(users::by_email(&connection, &verified_user.email), attempt.read_lockouts(&connection));
    let (transaction, (user, lockouts)) =
        Transaction::begin(&connection, Commit::Durable, &[&keys.mailbox], reading).await?;
    // The account may have been deleted, or its password changed, while the password was hashed.
    let user = user.filter(|user| user.id == verified_user.id).ok_or(Error::Unauthenticated)?;
    if user.password_hash != verified_user.password_hash {
        return Err(Error::Unavailable(anyhow::anyhow!("the password hash was replaced by a concurrent request")));
    }
    let now = lockouts.now;
    let mut writes = Writes::default();
    attempt.settle_in(&mut writes, lockouts, AttemptOutcome::Correct);
    // Also for the rows that are deleted by cascade: accounts are deleted rarely, so plans that were made while the
    // tables were small would be kept.
    outbox::disable_sequential_scans(&mut writes);
    // Before the rest, because it finds its rows by the rows that are deleted next.
    outbox::drop_mails_of(&mut writes, &user.email, user.id);
    registrations::delete_of(&mut writes, &user.email);
    known_networks::delete_of(&mut writes, &keys.email);
    unlocks::delete_of(&mut writes, &user.email);
    resets::delete_of(&mut writes, &user.email);
    users::delete(&mut writes, user.id);
    let traceparent = &credentials.traceparent;
    app.events.deleted(&mut writes, &EventDetails { email: &user.email, at: now, traceparent }, user.id);
    let message = Message { kind: MailKind::AccountDeleted, id: rng::id_at(now) };
    account_deletions::insert(&mut writes, message.id, &user.email, user.language, now);
    outbox::insert(&mut writes, OutboxMessage::Mail(Envelope { message, traceparent: Some(traceparent.clone()) }));
    transaction.commit(writes).await?;
    audit::deletion(user.id, keys);
    app.wake_relay();
    Ok(())
}
