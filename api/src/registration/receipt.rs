//! Receipts: what the holder of a registration's id may know about it.

use futures_util::future::try_join;
use uuid::Uuid;

use crate::{
    app::App,
    auth::{code_status::MailedCode, counted_guess},
    domain::{
        policy::{CodeStatus, Policy, attempts_left},
        rate_limit::guess_shares::InstanceTotals,
        receipt::{Receipt, RegistrationStatus},
    },
    error::Error,
    store::{
        guesses::{self, GuessCounts},
        registrations::{self, Registration},
    },
};

/// Reads the receipt of one registration.
pub(crate) async fn read(app: &App, id: Uuid) -> Result<Receipt, Error> {
    let connection = app.store.connection().await?;
    let registration = registrations::by_id(&connection, id).await?.ok_or(Error::NotFound)?;
    let email_key = app.email_key(&registration.email);
    let reading = try_join(guesses::read(&connection, &email_key), counted_guess::instance_totals(app, &connection));
    let (ledger, totals) = reading.await?;
    Ok(with_required_length(app, &registration, &ledger, &totals))
}

/// Reads the receipts of many registrations at once. Those that do not exist are left out.
pub(crate) async fn read_all(app: &App, ids: &[Uuid]) -> Result<Vec<Receipt>, Error> {
    let connection = app.store.connection().await?;
    let registrations = registrations::by_ids(&connection, ids).await?;
    let keys: Vec<_> = registrations.iter().map(|registration| app.email_key(&registration.email)).collect();
    let reading = try_join(guesses::read_all(&connection, &keys), counted_guess::instance_totals(app, &connection));
    let (ledgers, totals) = reading.await?;
    let pairs = registrations.iter().zip(&ledgers);
    Ok(pairs.map(|(registration, ledger)| with_required_length(app, registration, ledger, &totals)).collect())
}

fn with_required_length(
    app: &App,
    registration: &Registration,
    ledger: &GuessCounts,
    totals: &InstanceTotals,
) -> Receipt {
    let required_length = app.policy.guesses.length(&ledger.record, totals, ledger.now);
    let mut receipt = of(registration, &app.policy);
    // While longer codes are required, a shorter one is rejected.
    let is_pending = matches!(receipt.status, RegistrationStatus::Queued | RegistrationStatus::Sent);
    if registration.code.length < required_length && is_pending {
        receipt.status = RegistrationStatus::Expired;
    }
    receipt
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
