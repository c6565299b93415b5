//! EventKind happened, in the form that CloudEvents 1.0 gives it: for services that were written by others.

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::email::EmailAddress;

const SPECVERSION: &str = "1.0";

/// EventKind AMQP has room for in a routing key.
const LONGEST_KIND: usize = 255;

/// How long an event rests that a listener's queue did not take: the older it is, the longer. All others who listen get it
/// each time once more.
const SHORTEST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_hours(1);
const SHARE_OF_AGE: u32 = 10;

#[derive(Clone, Copy)]
pub(crate) enum EventKind {
    /// Whoever the address belongs to: nothing tells whether it has an account.
    Registered {
        registration: Uuid,
    },
    Activated {
        user: Uuid,
        registration: Uuid,
    },
    PasswordChanged {
        user: Uuid,
    },
    Deleted {
        user: Uuid,
    },
}

/// EventKind is told beside it.
pub(crate) struct EventContext<'a> {
    pub(crate) source: &'a str,
    pub(crate) at: OffsetDateTime,
    pub(crate) traceparent: &'a str,
    /// Only where the operator wants it.
    pub(crate) email: Option<&'a EmailAddress>,
}

/// One CloudEvent. In the outbox it has the form in which it is published.
#[derive(Clone, PartialEq)]
pub struct Event {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) body: Value,
    pub(crate) traceparent: Option<String>,
    /// How long it has waited to be told.
    pub(crate) age: Duration,
}

impl Event {
    pub(crate) fn new(id: Uuid, what: EventKind, circumstances: &EventContext<'_>) -> Self {
        let EventContext { source, at, traceparent, email } = circumstances;
        let (kind, subject, mut data) = match what {
            EventKind::Registered { registration } => {
                ("user.registered", registration, json!({ "registration": registration }))
            }
            EventKind::Activated { user, registration } => {
                ("user.activated", user, json!({ "user": user, "registration": registration }))
            }
            EventKind::PasswordChanged { user } => ("user.password_changed", user, json!({ "user": user })),
            EventKind::Deleted { user } => ("user.deleted", user, json!({ "user": user })),
        };
        // Who was erased is named nowhere again: whoever kept the address knows by the id whose it was.
        if let (Some(email), false) = (email, matches!(what, EventKind::Deleted { .. })) {
            data["email"] = email.as_str().into();
        }
        let mut body = Map::new();
        let time = at.format(&Rfc3339).ok();
        for (name, value) in [
            ("specversion", SPECVERSION.into()),
            ("id", id.to_string().into()),
            ("source", (*source).into()),
            ("type", kind.into()),
            ("subject", subject.to_string().into()),
            ("time", time.into()),
            ("datacontenttype", "application/json".into()),
            // The extension "Distributed Tracing".
            ("traceparent", (*traceparent).into()),
            ("data", data),
        ] {
            body.insert(name.to_owned(), value);
        }
        let traceparent = Some((*traceparent).to_owned());
        Self { id, kind: kind.to_owned(), body: body.into(), traceparent, age: Duration::ZERO }
    }

    /// Of any type: a newer version of us may write others, and who listens says which it wants.
    pub(crate) fn read(
        id: Uuid,
        body: Value,
        traceparent: Option<String>,
        age: Duration,
    ) -> Result<Self, &'static str> {
        if body["specversion"] != SPECVERSION {
            return Err("a version of CloudEvents this relay does not know");
        }
        let kind = body["type"].as_str().filter(|kind| (1..=LONGEST_KIND).contains(&kind.len()));
        let kind = kind.ok_or("an event without a type")?.to_owned();
        Ok(Self { id, kind, body, traceparent, age })
    }

    /// After it was refused.
    pub(crate) fn rest(&self) -> Duration {
        (self.age / SHARE_OF_AGE).clamp(SHORTEST_REST, LONGEST_REST)
    }
}

/// The body may name an address.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
