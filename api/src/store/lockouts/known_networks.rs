//! Networks that are known to an account (table `known_networks`): its owner has activated it, logged in or reset the
//! password from there.

use deadpool_postgres::GenericClient;
use time::{Duration, OffsetDateTime};
use tokio_postgres::Error as PgError;

use crate::store::transaction::Writes;

// LIMIT makes the plan use the index, however small the table was when it was planned.
const LAST_AT: &str = "SELECT last_at FROM known_networks WHERE address = $1 AND network = $2 LIMIT 1";
const ADD: &str = "INSERT INTO known_networks (address, network, last_at) VALUES ($1, $2, $3) \
    ON CONFLICT (address, network) DO UPDATE SET last_at = EXCLUDED.last_at WHERE known_networks.last_at <= $4";
const DELETE_OTHERS: &str = "DELETE FROM known_networks WHERE address = $1 AND network <> $2";
const DELETE_OF: &str = "DELETE FROM known_networks WHERE address = $1";
const DELETE_EXPIRED: &str = "DELETE FROM known_networks WHERE (address, network) IN ( \
    SELECT address, network FROM known_networks WHERE last_at <= $1 ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[LAST_AT, ADD, DELETE_OTHERS, DELETE_OF, DELETE_EXPIRED];

/// A row is not rewritten before it is this old, so that frequent log-ins cost no row versions.
const REFRESH_AFTER: Duration = Duration::DAY;

/// When the account was last entered from this network; `address` and `network` are keyed hashes.
pub(crate) async fn last_at(
    client: &impl GenericClient,
    address: &[u8; 32],
    network: &[u8; 32],
) -> Result<Option<OffsetDateTime>, PgError> {
    let row = crate::store::row(client, LAST_AT, &[&address.as_slice(), &network.as_slice()]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Adds a network, or refreshes its time.
pub(crate) fn add<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32], network: &'a [u8; 32], now: OffsetDateTime) {
    let stale = now - REFRESH_AFTER;
    writes.push(ADD, [Box::new(address.as_slice()), Box::new(network.as_slice()), Box::new(now), Box::new(stale)]);
}

/// Deletes all networks of an account but this one.
pub(crate) fn delete_others<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32], network: &'a [u8; 32]) {
    writes.push(DELETE_OTHERS, [Box::new(address.as_slice()), Box::new(network.as_slice())]);
}

/// Deletes all networks of an account.
pub(crate) fn delete_of<'a>(writes: &mut Writes<'a>, address: &'a [u8; 32]) {
    writes.push(DELETE_OF, [Box::new(address.as_slice())]);
}

/// Deletes up to `limit` networks from which there was no success since `cutoff`.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
