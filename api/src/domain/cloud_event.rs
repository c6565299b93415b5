//! Events for other services, in the CloudEvents 1.0 JSON format.

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::email::EmailAddress;

const SPECVERSION: &str = "1.0";

/// The type of an event is its routing key, which AMQP limits to this length.
const MAX_TYPE_LENGTH: usize = 255;

/// The backoff of an event that the queue of a subscriber rejected is a tenth of its age, within these limits. Every
/// retry delivers the event to all other subscribers once more.
const MIN_BACK_OFF: Duration = Duration::from_secs(30);
const MAX_BACK_OFF: Duration = Duration::from_hours(1);
const BACK_OFF_DIVISOR_OF_AGE: u32 = 10;

/// What happened.
#[derive(Clone, Copy)]
pub(crate) enum EventKind {
    /// Published whether or not the email address already has an account, so it does not reveal that.
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

/// The attributes that all kinds of events have.
pub(crate) struct EventContext<'a> {
    /// The public URL of this service.
    pub(crate) source: &'a str,
    pub(crate) at: OffsetDateTime,
    pub(crate) traceparent: &'a str,
    /// Only if `EVENTS_WITH_EMAIL` is true.
    pub(crate) email: Option<&'a EmailAddress>,
}

/// One CloudEvent. The outbox stores the body that is published.
#[derive(Clone, PartialEq)]
pub struct Event {
    pub(crate) id: Uuid,
    /// The CloudEvents `type`.
    pub(crate) kind: String,
    pub(crate) body: Value,
    pub(crate) traceparent: Option<String>,
    /// How long it has waited in the outbox.
    pub(crate) age: Duration,
}

impl Event {
    /// Builds the CloudEvents body.
    pub(crate) fn new(id: Uuid, kind: EventKind, context: &EventContext<'_>) -> Self {
        let EventContext { source, at, traceparent, email } = context;
        let (event_type, subject, mut data) = match kind {
            EventKind::Registered { registration } => {
                ("user.registered", registration, json!({ "registration": registration }))
            }
            EventKind::Activated { user, registration } => {
                ("user.activated", user, json!({ "user": user, "registration": registration }))
            }
            EventKind::PasswordChanged { user } => ("user.password_changed", user, json!({ "user": user })),
            EventKind::Deleted { user } => ("user.deleted", user, json!({ "user": user })),
        };
        // The email address of a deleted user is not published again: a subscriber that stored it finds it by the user
        // id.
        if let Some(email) = email
            && !matches!(kind, EventKind::Deleted { .. })
        {
            data["email"] = email.as_str().into();
        }
        let mut body = Map::new();
        let time = at.format(&Rfc3339).ok();
        for (name, value) in [
            ("specversion", SPECVERSION.into()),
            ("id", id.to_string().into()),
            ("source", (*source).into()),
            ("type", event_type.into()),
            ("subject", subject.to_string().into()),
            ("time", time.into()),
            ("datacontenttype", "application/json".into()),
            // The CloudEvents extension "Distributed Tracing".
            ("traceparent", (*traceparent).into()),
            ("data", data),
        ] {
            body.insert(name.to_owned(), value);
        }
        let traceparent = Some((*traceparent).to_owned());
        Self { id, kind: event_type.to_owned(), body: body.into(), traceparent, age: Duration::ZERO }
    }

    /// Reads an event from the outbox. Any type is accepted: a newer version of the API may write others, and
    /// subscribers select types themselves.
    pub(crate) fn read(
        id: Uuid,
        body: Value,
        traceparent: Option<String>,
        age: Duration,
    ) -> Result<Self, &'static str> {
        if body["specversion"] != SPECVERSION {
            return Err("a version of CloudEvents this relay does not know");
        }
        let kind = body["type"].as_str().filter(|kind| (1..=MAX_TYPE_LENGTH).contains(&kind.len()));
        let kind = kind.ok_or("an event without a type")?.to_owned();
        Ok(Self { id, kind, body, traceparent, age })
    }

    /// The backoff after a rejected delivery.
    pub(crate) fn back_off(&self) -> Duration {
        (self.age / BACK_OFF_DIVISOR_OF_AGE).clamp(MIN_BACK_OFF, MAX_BACK_OFF)
    }
}

/// Without the body, which may contain an email address.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
