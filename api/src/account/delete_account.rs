//! Deletes an account and everything that identifies its owner.

use crate::{
    app::App,
    domain::session::Token,
    error::Error,
    outbox::events::EventDetails,
    store::{
        outbox, registrations, resets, sessions,
        transaction::{Commit, Transaction, Writes},
        users,
    },
};

/// Deletes the user, the sessions, all registrations and resets of the email address with their codes, and the mails
/// that are still in the outbox.
///
/// Messages that are in RabbitMQ already are dropped by the worker, because it finds no rows for them. Rate limits
/// stay: they identify no person, and they keep protecting the email address.
pub(crate) async fn delete(app: &App, token: &Token, traceparent: &str) -> Result<(), Error> {
    let connection = app.store.connection().await?;
    let token_hash = token.hash();
    let (session_user, _) = sessions::user_of(&connection, &token_hash).await?.ok_or(Error::NoSession)?;
    let email_key = app.email_key(&session_user.email);
    let reading = sessions::user_of(&connection, &token_hash);
    let (transaction, session_user) = Transaction::begin(&connection, Commit::Durable, &[&email_key], reading).await?;
    // Another request may have ended the session while this one waited for the lock.
    let (user, now) = session_user.ok_or(Error::NoSession)?;
    let mut writes = Writes::default();
    // Also for the rows that are deleted by cascade: accounts are deleted rarely, so plans that were made while the
    // tables were small would be kept.
    outbox::disable_sequential_scans(&mut writes);
    // Before the rest, because it finds its rows by the rows that are deleted next.
    outbox::drop_mails_of(&mut writes, &user.email, user.id);
    registrations::delete_of(&mut writes, &user.email);
    resets::delete_of(&mut writes, &user.email);
    users::delete(&mut writes, user.id);
    app.events.deleted(&mut writes, &EventDetails { email: &user.email, at: now, traceparent }, user.id);
    transaction.commit(writes).await?;
    app.wake_relay();
    Ok(())
}
