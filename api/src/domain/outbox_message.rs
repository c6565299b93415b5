//! What an outbox row contains.

use shared::messages::{Envelope, MailQueue};

use crate::domain::cloud_event::Event;

/// The kinds of outbox rows that are leased separately, each with in-flight slots of its own, so that none waits for
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OutboxLane {
    Codes,
    Notices,
    Events,
}

/// The content of an outbox row.
pub enum OutboxMessage {
    /// A mail order for the worker.
    Mail(Envelope),
    /// An event for other services. There may be no subscriber.
    Event(Event),
}

impl OutboxMessage {
    /// How it is leased.
    pub(crate) fn lane(&self) -> OutboxLane {
        match self {
            Self::Event(_) => OutboxLane::Events,
            Self::Mail(Envelope { message, .. }) => match message.kind.queue() {
                MailQueue::Codes => OutboxLane::Codes,
                MailQueue::Notices => OutboxLane::Notices,
            },
        }
    }

    /// The span name of its delivery, and the `traceparent` of the request that caused it.
    pub(crate) fn trace(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Mail(envelope) => ("publish a mail", envelope.traceparent.as_deref()),
            Self::Event(event) => ("publish an event", event.traceparent.as_deref()),
        }
    }
}
