//! Makes a code for a registration, and the message that has it mailed.

use secrecy::ExposeSecret;
use shared::{
    code::DECOY,
    message::{self, Envelope, Message},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    App, chance,
    domain::{
        email::EmailAddress,
        network::Network,
        policy::{Code, Minted, Wanted},
    },
    refusal::Refusal,
    store::{
        self, Transaction,
        budgets::{self, Kind},
        codes, guesses, outbox, users,
    },
};

/// For whom a code is wanted, from where, and why.
pub(crate) struct Order<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) network: Network,
    pub(crate) wanted: Wanted,
    pub(crate) traceparent: &'a str,
}

/// The right to one more code for an address, taken from its budget.
pub(crate) struct Grant {
    length: u8,
    minted: Minted,
    pub(crate) now: OffsetDateTime,
}

/// Asks the policy. The caller has locked the address.
pub(crate) async fn grant(app: &App, transaction: &Transaction<'_>, order: &Order<'_>) -> Result<Grant, Refusal> {
    let (address, here) = (app.address_key(order.email), app.address_at(order.email, order.network));
    let asked = [(&address, Kind::Codes), (&here, Kind::CodesFrom)];
    let ([all, here], now) = budgets::used(transaction, asked).await?;
    let minted = Minted { all, here };
    app.policy.may_mint(&minted, now, order.wanted)?;
    let ledger = guesses::read(transaction, &address).await?;
    let length = app.policy.guesses.length(&ledger.record, &ledger.spent, now);
    Ok(Grant { length, minted: app.policy.remember(&minted, now), now })
}

/// Whether a registration would be refused now, for the price of one read: asked before a password is hashed.
pub(crate) async fn foresee(app: &App, connection: &store::Connection, order: &Order<'_>) -> Result<(), Refusal> {
    let (address, here) = (app.address_key(order.email), app.address_at(order.email, order.network));
    let network = app.network_key(order.network);
    let asked = [(&address, Kind::Codes), (&here, Kind::CodesFrom), (&network, Kind::RegistrationsFrom)];
    let ([all, here, registered], now) = budgets::used(connection, asked).await?;
    app.policy.may_mint(&Minted { all, here }, now, order.wanted)?;
    Ok(app.policy.may_register(&registered, now)?)
}

/// Takes a registration from what a network may have. The caller has locked the address, and commits soon:
/// everybody else in that network waits.
pub(crate) async fn count_registration(
    app: &App,
    transaction: &Transaction<'_>,
    network: Network,
) -> Result<(), Refusal> {
    let Some(share) = &app.policy.registrations_from else { return Ok(()) };
    let network = app.network_key(network);
    store::lock(transaction, &network).await?;
    let ([registered], now) = budgets::used(transaction, [(&network, Kind::RegistrationsFrom)]).await?;
    app.policy.may_register(&registered, now)?;
    Ok(budgets::set(transaction, &network, Kind::RegistrationsFrom, &share.with(&registered, now)).await?)
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
    let Grant { length, minted, now } = grant;
    let has_account = users::by_email(transaction, order.email).await?.is_some();
    let (id, key, policy) = (chance::id(), app.ring.newest(), &app.policy);
    let digits = if has_account { DECOY.to_owned().into() } else { key.digits(id, length) };
    let code = Code {
        id,
        registration,
        hash: key.verifier(id, digits.expose_secret()).to_vec(),
        key_id: key.id.clone(),
        length,
        attempts: 0,
        attempts_allowed: policy.code_attempts,
        deadline: now + policy.code_max_age,
        sent_at: None,
        expires_at: None,
        resend_at: policy.resend_at(&minted, now),
    };
    let ttl_seconds = i32::try_from(policy.code_ttl.whole_seconds()).unwrap_or(i32::MAX);
    codes::insert(transaction, &code, ttl_seconds, now).await?;
    budgets::set(transaction, &app.address_key(order.email), Kind::Codes, &minted.all).await?;
    let here = app.address_at(order.email, order.network);
    budgets::set(transaction, &here, Kind::CodesFrom, &minted.here).await?;

    let kind = if has_account { message::Kind::AlreadyRegistered } else { message::Kind::SendCode };
    let traceparent = Some(order.traceparent.to_owned());
    outbox::insert(transaction, &Envelope { message: Message { kind, id }, traceparent }).await?;
    Ok(code)
}
