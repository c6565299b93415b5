//! The receipt: what the holder of a registration's id may know about it.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::policy::{CodeStatus, Policy, attempts_left},
    error::Error,
    store::{
        guesses::{self, Ledger},
        registrations::{self, Registration},
    },
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) registration: Uuid,
    pub(crate) status: Status,
    pub(crate) requested_at: OffsetDateTime,
    pub(crate) sent_at: Option<OffsetDateTime>,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) resend_at: OffsetDateTime,
    pub(crate) code_length: u8,
    pub(crate) attempts_left: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    Sent,
    Expired,
    Undeliverable,
    Activated,
    Closed,
}

pub(crate) async fn read(app: &App, id: Uuid) -> Result<Receipt, Error> {
    let connection = app.store.connection().await?;
    let found = registrations::by_id(&connection, id).await?.ok_or(Error::NotFound)?;
    let ledger = guesses::read(&connection, &app.address_name(&found.email)).await?;
    Ok(judge(app, &found, &ledger))
}

/// The same for many at once; those that there are.
pub(crate) async fn read_all(app: &App, ids: &[Uuid]) -> Result<Vec<Receipt>, Error> {
    let connection = app.store.connection().await?;
    let found = registrations::by_ids(&connection, ids).await?;
    let keys: Vec<_> = found.iter().map(|registration| app.address_name(&registration.email)).collect();
    let ledgers = guesses::read_all(&connection, &keys).await?;
    Ok(found.iter().zip(&ledgers).map(|(found, ledger)| judge(app, found, ledger)).collect())
}

fn judge(app: &App, found: &Registration, ledger: &Ledger) -> Receipt {
    let length = app.policy.guesses.length(&ledger.record, &ledger.spent, ledger.now);
    let mut receipt = of(found, &app.policy);
    // While everybody needs longer codes, this one opens nothing any more.
    if found.code.length < length && [Status::Queued, Status::Sent].contains(&receipt.status) {
        receipt.status = Status::Expired;
    }
    receipt
}

impl Status {
    /// Nothing comes after it: not another code either.
    pub(crate) fn is_last(self) -> bool {
        matches!(self, Self::Activated | Self::Closed)
    }
}

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

fn status(registration: &Registration, policy: &Policy) -> Status {
    if registration.activated_at.is_some() {
        return Status::Activated;
    }
    let over = policy.is_over(registration.created_at, registration.now);
    if registration.closed_at.is_some() || over || Policy::is_guessed_out(registration.guesses) {
        return Status::Closed;
    }
    if registration.undeliverable {
        return Status::Undeliverable;
    }
    match registration.code.standing(registration.now) {
        CodeStatus::Waiting if registration.dropped => Status::Expired,
        CodeStatus::Waiting => Status::Queued,
        CodeStatus::Live => Status::Sent,
        CodeStatus::Expired | CodeStatus::Exhausted => Status::Expired,
    }
}
