//! The wire contract between the API and the worker: the mail kinds and the JSON format of a message.

use serde::{Deserialize, Serialize};
use time::Duration;
use uuid::Uuid;

/// The version of the format that this code writes, and the only one that it reads.
const VERSION: u64 = 1;

/// A request to send one mail. It contains no email address and no code, only the kind of the mail and the id of its
/// subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Message {
    pub kind: MailKind,
    /// The id of the row that the mail is about; [`MailKind`] says which.
    pub id: Uuid,
}

/// The queue that a mail travels in. Codes and notices are separate, so that no number of notices delays a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailQueue {
    /// The answers to what a client waits for: a registration, a resend, a forgotten password. Whatever such a mail
    /// says, it is in this queue, so that the queues do not reveal which email addresses have an account.
    Codes,
    /// What the owner of an account should know, but does not wait for.
    Notices,
}

impl MailQueue {
    /// Every queue.
    pub const ALL: [Self; 2] = [Self::Codes, Self::Notices];

    /// The routing key of its messages, and the last part of its name.
    pub const fn routing_key(self) -> &'static str {
        match self {
            Self::Codes => "send-code",
            Self::Notices => "send-notice",
        }
    }
}

macro_rules! mail_kinds {
    ($($(#[$doc:meta])+ $kind:ident = $name:literal in $queue:ident $(for $max_age:expr)?,)+) => {
        /// The kinds of mail. This table is the only list of them: names on the wire, queues, deadlines, parsing and
        /// metric labels derive from it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum MailKind {
            $($(#[$doc])+ #[serde(rename = $name)] $kind,)+
        }

        impl MailKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The name on the wire and in metric labels.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// How long after its event the mail is of use; `None` where the deadline of a code decides.
            pub const fn max_age(self) -> Option<Duration> {
                match self {
                    $(Self::$kind => mail_kinds!(@max_age $($max_age)?),)+
                }
            }

            /// The queue of its messages.
            pub const fn queue(self) -> MailQueue {
                match self {
                    $(Self::$kind => MailQueue::$queue,)+
                }
            }
        }
    };
    (@max_age) => { None };
    (@max_age $max_age:expr) => { Some($max_age) };
}

mail_kinds! {
    /// The answer to a registration or a resend; the id is that of the code. The mail contains the code, or says that
    /// the email address has an account if the code is a decoy: the message itself must not reveal which. The worker
    /// drops it if the rest of its lifetime is too short, or if the code is superseded or its registration closed or
    /// activated.
    SendCode = "send-code" in Codes,
    /// Confirms that an account is active. Caused by an activation; the id is that of the user.
    Activated = "activated" in Notices for Duration::DAY,
    /// The answer to a forgotten password; the id is that of the reset code. The mail contains the code, or says that
    /// the email address has no account if the code is a decoy. Dropped if the rest of its lifetime is too short, or if
    /// the code is superseded, used or closed.
    ResetCode = "reset-code" in Codes,
    /// Warns that a password was changed. Caused by a password change or reset; the id is that of the change.
    PasswordChanged = "password-changed" in Notices for Duration::WEEK,
    /// Tells the owner that the account was deleted. Caused by the deletion; the id is that of the deletion.
    AccountDeleted = "account-deleted" in Notices for Duration::WEEK,
    /// A link that lets the owner of a locked account in. Caused by the first request that the lock refuses; the id is
    /// that of the link. The same whether there is an account or not.
    Unlock = "unlock" in Notices for Duration::DAY,
}

/// A message with the trace context it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub message: Message,
    /// The W3C `traceparent` of the request that caused the message, if there was one.
    pub traceparent: Option<String>,
}

impl Message {
    /// Serialises the message for the outbox and the queue.
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({ "v": VERSION, "kind": self.kind, "id": self.id })
    }

    /// Parses a message. The error says why these bytes can never be a message, without repeating them.
    pub fn from_json(bytes: &[u8]) -> Result<Self, &'static str> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| "not JSON")?;
        match value.get("v").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {}
            Some(_) => return Err("a version this worker does not know"),
            None => return Err("no version"),
        }
        serde_json::from_value(value).map_err(|_| "an unknown kind or a bad id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f9619ff-8b86-4011-b42d-00cf4fc964ff";

    #[test]
    fn wire_format_matches_the_contract() {
        let message = Message { kind: MailKind::ResetCode, id: ID.parse().unwrap() };
        let json = message.to_json();
        assert_eq!(json, serde_json::json!({"v": 1, "kind": "reset-code", "id": ID}));
        assert_eq!(Message::from_json(json.to_string().as_bytes()), Ok(message));
    }

    #[test]
    fn every_kind_round_trips() {
        for &kind in MailKind::ALL {
            let message = Message { kind, id: ID.parse().unwrap() };
            assert_eq!(message.to_json()["kind"], kind.name());
            assert_eq!(Message::from_json(message.to_json().to_string().as_bytes()), Ok(message));
        }
    }

    /// A welcome is of no use after a day; a late warning is better than none, for a week.
    #[test]
    fn notices_have_a_maximum_age_and_codes_a_deadline() {
        for &kind in MailKind::ALL {
            assert_eq!(kind.max_age().is_some(), kind.queue() == MailQueue::Notices, "{kind:?}");
        }
        let notices = [MailKind::Activated, MailKind::PasswordChanged, MailKind::AccountDeleted, MailKind::Unlock];
        let ages = [Duration::DAY, Duration::WEEK, Duration::WEEK, Duration::DAY];
        assert_eq!(notices.map(MailKind::max_age), ages.map(Some));
    }

    #[test]
    fn invalid_messages_give_the_reason() {
        let cases = [
            ("{", "not JSON"),
            (r#"{"kind":"send-code"}"#, "no version"),
            (r#"{"v":2,"kind":"send-code"}"#, "a version this worker does not know"),
            (r#"{"v":1,"kind":"send-fax","id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff"}"#, "an unknown kind or a bad id"),
            (r#"{"v":1,"kind":"send-code","id":"7"}"#, "an unknown kind or a bad id"),
        ];
        for (bytes, reason) in cases {
            assert_eq!(Message::from_json(bytes.as_bytes()), Err(reason), "{bytes}");
        }
    }
}
