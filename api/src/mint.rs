//! Makes a code for a registration, and the message that has it mailed.

use futures_util::future::try_join3;
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
        password::proof::Proof,
        policy::{Code, Minted, TooMany, Wanted},
    },
    names::Names,
    store::{
        Connection, Error,
        budgets::{self, Kind},
        codes,
        guesses::{self, Ledger},
        outbox,
        transaction::Writes,
        users::{self, User},
    },
};

/// For whom a code is wanted, and why.
pub(crate) struct Order<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) names: &'a Names,
    pub(crate) wanted: Wanted,
    pub(crate) traceparent: &'a str,
}

/// What was used before.
pub(crate) struct Used {
    minted: Minted,
    registered: Vec<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

/// What must be known to mint a code, read under the lock of the address.
pub(crate) struct Facts {
    pub(crate) used: Used,
    ledger: Ledger,
    account: Option<User>,
}

pub(crate) async fn read(connection: &Connection, order: &Order<'_>) -> Result<Facts, Error> {
    let (used, ledger, account) = try_join3(
        used(connection, order),
        guesses::read(connection, &order.names.address),
        users::by_email(connection, order.email),
    )
    .await?;
    Ok(Facts { used, ledger, account })
}

pub(crate) async fn used(connection: &Connection, Order { names, .. }: &Order<'_>) -> Result<Used, Error> {
    let asked =
        [(&names.address, Kind::Codes), (&names.here, Kind::CodesFrom), (&names.network, Kind::RegistrationsFrom)];
    let ([all, here, registered], now) = budgets::used(connection, asked).await?;
    Ok(Used { minted: Minted { all, here }, registered, now })
}

/// Asks the policy: a registration takes from what its network may have, too.
pub(crate) fn judge(app: &App, used: &Used, wanted: Wanted) -> Result<(), TooMany> {
    app.policy.may_mint(&used.minted, used.now, wanted)?;
    if wanted == Wanted::Registration { app.policy.may_register(&used.registered, used.now) } else { Ok(()) }
}

impl Facts {
    /// Whether a hash of this recipe may be added to those of the address: its account's may have been renewed
    /// while it was made.
    pub(crate) fn allow(&self, proof: &Proof) -> bool {
        self.account.as_ref().is_none_or(|account| proof.is_like(&account.password_hash))
    }
}

/// The code that counts from now on. For an address that has an account it is a decoy that nobody can know;
/// nothing else differs.
pub(crate) fn make(app: &App, facts: &Facts, registration: Uuid) -> Code {
    let Facts { used: Used { minted, now, .. }, ledger, account } = facts;
    let (id, key, policy) = (chance::id(), app.ring.newest(), &app.policy);
    let length = policy.guesses.length(&ledger.record, &ledger.spent, *now);
    let digits = if account.is_some() { DECOY.to_owned().into() } else { key.digits(id, length) };
    Code {
        id,
        registration,
        hash: key.verifier(id, digits.expose_secret()).to_vec(),
        key_id: key.id.clone(),
        length,
        attempts: 0,
        attempts_allowed: policy.code_attempts,
        deadline: *now + policy.code_max_age,
        sent_at: None,
        expires_at: None,
        resend_at: policy.resend_at(&policy.remember(minted, *now), *now),
    }
}

/// Writes the code, the message about it, and what it takes from the budgets. The message to an address that
/// has an account tells its owner so.
pub(crate) fn write<'a>(app: &App, writes: &mut Writes<'a>, order: &Order<'a>, facts: &Facts, code: &'a Code) {
    let (policy, names, now) = (&app.policy, order.names, facts.used.now);
    let ttl_seconds = i32::try_from(policy.code_ttl.whole_seconds()).unwrap_or(i32::MAX);
    codes::insert(writes, code, ttl_seconds, now);
    let Minted { all, here } = policy.remember(&facts.used.minted, now);
    budgets::set(writes, &names.address, Kind::Codes, all);
    budgets::set(writes, &names.here, Kind::CodesFrom, here);
    if let (Wanted::Registration, Some(share)) = (order.wanted, &policy.registrations_from) {
        budgets::set(writes, &names.network, Kind::RegistrationsFrom, share.with(&facts.used.registered, now));
    }
    let kind = if facts.account.is_some() { message::Kind::AlreadyRegistered } else { message::Kind::SendCode };
    let (message, traceparent) = (Message { kind, id: code.id }, Some(order.traceparent.to_owned()));
    outbox::insert(writes, Envelope { message, traceparent });
}
