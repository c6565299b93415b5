//! Receipts: the public state of a registration.

use time::OffsetDateTime;
use uuid::Uuid;

/// The public state of a registration and its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) registration: Uuid,
    pub(crate) status: RegistrationStatus,
    pub(crate) requested_at: OffsetDateTime,
    pub(crate) sent_at: Option<OffsetDateTime>,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) resend_at: OffsetDateTime,
    pub(crate) code_length: u8,
    pub(crate) attempts_left: u8,
}

/// The status of a registration, as the holder of its receipt sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegistrationStatus {
    /// No mail server has accepted the mail yet.
    Queued,
    /// The code can be used.
    Sent,
    /// The code expired, has no attempts left, or is too short by now. Another one can be requested.
    Expired,
    /// The mail was rejected for good.
    Undeliverable,
    /// The registration has become an account.
    Activated,
    /// The registration can neither be activated nor get another code.
    Closed,
}

impl RegistrationStatus {
    /// Whether the status is final: not even another code changes it.
    pub(crate) fn is_last(self) -> bool {
        matches!(self, Self::Activated | Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::{RegistrationStatus::*, *};

    #[test]
    fn only_activated_and_closed_registrations_are_final() {
        assert!([Activated, Closed].into_iter().all(RegistrationStatus::is_last));
        assert!(![Queued, Sent, Expired, Undeliverable].into_iter().any(RegistrationStatus::is_last));
    }
}
