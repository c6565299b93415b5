//! What comes in and goes out as JSON.

use std::borrow::Cow;

use poem_openapi::{
    Enum, Object,
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{account::login, registration::receipt, store::users};

#[derive(Object)]
#[oai(write_only_all)]
pub(crate) struct Registration {
    /// An address of the form `name@example.com`. It is trimmed and lower-cased.
    pub(crate) email: Given,
    /// 8 to 128 characters of any kind; not the address, and not one of those that everybody tries first.
    pub(crate) password: Given,
}

#[derive(Object)]
#[oai(write_only_all)]
pub(crate) struct Resending {
    /// The `registration` of the receipt. Without it, the newest one that the password opens is meant.
    pub(crate) registration: Option<Given>,
}

#[derive(Object)]
#[oai(write_only_all)]
pub(crate) struct Activation {
    /// The digits from the mail.
    pub(crate) code: Given,
    /// The `registration` of the receipt. Without it, any open one that the password opens may be meant.
    pub(crate) registration: Option<Given>,
}

#[derive(Object)]
pub(crate) struct Receipt {
    registration: Uuid,
    status: Status,
    requested_at: Timestamp,
    /// When a mail server took the mail: the code lives from then on.
    #[oai(skip_serializing_if_is_none)]
    sent_at: Option<Timestamp>,
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Timestamp>,
    /// From when on another code may be asked for.
    resend_at: Timestamp,
    code_length: u8,
    attempts_left: u8,
}

#[derive(Enum)]
#[oai(rename_all = "lowercase")]
enum Status {
    /// Not yet with a mail server.
    Queued,
    /// Valid until `expires_at`.
    Sent,
    /// The newest code died unused.
    Expired,
    /// The mail was refused for good.
    Undeliverable,
    Activated,
    /// Too old, or another registration of the address was activated.
    Closed,
}

#[derive(Object)]
pub(crate) struct User {
    id: Uuid,
    email: String,
    activated_at: Timestamp,
}

#[derive(Object)]
pub(crate) struct Session {
    /// For `Authorization: Bearer`. It is told this once.
    token: String,
    token_type: String,
    expires_at: Timestamp,
}

impl From<receipt::Receipt> for Receipt {
    fn from(receipt: receipt::Receipt) -> Self {
        let status = match receipt.status {
            receipt::RegistrationStatus::Queued => Status::Queued,
            receipt::RegistrationStatus::Sent => Status::Sent,
            receipt::RegistrationStatus::Expired => Status::Expired,
            receipt::RegistrationStatus::Undeliverable => Status::Undeliverable,
            receipt::RegistrationStatus::Activated => Status::Activated,
            receipt::RegistrationStatus::Closed => Status::Closed,
        };
        Self {
            registration: receipt.registration,
            status,
            requested_at: Timestamp(receipt.requested_at),
            sent_at: receipt.sent_at.map(Timestamp),
            expires_at: receipt.expires_at.map(Timestamp),
            resend_at: Timestamp(receipt.resend_at),
            code_length: receipt.code_length,
            attempts_left: receipt.attempts_left,
        }
    }
}

impl From<users::User> for User {
    fn from(user: users::User) -> Self {
        Self { id: user.id, email: user.email.as_str().to_owned(), activated_at: Timestamp(user.activated_at) }
    }
}

impl From<login::Session> for Session {
    fn from(session: login::Session) -> Self {
        let expires_at = Timestamp(session.expires_at);
        Self { token: session.token.spell_out(), token_type: "Bearer".to_owned(), expires_at }
    }
}

/// A string of a request, or its absence: what it should be is judged where all faults are
/// collected. Anything but a string is refused without being repeated, and it prints as nothing.
#[derive(Debug)]
pub(crate) struct Given(Option<SecretString>);

impl Given {
    pub(crate) fn text(&self) -> &str {
        self.0.as_ref().map_or("", |text| text.expose_secret())
    }
}

/// RFC 3339, in UTC.
pub(crate) struct Timestamp(pub(crate) OffsetDateTime);

macro_rules! a_string {
    ($type:ty, $raw:ty, $format:expr) => {
        impl Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = $raw;
            type RawElementValueType = $raw;

            fn name() -> Cow<'static, str> {
                "string".into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new(MetaSchema { format: $format, ..MetaSchema::new("string") }))
            }

            fn as_raw_value(&self) -> Option<&$raw> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a $raw> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}

a_string!(Given, Given, None);
a_string!(Timestamp, Timestamp, Some("date-time"));

impl ParseFromJSON for Given {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            None | Some(Value::Null) => Ok(Self(None)),
            Some(Value::String(text)) => Ok(Self(Some(text.into()))),
            Some(_) => Err(ParseError::custom("a string was expected")),
        }
    }
}

/// The framework wants to be able to read whatever it writes.
impl ParseFromJSON for Timestamp {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let text = value.as_ref().and_then(Value::as_str).unwrap_or_default();
        OffsetDateTime::parse(text, &Rfc3339).map(Self).map_err(ParseError::custom)
    }
}

impl ToJSON for Timestamp {
    fn to_json(&self) -> Option<Value> {
        self.0.format(&Rfc3339).ok().map(Value::String)
    }
}
