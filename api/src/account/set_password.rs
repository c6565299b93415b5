//! An account gets another password: what goes with it, however it came to that.

use shared::messages::{Envelope, MailKind, Message};
use time::OffsetDateTime;

use crate::{
    app::App,
    outbox::{
        delivery::OutboxMessage,
        events::{self, Occasion},
    },
    rng,
    store::{
        outbox, password_changes, resets,
        transaction::Writes,
        users::{self, User},
    },
};

pub(crate) struct Changed {
    pub(crate) password_hash: String,
    pub(crate) traceparent: String,
    pub(crate) at: OffsetDateTime,
}

/// The hash, the end of all codes that would change it once more, and the mail that tells the owner. Other services
/// hear of it as well. The caller has locked the address, ends the sessions, and commits.
pub(crate) fn set<'a>(app: &App, writes: &mut Writes<'a>, user: &'a User, changed: Changed) {
    let Changed { password_hash, traceparent, at } = changed;
    users::set_password(writes, user.id, password_hash, at);
    resets::close_of(writes, &user.email, at);
    let message = Message { kind: MailKind::PasswordChanged, id: rng::id() };
    password_changes::insert(writes, message.id, user.id, at);
    events::password_changed(app, writes, &Occasion { email: &user.email, at, traceparent: &traceparent }, user.id);
    outbox::insert(writes, OutboxMessage::Mail(Envelope { message, traceparent: Some(traceparent) }));
}
