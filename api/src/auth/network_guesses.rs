//! The wrong codes that come from one network, whoever's they are.

use time::OffsetDateTime;

use crate::{
    app::App,
    auth::subject_keys::SubjectKeys,
    domain::policy::{RateLimited, Scope},
    store::{
        Connection, PgError,
        rate_limits::{self, LimitKind},
        transaction::Writes,
    },
};

/// When this network gave the last ones, oldest first, and what time it is now.
pub(crate) type WrongCodes = (Vec<OffsetDateTime>, OffsetDateTime);

pub(crate) async fn read(connection: &Connection, keys: &SubjectKeys) -> Result<WrongCodes, PgError> {
    let ([wrong], now) = rate_limits::used(connection, [(&keys.network, LimitKind::WrongCodesFrom)]).await?;
    Ok((wrong, now))
}

/// Whether this network may guess.
pub(crate) fn judge(app: &App, (wrong, now): &WrongCodes) -> Result<(), RateLimited> {
    let too_many = |retry_after| RateLimited { scope: Scope::Network, retry_after };
    app.policy.wrong_codes_from.check(wrong, *now).map_err(too_many)
}

/// Counts a guess that is compared with so many codes as that many wrong ones, until it is known to be right.
/// The caller has locked the network, and commits.
pub(crate) fn count<'a>(
    app: &App,
    writes: &mut Writes<'a>,
    keys: &'a SubjectKeys,
    mut wrong: Vec<OffsetDateTime>,
    (codes, now): (usize, OffsetDateTime),
) {
    for _ in 0..codes {
        wrong = app.policy.wrong_codes_from.with(&wrong, now);
    }
    rate_limits::set(writes, &keys.network, LimitKind::WrongCodesFrom, wrong);
}

/// The guess that was counted at this time was right. The caller has locked the network, and commits.
pub(crate) fn forgive<'a>(
    writes: &mut Writes<'a>,
    keys: &'a SubjectKeys,
    mut wrong: Vec<OffsetDateTime>,
    counted_at: OffsetDateTime,
) {
    wrong.retain(|&at| at != counted_at);
    rate_limits::set(writes, &keys.network, LimitKind::WrongCodesFrom, wrong);
}
