//! What comes in and goes out about other passwords.

use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::{
    account::forgot_password,
    http::json::{Given, Timestamp},
    store::resets::Reset,
};

#[derive(Object)]
#[oai(write_only_all)]
pub(crate) struct Forgotten {
    /// The address of the account.
    pub(crate) email: Given,
}

#[derive(Object)]
#[oai(write_only_all, rename = "Reset")]
pub(crate) struct NewPassword {
    /// The `receipt` that asking for the code was answered with.
    pub(crate) receipt: Given,
    /// The digits from the mail.
    pub(crate) code: Given,
    /// 8 to 128 characters of any kind; not the address, and not one of those that everybody tries first.
    pub(crate) password: Given,
}

#[derive(Object)]
#[oai(write_only_all)]
pub(crate) struct PasswordChange {
    /// The one that is in force.
    pub(crate) password: Given,
    /// 8 to 128 characters of any kind; not the address, and not one of those that everybody tries first.
    pub(crate) new_password: Given,
}

#[derive(Object)]
pub(crate) struct ResetReceipt {
    /// The right to use the code, and to guess it: it is in no mail.
    receipt: Uuid,
    status: ResetStatus,
    requested_at: Timestamp,
    /// When a mail server took the mail: the code lives from then on.
    #[oai(skip_serializing_if_is_none)]
    sent_at: Option<Timestamp>,
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<Timestamp>,
    /// From when on asking again is worth it.
    resend_at: Timestamp,
    code_length: u8,
    attempts_left: u8,
}

#[derive(Enum)]
#[oai(rename_all = "lowercase")]
enum ResetStatus {
    /// Not yet with a mail server.
    Queued,
    /// Valid until `expires_at`.
    Sent,
    /// The code died unused.
    Expired,
    /// The mail was refused for good.
    Undeliverable,
    /// It changed the password.
    Used,
}

impl From<Reset> for ResetReceipt {
    fn from(reset: Reset) -> Self {
        let status = match forgot_password::status(&reset) {
            forgot_password::ResetStatus::Queued => ResetStatus::Queued,
            forgot_password::ResetStatus::Sent => ResetStatus::Sent,
            forgot_password::ResetStatus::Expired => ResetStatus::Expired,
            forgot_password::ResetStatus::Undeliverable => ResetStatus::Undeliverable,
            forgot_password::ResetStatus::Used => ResetStatus::Used,
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
