//! Writes events for other services: one more outbox row, in the transaction that makes the event true.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        cloud_event::{Event, EventContext, EventKind},
        email::EmailAddress,
    },
    outbox::delivery::OutboxMessage,
    rng,
    store::{outbox, transaction::Writes},
};

/// The email address that an event is about, its time, and the trace of the request that caused it.
pub(crate) struct Occasion<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) at: OffsetDateTime,
    pub(crate) traceparent: &'a str,
}

/// Writes `user.registered`.
pub(crate) fn registered(app: &App, writes: &mut Writes<'_>, occasion: &Occasion<'_>, registration: Uuid) {
    insert(app, writes, occasion, EventKind::Registered { registration });
}

/// Writes `user.activated`.
pub(crate) fn activated(app: &App, writes: &mut Writes<'_>, occasion: &Occasion<'_>, user: Uuid, registration: Uuid) {
    insert(app, writes, occasion, EventKind::Activated { user, registration });
}

/// Writes `user.password_changed`.
pub(crate) fn password_changed(app: &App, writes: &mut Writes<'_>, occasion: &Occasion<'_>, user: Uuid) {
    insert(app, writes, occasion, EventKind::PasswordChanged { user });
}

/// Writes `user.deleted`. Events about the user that are not published yet lose their email address. The caller has
/// called `store::outbox::by_index` on `writes`.
pub(crate) fn deleted<'a>(app: &App, writes: &mut Writes<'a>, occasion: &Occasion<'a>, user: Uuid) {
    // Whatever `EVENTS_WITH_EMAIL` is now: it may have had another value when they were written.
    outbox::remove_email(writes, occasion.email);
    insert(app, writes, occasion, EventKind::Deleted { user });
}

fn insert(app: &App, writes: &mut Writes<'_>, occasion: &Occasion<'_>, kind: EventKind) {
    let &Occasion { email, at, traceparent } = occasion;
    let email = Some(email).filter(|_| app.events_with_email);
    let event = Event::new(rng::id(), kind, &EventContext { source: &app.public_url, at, traceparent, email });
    outbox::insert(writes, OutboxMessage::Event(event));
}
