//! Tells other services what happened: one more row of the outbox, in the transaction that makes it true.

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

/// Whom it is about, when it was, and the trace of the request.
pub(crate) struct Occasion<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) at: OffsetDateTime,
    pub(crate) traceparent: &'a str,
}

pub(crate) fn registered(app: &App, writes: &mut Writes<'_>, on: &Occasion<'_>, registration: Uuid) {
    tell(app, writes, on, EventKind::Registered { registration });
}

pub(crate) fn activated(app: &App, writes: &mut Writes<'_>, on: &Occasion<'_>, user: Uuid, registration: Uuid) {
    tell(app, writes, on, EventKind::Activated { user, registration });
}

pub(crate) fn password_changed(app: &App, writes: &mut Writes<'_>, on: &Occasion<'_>, user: Uuid) {
    tell(app, writes, on, EventKind::PasswordChanged { user });
}

/// EventKind still waits to be told of them goes without their address from here on.
pub(crate) fn deleted<'a>(app: &App, writes: &mut Writes<'a>, on: &Occasion<'a>, user: Uuid) {
    // Whatever the setting is now: it may have been another when they were written.
    outbox::forget(writes, on.email);
    tell(app, writes, on, EventKind::Deleted { user });
}

fn tell(app: &App, writes: &mut Writes<'_>, on: &Occasion<'_>, what: EventKind) {
    let &Occasion { email, at, traceparent } = on;
    let email = Some(email).filter(|_| app.events_with_email);
    let event = Event::new(rng::id(), what, &EventContext { source: &app.public_url, at, traceparent, email });
    outbox::insert(writes, OutboxMessage::Event(event));
}
