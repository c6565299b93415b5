//! Activations per hour (table `activations_by_hour`), of each network and of the instance, in slots that are summed.

use time::OffsetDateTime;

use crate::{
    domain::rate_limit::guess_shares::{ACTIVATION_WINDOW, MAX_ACTIVATIONS_OF_NETWORK},
    rng,
    store::transaction::Writes,
};

/// Activations of the instance add to one of so many rows an hour. A row stays locked until the activation is committed.
const INSTANCE_SLOTS: i64 = 256;

/// The same for one network. Its activations are serialised anyway; the slots only keep the chains of row versions short.
const NETWORK_SLOTS: i64 = 16;

// The subject of the instance is empty, so its row is locked first, always: no two of these statements deadlock.
const ADD: &str = "INSERT INTO activations_by_hour (subject, hour, slot, activations) \
    SELECT subject, date_trunc('hour', $2::timestamptz), slot, 1 \
    FROM (VALUES ($1::bytea, $3::smallint), (''::bytea, $4::smallint)) AS counted (subject, slot) \
    WHERE subject <> '' OR (SELECT COALESCE(sum(activations), 0) FROM activations_by_hour \
        WHERE subject = $1 AND hour > $2 - make_interval(secs => $5)) < $6::bigint \
    ORDER BY subject \
    ON CONFLICT (subject, hour, slot) DO UPDATE SET activations = activations_by_hour.activations + 1";
const DELETE_EXPIRED: &str = "DELETE FROM activations_by_hour WHERE (subject, hour, slot) IN ( \
    SELECT subject, hour, slot FROM activations_by_hour WHERE hour <= $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[ADD, DELETE_EXPIRED];

/// Counts an activation for its network and, unless that network has [`MAX_ACTIVATIONS_OF_NETWORK`] of them, for the
/// instance. The caller holds the lock of the network.
pub(crate) fn add<'a>(writes: &mut Writes<'a>, network: &'a [u8; 32], now: OffsetDateTime) {
    let slot = |slots: i64| i16::try_from(rng::in_range(0..=slots - 1)).unwrap_or(0);
    writes.push(
        ADD,
        [
            Box::new(network.as_slice()),
            Box::new(now),
            Box::new(slot(NETWORK_SLOTS)),
            Box::new(slot(INSTANCE_SLOTS)),
            Box::new(ACTIVATION_WINDOW.as_seconds_f64()),
            Box::new(i64::from(MAX_ACTIVATIONS_OF_NETWORK)),
        ],
    );
}

/// Deletes up to `limit` rows of hours that began at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
