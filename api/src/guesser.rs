//! The wrong codes that come from one network, whoever's they are.

use time::OffsetDateTime;

use crate::{
    App,
    domain::{
        network::Network,
        policy::{Scope, TooMany},
    },
    refusal::Refusal,
    store::{
        self, Transaction,
        budgets::{self, Kind},
    },
};

/// Whether this network may guess: asked before a password is hashed for it.
pub(crate) async fn check(app: &App, network: Network) -> Result<(), Refusal> {
    let connection = app.store.connection().await?;
    let ([wrong], now) = budgets::used(&connection, [(&app.network_key(network), Kind::WrongCodesFrom)]).await?;
    judge(app, &wrong, now)
}

/// Counts a guess that is compared with so many codes as that many wrong ones, until it is known to be right.
pub(crate) async fn count(
    app: &App,
    transaction: &Transaction<'_>,
    network: Network,
    codes: usize,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let guesser = app.network_key(network);
    // After the lock of an address, never before.
    store::lock(transaction, &guesser).await?;
    let ([mut wrong], _) = budgets::used(transaction, [(&guesser, Kind::WrongCodesFrom)]).await?;
    judge(app, &wrong, now)?;
    for _ in 0..codes {
        wrong = app.policy.wrong_codes_from.with(&wrong, now);
    }
    Ok(budgets::set(transaction, &guesser, Kind::WrongCodesFrom, &wrong).await?)
}

/// The guess that was counted at this time was right.
pub(crate) async fn forgive(
    app: &App,
    transaction: &Transaction<'_>,
    network: Network,
    counted_at: OffsetDateTime,
) -> Result<(), Refusal> {
    let guesser = app.network_key(network);
    store::lock(transaction, &guesser).await?;
    let ([mut wrong], _) = budgets::used(transaction, [(&guesser, Kind::WrongCodesFrom)]).await?;
    wrong.retain(|&at| at != counted_at);
    Ok(budgets::set(transaction, &guesser, Kind::WrongCodesFrom, &wrong).await?)
}

fn judge(app: &App, wrong: &[OffsetDateTime], now: OffsetDateTime) -> Result<(), Refusal> {
    let too_many = |retry_after| TooMany { scope: Scope::Network, retry_after };
    Ok(app.policy.wrong_codes_from.check(wrong, now).map_err(too_many)?)
}
