//! Writes events for other services: one more outbox row, in the transaction that makes the event true.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::outbox_message::OutboxMessage,
    domain::{
        cloud_event::{Event, EventContext, EventKind},
        email::EmailAddress,
    },
    rng,
    store::{outbox, transaction::Writes},
};

/// The email address that an event is about, its time, and the trace of the request that caused it.
pub(crate) struct EventDetails<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) at: OffsetDateTime,
    pub(crate) traceparent: &'a str,
}

/// Writes events; part of the shared state.
pub(crate) struct EventWriter {
    /// The `source` of all events: the public URL of this instance.
    pub(crate) source: String,
    /// Whether events contain the email address (`EVENTS_WITH_EMAIL`).
    pub(crate) with_email: bool,
}

impl EventWriter {
    /// Writes `user.registered`.
    pub(crate) fn registered(&self, writes: &mut Writes<'_>, details: &EventDetails<'_>, registration: Uuid) {
        self.insert(writes, details, EventKind::Registered { registration });
    }

    /// Writes `user.activated`.
    pub(crate) fn activated(
        &self,
        writes: &mut Writes<'_>,
        details: &EventDetails<'_>,
        user: Uuid,
        registration: Uuid,
    ) {
        self.insert(writes, details, EventKind::Activated { user, registration });
    }

    /// Writes `user.password_changed`.
    pub(crate) fn password_changed(&self, writes: &mut Writes<'_>, details: &EventDetails<'_>, user: Uuid) {
        self.insert(writes, details, EventKind::PasswordChanged { user });
    }

    /// Writes `user.deleted`. Events about the user that are not published yet lose their email address. The caller has
    /// called `store::outbox::disable_sequential_scans` on `writes`.
    pub(crate) fn deleted<'a>(&self, writes: &mut Writes<'a>, details: &EventDetails<'a>, user: Uuid) {
        // Whatever `EVENTS_WITH_EMAIL` is now: it may have had another value when they were written.
        outbox::remove_email(writes, details.email);
        self.insert(writes, details, EventKind::Deleted { user });
    }

    fn insert(&self, writes: &mut Writes<'_>, details: &EventDetails<'_>, kind: EventKind) {
        let &EventDetails { email, at, traceparent } = details;
        let email = Some(email).filter(|_| self.with_email);
        let event = Event::new(rng::id_at(at), kind, &EventContext { source: &self.source, at, traceparent, email });
        outbox::insert(writes, OutboxMessage::Event(event));
    }
}
