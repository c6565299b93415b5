//! A person goes, and takes along everything that keys them.

use crate::{
    app::App,
    domain::session::Token,
    error::Error,
    outbox::events::{self, Occasion},
    store::{
        outbox, registrations, resets, sessions,
        transaction::{Commit, Transaction, Writes},
        users,
    },
};

/// User, sessions, all registrations and resets of the address with their codes, and what was still to be mailed. EventKind is in
/// RabbitMQ is dropped by the worker, which finds nothing that it speaks of. Limits stay: they name nobody, and keep
/// strangers from the address.
pub(crate) async fn erase(app: &App, token: &Token, traceparent: &str) -> Result<(), Error> {
    let (connection, hash) = (app.store.connection().await?, token.hash());
    let (holder, _) = sessions::holder(&connection, &hash).await?.ok_or(Error::NoSession)?;
    let (address, reading) = (app.address_name(&holder.email), sessions::holder(&connection, &hash));
    let (transaction, holder) = Transaction::begin(&connection, Commit::Durable, &[&address], reading).await?;
    // Another request may have ended the session while this one waited for the address.
    let (user, at) = holder.ok_or(Error::NoSession)?;
    let mut writes = Writes::default();
    // Also for what goes with the rows of others: few erase, and plans made for small tables would be kept.
    outbox::by_index(&mut writes);
    // Before the rest, because it finds its rows by what goes then.
    outbox::drop_of(&mut writes, &user.email, user.id);
    registrations::delete_of(&mut writes, &user.email);
    resets::delete_of(&mut writes, &user.email);
    users::delete(&mut writes, user.id);
    events::deleted(app, &mut writes, &Occasion { email: &user.email, at, traceparent }, user.id);
    transaction.commit(writes).await?;
    app.wake_relay();
    Ok(())
}
