//! JSON request and response bodies. `rename` keeps the schema names of the OpenAPI document.

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

use crate::{
    account::{forgot_password, login},
    domain::receipt::{Receipt, RegistrationStatus},
    store::{resets::Reset, users},
};

/// Body of `POST /v1/users`.
#[derive(Object)]
#[oai(write_only_all, rename = "Registration")]
pub(crate) struct RegisterBody {
    /// An email address of the form `name@example.com`. It is trimmed and lower-cased.
    pub(crate) email: TextField,
    /// 8 to 128 characters of any kind; neither the email address nor one of the most common passwords.
    pub(crate) password: TextField,
}

/// Body of `POST /v1/users/resend`.
#[derive(Object)]
#[oai(write_only_all, rename = "Resending")]
pub(crate) struct ResendBody {
    /// The `registration` of the receipt. Without it, the newest registration with this password is used.
    pub(crate) registration: Option<TextField>,
}

/// Body of `POST /v1/users/activate`.
#[derive(Object)]
#[oai(write_only_all, rename = "Activation")]
pub(crate) struct ActivateBody {
    /// The digits from the mail.
    pub(crate) code: TextField,
    /// The `registration` of the receipt. Without it, any open registration with this password may be used.
    pub(crate) registration: Option<TextField>,
}

/// The state of a registration, as the client that registered sees it.
#[derive(Object)]
#[oai(rename = "Receipt")]
pub(crate) struct ReceiptBody {
    registration: Uuid,
    status: ReceiptStatus,
    requested_at: Timestamp,
    /// When a mail server accepted the mail. The code is valid from then on.
    #[oai(skip_serializing_if_is_none)]
    sent_at: Option<Timestamp>,
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Timestamp>,
    /// The earliest time at which another code may be requested.
    resend_at: Timestamp,
    code_length: u8,
    attempts_left: u8,
}

#[derive(Enum)]
#[oai(rename = "Status", rename_all = "lowercase")]
enum ReceiptStatus {
    /// No mail server has accepted the mail yet.
    Queued,
    /// The code is valid until `expires_at`.
    Sent,
    /// The newest code expired unused.
    Expired,
    /// The mail server rejected the mail permanently.
    Undeliverable,
    Activated,
    /// The registration is too old, or another registration of the email address was activated.
    Closed,
}

/// The user a session belongs to.
#[derive(Object)]
#[oai(rename = "User")]
pub(crate) struct UserBody {
    id: Uuid,
    email: String,
    activated_at: Timestamp,
}

/// A new session.
#[derive(Object)]
#[oai(rename = "Session")]
pub(crate) struct SessionBody {
    /// For `Authorization: Bearer`. It is returned only this once.
    token: String,
    token_type: String,
    expires_at: Timestamp,
}

/// Body of `POST /v1/users/password/forgot`.
#[derive(Object)]
#[oai(write_only_all, rename = "Forgotten")]
pub(crate) struct ForgotPasswordBody {
    /// The email address of the account.
    pub(crate) email: TextField,
}

/// Body of `POST /v1/users/password/reset`.
#[derive(Object)]
#[oai(write_only_all, rename = "Reset")]
pub(crate) struct ResetPasswordBody {
    /// The `receipt` that was returned when the code was requested.
    pub(crate) receipt: TextField,
    /// The digits from the mail.
    pub(crate) code: TextField,
    /// 8 to 128 characters of any kind; neither the email address nor one of the most common passwords.
    pub(crate) password: TextField,
}

/// Body of `POST /v1/users/me/password`.
#[derive(Object)]
#[oai(write_only_all, rename = "PasswordChange")]
pub(crate) struct ChangePasswordBody {
    /// The current password.
    pub(crate) password: TextField,
    /// 8 to 128 characters of any kind; neither the email address nor one of the most common passwords.
    pub(crate) new_password: TextField,
}

/// The state of a password reset, as the client that requested it sees it.
#[derive(Object)]
#[oai(rename = "ResetReceipt")]
pub(crate) struct ResetReceiptBody {
    /// Required to use the code, or to guess it. It is not in the mail.
    receipt: Uuid,
    status: ResetReceiptStatus,
    requested_at: Timestamp,
    /// When a mail server accepted the mail. The code is valid from then on.
    #[oai(skip_serializing_if_is_none)]
    sent_at: Option<Timestamp>,
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Timestamp>,
    /// The earliest time at which another code may be requested.
    resend_at: Timestamp,
    code_length: u8,
    attempts_left: u8,
}

#[derive(Enum)]
#[oai(rename = "ResetStatus", rename_all = "lowercase")]
enum ResetReceiptStatus {
    /// No mail server has accepted the mail yet.
    Queued,
    /// The code is valid until `expires_at`.
    Sent,
    /// The code expired unused.
    Expired,
    /// The mail server rejected the mail permanently.
    Undeliverable,
    /// The code was used to change the password.
    Used,
}

impl From<Receipt> for ReceiptBody {
    fn from(receipt: Receipt) -> Self {
        let status = match receipt.status {
            RegistrationStatus::Queued => ReceiptStatus::Queued,
            RegistrationStatus::Sent => ReceiptStatus::Sent,
            RegistrationStatus::Expired => ReceiptStatus::Expired,
            RegistrationStatus::Undeliverable => ReceiptStatus::Undeliverable,
            RegistrationStatus::Activated => ReceiptStatus::Activated,
            RegistrationStatus::Closed => ReceiptStatus::Closed,
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

impl From<users::User> for UserBody {
    fn from(user: users::User) -> Self {
        Self { id: user.id, email: user.email.as_str().to_owned(), activated_at: Timestamp(user.activated_at) }
    }
}

impl From<login::Session> for SessionBody {
    fn from(session: login::Session) -> Self {
        let expires_at = Timestamp(session.expires_at);
        Self { token: session.token.expose(), token_type: "Bearer".to_owned(), expires_at }
    }
}

impl From<Reset> for ResetReceiptBody {
    fn from(reset: Reset) -> Self {
        let status = match forgot_password::status(&reset) {
            forgot_password::ResetStatus::Queued => ResetReceiptStatus::Queued,
            forgot_password::ResetStatus::Sent => ResetReceiptStatus::Sent,
            forgot_password::ResetStatus::Expired => ResetReceiptStatus::Expired,
            forgot_password::ResetStatus::Undeliverable => ResetReceiptStatus::Undeliverable,
            forgot_password::ResetStatus::Used => ResetReceiptStatus::Used,
        };
        let Reset { id, created_at, code, .. } = reset;
        Self {
            receipt: id,
            status,
            requested_at: Timestamp(created_at),
            sent_at: code.sent_at.map(Timestamp),
            expires_at: code.expires_at.map(Timestamp),
            resend_at: Timestamp(code.resend_at),
            code_length: code.length,
            attempts_left: code.attempts_allowed.saturating_sub(code.attempts),
        }
    }
}

/// A string member of a request body, or its absence. The handler validates it, so that all invalid fields are reported
/// together. Any other JSON type is rejected without repeating the value. `Debug` does not print the text.
#[derive(Debug)]
pub(crate) struct TextField(Option<SecretString>);

impl TextField {
    /// The text; empty if the member is missing or null.
    pub(crate) fn text(&self) -> &str {
        self.0.as_ref().map_or("", |text| text.expose_secret())
    }
}

/// A time as RFC 3339 in UTC.
pub(crate) struct Timestamp(pub(crate) OffsetDateTime);

/// Implements poem-openapi's `Type` for a type that is a JSON string.
macro_rules! string_type {
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

string_type!(TextField, TextField, None);
string_type!(Timestamp, Timestamp, Some("date-time"));

impl ParseFromJSON for TextField {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            None | Some(Value::Null) => Ok(Self(None)),
            Some(Value::String(text)) => Ok(Self(Some(text.into()))),
            Some(_) => Err(ParseError::custom("a string was expected")),
        }
    }
}

/// Never used: poem-openapi requires it of every member, also in response bodies.
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
