//! Activations per hour (table `activations_by_hour`), of each network and of the instance.

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::{
    domain::rate_limit::guess_shares::{ACTIVATION_WINDOW, MAX_ACTIVATIONS_OF_NETWORK},
    store::transaction::{LOCK, Writes},
};

/// The advisory lock under which processes add to the same rows: an arbitrary constant.
const ACTIVATIONS_LOCK: i64 = 0x6163_7469_7661_7401;

// The subject of the instance is empty. Older APIs write many slots of an hour; all of them are summed.
const ADD: &str = "WITH added AS (SELECT subject, added, (SELECT COALESCE(sum(activations), 0) FROM activations_by_hour AS a \
        WHERE a.subject = added.subject AND hour > statement_timestamp() - make_interval(secs => $3)) AS counted \
        FROM unnest($1::bytea[], $2::integer[]) AS added (subject, added)) \
    INSERT INTO activations_by_hour (subject, hour, slot, activations) \
    SELECT subject, date_trunc('hour', statement_timestamp()), 0, added FROM added UNION ALL \
    SELECT '', date_trunc('hour', statement_timestamp()), 0, sum(LEAST(added, GREATEST($4::bigint - counted, 0))) FROM added \
    ON CONFLICT (subject, hour, slot) DO UPDATE SET activations = activations_by_hour.activations + EXCLUDED.activations";
const DELETE_EXPIRED: &str = "DELETE FROM activations_by_hour WHERE (subject, hour, slot) IN ( \
    SELECT subject, hour, slot FROM activations_by_hour WHERE hour <= $1 ORDER BY hour LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[ADD, DELETE_EXPIRED];

/// Adds activations by networks, and those of each network, up to [`MAX_ACTIVATIONS_OF_NETWORK`], to those of the instance.
pub(crate) fn add<'a>(writes: &mut Writes<'a>, counts: &'a HashMap<[u8; 32], i32>) {
    let (networks, counts): (Vec<_>, Vec<_>) =
        counts.iter().map(|(network, count)| (network.as_slice(), *count)).unzip();
    // A statement of its own: the next one sees what was committed before the lock was free.
    writes.push(LOCK, [Box::new(vec![ACTIVATIONS_LOCK])]);
    writes.push(
        ADD,
        [
            Box::new(networks),
            Box::new(counts),
            Box::new(ACTIVATION_WINDOW.as_seconds_f64()),
            Box::new(i64::from(MAX_ACTIVATIONS_OF_NETWORK)),
        ],
    );
}

/// Deletes up to `limit` rows of hours that began at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
