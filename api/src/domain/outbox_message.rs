//! What an outbox row contains.

use shared::messages::Envelope;

use crate::domain::cloud_event::Event;

/// The content of an outbox row.
pub enum OutboxMessage {
    /// A mail order for the worker.
    Mail(Envelope),
    /// An event for other services. There may be no subscriber.
    Event(Event),
}

impl OutboxMessage {
    /// The span name of its delivery, and the `traceparent` of the request that caused it.
    pub(crate) fn trace(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Mail(envelope) => ("publish a mail", envelope.traceparent.as_deref()),
            Self::Event(event) => ("publish an event", event.traceparent.as_deref()),
        }
    }
}
