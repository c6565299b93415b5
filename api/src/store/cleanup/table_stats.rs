//! How well vacuum keeps up: rows by table, and what holds it back. Not prepared, because it is read only by scrapes.

use futures_util::future::try_join;

use super::vacuum::TABLES;
use crate::store::{Connection, PgError};

// In thousands, so that no single sign-up shows: one for an unknown address inserts rows that one for another updates.
const ROWS: &str = "SELECT COALESCE(n_live_tup, 0) / 1000 * 1000, COALESCE(n_dead_tup, 0) / 1000 * 1000 \
    FROM unnest($1::text[]) WITH ORDINALITY AS requested (table_name, ordinal) \
    LEFT JOIN pg_stat_user_tables ON relname = table_name AND schemaname = current_schema() ORDER BY ordinal";

// Rows that were deleted after the oldest snapshot cannot be vacuumed. Snapshots of other databases do not matter; a standby
// and a replication slot have none of their own.
const AGES: &str = "SELECT \
    (SELECT COALESCE(max(age(xmin)), 0)::bigint FROM ( \
        SELECT backend_xmin AS xmin FROM pg_stat_activity WHERE COALESCE(datname = current_database(), true) \
        UNION ALL SELECT xmin FROM pg_replication_slots \
        UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()) AS held) AS snapshot, \
    (SELECT GREATEST(age(datfrozenxid), mxid_age(datminmxid))::bigint FROM pg_database \
        WHERE datname = current_database()) AS unfrozen";

/// The statistics of the database.
pub(crate) struct TableStats {
    /// The estimated numbers of live and of dead rows of each table, rounded down to thousands.
    pub(crate) rows: Vec<(&'static str, i64, i64)>,
    /// The transactions since the oldest snapshot that is held.
    pub(crate) oldest_snapshot: i64,
    /// The transactions since the oldest one that is not frozen. At two thousand million, Postgres refuses to write.
    pub(crate) oldest_unfrozen: i64,
}

/// Reads the statistics.
pub(crate) async fn read(connection: &Connection) -> Result<TableStats, PgError> {
    let tables = TABLES.as_slice();
    let (rows, ages) = try_join(connection.query(ROWS, &[&tables]), connection.query_one(AGES, &[])).await?;
    Ok(TableStats {
        rows: TABLES.iter().zip(&rows).map(|(table, row)| (*table, row.get(0), row.get(1))).collect(),
        oldest_snapshot: ages.get(0),
        oldest_unfrozen: ages.get(1),
    })
}
