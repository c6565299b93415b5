//! The wire contract: what one message says and how it is written down.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version that this code writes, and the only one that it reads.
const VERSION: u64 = 1;

/// A message carries no address and no code: only which mail to send, about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Message {
    pub kind: MailKind,
    /// `SendCode` and `AlreadyRegistered` name a code, `Activated` names a user, `ResetCode` and `NoAccount` the code of
    /// a reset, `PasswordChanged` the change.
    pub id: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailKind {
    SendCode,
    AlreadyRegistered,
    Activated,
    ResetCode,
    NoAccount,
    PasswordChanged,
}

/// A message on its way, with the trace it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub message: Message,
    pub traceparent: Option<String>,
}

impl Message {
    pub fn to_json(self) -> serde_json::Value {
        serde_json::json!({ "v": VERSION, "kind": self.kind, "id": self.id })
    }

    /// The error says why nobody will ever be able to read these bytes, without repeating them.
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
    fn the_wire_form_is_the_one_of_the_contract() {
        let message = Message { kind: MailKind::AlreadyRegistered, id: ID.parse().unwrap() };
        let json = message.to_json();
        assert_eq!(json, serde_json::json!({"v": 1, "kind": "already-registered", "id": ID}));
        assert_eq!(Message::from_json(json.to_string().as_bytes()), Ok(message));
    }

    #[test]
    fn what_can_never_be_read_says_why() {
        let cases = [
            ("{", "not JSON"),
            (r#"{"kind":"send-code"}"#, "no version"),
            (r#"{"v":2,"kind":"send-code"}"#, "a version this worker does not know"),
            (r#"{"v":1,"kind":"send-fax","id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff"}"#, "an unknown kind or a bad id"),
            (r#"{"v":1,"kind":"send-code","id":"7"}"#, "an unknown kind or a bad id"),
        ];
        for (bytes, why) in cases {
            assert_eq!(Message::from_json(bytes.as_bytes()), Err(why), "{bytes}");
        }
    }
}
