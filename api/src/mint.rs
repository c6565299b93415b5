//! Makes a code for a registration, and the message that has it mailed.

use secrecy::ExposeSecret;
use shared::message::{Envelope, Kind, Message};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    App, chance,
    domain::{
        email::EmailAddress,
        policy::{Code, Wanted},
    },
    refusal::Refusal,
    store::{self, Transaction, budgets, codes, outbox, users},
};

/// For whom a code is wanted, and why.
pub(crate) struct Order<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) wanted: Wanted,
    pub(crate) traceparent: &'a str,
}

/// The right to one more code for an address, taken from its budget.
pub(crate) struct Grant {
    address: [u8; 32],
    minted: Vec<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

/// Asks the policy. The caller has locked the address.
pub(crate) async fn grant(app: &App, transaction: &Transaction<'_>, order: &Order<'_>) -> Result<Grant, Refusal> {
    let address = app.address_key(order.email);
    let (minted, now) = budgets::codes(transaction, &address).await?;
    app.policy.may_mint(&minted, now, order.wanted).map_err(too_many)?;
    Ok(Grant { address, minted: app.policy.remember(&minted, now), now })
}

/// The answer that `grant` would give now, for the price of one read: asked before a password is hashed.
pub(crate) async fn foresee(app: &App, connection: &store::Connection, order: &Order<'_>) -> Result<(), Refusal> {
    let (minted, now) = budgets::codes(connection, &app.address_key(order.email)).await?;
    app.policy.may_mint(&minted, now, order.wanted).map_err(too_many)
}

/// Writes the code that counts from now on, and the message about it. For an address that has an
/// account it is a decoy that nobody can know, and the message says so to the owner; nothing else differs.
pub(crate) async fn mint(
    app: &App,
    transaction: &Transaction<'_>,
    order: &Order<'_>,
    registration: Uuid,
    grant: Grant,
) -> Result<Code, Refusal> {
    let Grant { address, minted, now } = grant;
    let has_account = users::by_email(transaction, order.email).await?.is_some();
    let (id, key, policy) = (chance::id(), app.ring.newest(), &app.policy);
    let verifier = key.verifier(id, key.digits(id, policy.code_length).expose_secret());
    let code = Code {
        id,
        registration,
        hash: if has_account { chance::bytes().to_vec() } else { verifier.to_vec() },
        key_id: key.id.clone(),
        length: policy.code_length,
        attempts: 0,
        attempts_allowed: policy.code_attempts,
        deadline: now + policy.code_max_age,
        sent_at: None,
        expires_at: None,
        resend_at: policy.resend_at(&minted, now),
    };
    let ttl_seconds = i32::try_from(policy.code_ttl.whole_seconds()).unwrap_or(i32::MAX);
    codes::insert(transaction, &code, ttl_seconds, now).await?;
    budgets::set_codes(transaction, &address, &minted).await?;

    let kind = if has_account { Kind::AlreadyRegistered } else { Kind::SendCode };
    let traceparent = Some(order.traceparent.to_owned());
    outbox::insert(transaction, &Envelope { message: Message { kind, id }, traceparent }).await?;
    Ok(code)
}

fn too_many(retry_after: time::Duration) -> Refusal {
    Refusal::TooManyForAddress { retry_after }
}
