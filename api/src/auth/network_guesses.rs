//! The wrong codes that come from one network, whoever's they are.

use time::OffsetDateTime;

use crate::{
    app::App,
    auth::subject_keys::Names,
    domain::policy::{Scope, TooMany},
    store::{
        Connection, Error,
        rate_limits::{self, Kind},
        transaction::Writes,
    },
};

/// When this network gave the last ones, oldest first, and what time it is now.
pub(crate) type Wrong = (Vec<OffsetDateTime>, OffsetDateTime);

pub(crate) async fn read(connection: &Connection, names: &Names) -> Result<Wrong, Error> {
    let ([wrong], now) = rate_limits::used(connection, [(&names.network, Kind::WrongCodesFrom)]).await?;
    Ok((wrong, now))
}

/// Whether this network may guess.
pub(crate) fn judge(app: &App, (wrong, now): &Wrong) -> Result<(), TooMany> {
    let too_many = |retry_after| TooMany { scope: Scope::Network, retry_after };
    app.policy.wrong_codes_from.check(wrong, *now).map_err(too_many)
}

/// Counts a guess that is compared with so many codes as that many wrong ones, until it is known to be right.
/// The caller has locked the network, and commits.
pub(crate) fn count<'a>(
    app: &App,
    writes: &mut Writes<'a>,
    names: &'a Names,
    mut wrong: Vec<OffsetDateTime>,
    (codes, now): (usize, OffsetDateTime),
) {
    for _ in 0..codes {
        wrong = app.policy.wrong_codes_from.with(&wrong, now);
    }
    rate_limits::set(writes, &names.network, Kind::WrongCodesFrom, wrong);
}

/// The guess that was counted at this time was right. The caller has locked the network, and commits.
pub(crate) fn forgive<'a>(
    writes: &mut Writes<'a>,
    names: &'a Names,
    mut wrong: Vec<OffsetDateTime>,
    counted_at: OffsetDateTime,
) {
    wrong.retain(|&at| at != counted_at);
    rate_limits::set(writes, &names.network, Kind::WrongCodesFrom, wrong);
}
