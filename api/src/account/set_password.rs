//! Stores a new password of an account, with everything that every password change entails.

use shared::messages::{Envelope, MailKind, Message};
use time::OffsetDateTime;

use crate::{
    app::App,
    domain::outbox_message::OutboxMessage,
    outbox::events::EventDetails,
    rng,
    store::{
        notices::password_changes,
        outbox, resets,
        transaction::Writes,
        users::{self, User},
    },
};

/// The new password of an account.
pub(crate) struct NewPassword {
    pub(crate) password_hash: String,
    pub(crate) traceparent: String,
    pub(crate) changed_at: OffsetDateTime,
}

/// Stores the hash, closes all resets that could change it once more, mails the owner, and publishes an event. The
/// caller has locked the mailbox, ends the sessions, and commits.
pub(crate) fn set_password<'a>(app: &App, writes: &mut Writes<'a>, user: &'a User, new: NewPassword) {
    let NewPassword { password_hash, traceparent, changed_at } = new;
    users::set_password(writes, user.id, password_hash, changed_at);
    resets::close_of(writes, &user.email, changed_at);
    let message = Message { kind: MailKind::PasswordChanged, id: rng::id_at(changed_at) };
    password_changes::insert(writes, message.id, user.id, changed_at);
    let details = EventDetails { email: &user.email, at: changed_at, traceparent: &traceparent };
    app.events.password_changed(writes, &details, user.id);
    outbox::insert(writes, OutboxMessage::Mail(Envelope { message, traceparent: Some(traceparent) }));
}
