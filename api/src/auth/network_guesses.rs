//! Rate limit for wrong codes per network, for registrations and resets together.

use crate::{
    app::App,
    domain::{
        policy::{RateLimited, Scope},
        rate_limit::guess_shares::NetworkGuesses,
        subject_keys::SubjectKeys,
    },
    store::{Connection, PgError, guesses::code_attempts},
};

/// Reads the guesses of the network of a request; `None` if networks have no limit.
pub(crate) async fn read(
    app: &App,
    connection: &Connection,
    keys: &SubjectKeys,
) -> Result<Option<NetworkGuesses>, PgError> {
    let Some(limit) = &app.policy.wrong_codes_per_network else { return Ok(None) };
    code_attempts::of_network(connection, &keys.network, limit.base()).await.map(Some)
}

/// Checks whether the network may submit another code, and returns how many at once. 0 means that it has to wait until its
/// unsettled guesses are settled.
pub(crate) fn check(app: &App, guesses: Option<&NetworkGuesses>) -> Result<u32, RateLimited> {
    let (Some(limit), Some(guesses)) = (&app.policy.wrong_codes_per_network, guesses) else { return Ok(u32::MAX) };
    limit.places(guesses).map_err(|retry_after| RateLimited { scope: Scope::Network, retry_after })
}
