//! Receipts: what the holder of a registration's id may know about it.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    auth::code_status::MailedCode,
    domain::policy::{CodeStatus, Policy, attempts_left},
    error::Error,
    store::{
        guesses::{self, GuessCounts},
        registrations::{self, Registration},
    },
};

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
    /// The mail was rejected permanently.
    Undeliverable,
    /// The registration has become an account.
    Activated,
    /// The registration can neither be activated nor get another code.
    Closed,
}

/// Reads the receipt of one registration.
pub(crate) async fn read(app: &App, id: Uuid) -> Result<Receipt, Error> {
    let connection = app.store.connection().await?;
    let registration = registrations::by_id(&connection, id).await?.ok_or(Error::NotFound)?;
    let ledger = guesses::read(&connection, &app.email_key(&registration.email)).await?;
    Ok(with_required_length(app, &registration, &ledger))
}

/// Reads the receipts of many registrations at once. Those that do not exist are left out.
pub(crate) async fn read_all(app: &App, ids: &[Uuid]) -> Result<Vec<Receipt>, Error> {
    let connection = app.store.connection().await?;
    let registrations = registrations::by_ids(&connection, ids).await?;
    let keys: Vec<_> = registrations.iter().map(|registration| app.email_key(&registration.email)).collect();
    let ledgers = guesses::read_all(&connection, &keys).await?;
    let pairs = registrations.iter().zip(&ledgers);
    Ok(pairs.map(|(registration, ledger)| with_required_length(app, registration, ledger)).collect())
}

fn with_required_length(app: &App, registration: &Registration, ledger: &GuessCounts) -> Receipt {
    let required_length = app.policy.guesses.length(&ledger.record, &ledger.totals, ledger.now);
    let mut receipt = of(registration, &app.policy);
    // While longer codes are required, a shorter one is rejected.
    let is_pending = matches!(receipt.status, RegistrationStatus::Queued | RegistrationStatus::Sent);
    if registration.code.length < required_length && is_pending {
        receipt.status = RegistrationStatus::Expired;
    }
    receipt
}

impl RegistrationStatus {
    /// Whether the status is final: not even another code changes it.
    pub(crate) fn is_last(self) -> bool {
        matches!(self, Self::Activated | Self::Closed)
    }
}

/// The receipt of a registration, apart from the code length that the email address requires now.
pub(crate) fn of(registration: &Registration, policy: &Policy) -> Receipt {
    let code = &registration.code;
    Receipt {
        registration: registration.id,
        status: status(registration, policy),
        requested_at: registration.created_at,
        sent_at: code.sent_at,
        expires_at: code.expires_at,
        resend_at: code.resend_at,
        code_length: code.length,
        attempts_left: attempts_left(code, registration.guesses),
    }
}

fn status(registration: &Registration, policy: &Policy) -> RegistrationStatus {
    if registration.activated_at.is_some() {
        return RegistrationStatus::Activated;
    }
    let has_expired = policy.is_expired(registration.created_at, registration.now);
    if registration.closed_at.is_some() || has_expired || Policy::guesses_exhausted(registration.guesses) {
        return RegistrationStatus::Closed;
    }
    if registration.undeliverable {
        return RegistrationStatus::Undeliverable;
    }
    match MailedCode::from(registration).status() {
        CodeStatus::Waiting => RegistrationStatus::Queued,
        CodeStatus::Live => RegistrationStatus::Sent,
        CodeStatus::Expired | CodeStatus::Exhausted => RegistrationStatus::Expired,
    }
}
