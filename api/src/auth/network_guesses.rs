//! Rate limit for wrong codes per network, for registrations and resets together.

use time::OffsetDateTime;

use crate::{
    app::App,
    domain::{
        policy::{RateLimited, Scope},
        subject_keys::SubjectKeys,
    },
    store::{
        Connection, PgError,
        rate_limits::{self, LimitKind},
        transaction::Writes,
    },
};

/// The wrong codes of one network that still count.
pub(crate) struct WrongCodes {
    /// When they were submitted, oldest first.
    times: Vec<OffsetDateTime>,
    /// The database's time when they were read.
    pub(crate) now: OffsetDateTime,
}

/// Reads the wrong codes of the network of a request.
pub(crate) async fn read(connection: &Connection, keys: &SubjectKeys) -> Result<WrongCodes, PgError> {
    let ([times], now) =
        rate_limits::times_used(connection, [(&keys.network, LimitKind::WrongCodesPerNetwork)]).await?;
    Ok(WrongCodes { times, now })
}

/// Checks whether the network may submit another code.
pub(crate) fn check(app: &App, wrong: &WrongCodes) -> Result<(), RateLimited> {
    let rate_limited = |retry_after| RateLimited { scope: Scope::Network, retry_after };
    app.policy.wrong_codes_per_network.check(&wrong.times, wrong.now).map_err(rate_limited)
}

/// Counts a guess as one wrong code for each of the `codes` that it is compared with, until it turns out to be right.
/// The caller has locked the network, and commits.
pub(crate) fn count<'a>(
    app: &App,
    writes: &mut Writes<'a>,
    keys: &'a SubjectKeys,
    wrong: WrongCodes,
    codes: usize,
    now: OffsetDateTime,
) {
    let mut times = wrong.times;
    for _ in 0..codes {
        times = app.policy.wrong_codes_per_network.with(&times, now);
    }
    rate_limits::write(writes, &keys.network, LimitKind::WrongCodesPerNetwork, times);
}

/// Releases what was counted at `counted_at`, because that guess was right. The caller has locked the network, and
/// commits.
pub(crate) fn release<'a>(
    writes: &mut Writes<'a>,
    keys: &'a SubjectKeys,
    wrong: WrongCodes,
    counted_at: OffsetDateTime,
) {
    let mut times = wrong.times;
    times.retain(|&at| at != counted_at);
    rate_limits::write(writes, &keys.network, LimitKind::WrongCodesPerNetwork, times);
}
