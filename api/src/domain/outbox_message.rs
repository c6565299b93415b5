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

#[cfg(test)]
mod tests {
    use super::*;
    use shared::messages::{MailKind, Message};
    use uuid::Uuid;

    fn mail(kind: MailKind) -> OutboxMessage {
        OutboxMessage::Mail(Envelope { message: Message { kind, id: Uuid::nil() }, traceparent: Some("mail".into()) })
    }

    fn event() -> OutboxMessage {
        let (kind, traceparent) = ("user.registered".into(), Some("event".into()));
        OutboxMessage::Event(Event { id: Uuid::nil(), kind, body: ().into(), traceparent, age: Default::default() })
    }

    #[test]
    fn codes_notices_and_events_have_separate_lanes() {
        assert_eq!(mail(MailKind::SendCode).lane(), OutboxLane::Codes);
        assert_eq!(mail(MailKind::Activated).lane(), OutboxLane::Notices);
        assert_eq!(event().lane(), OutboxLane::Events);
    }

    #[test]
    fn trace_is_that_of_the_request() {
        assert_eq!(mail(MailKind::SendCode).trace(), ("publish a mail", Some("mail")));
        assert_eq!(event().trace(), ("publish an event", Some("event")));
    }
}
