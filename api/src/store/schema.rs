//! The schema version of the database.

use super::{Connection, PgError};

const VERSION: &str = "SELECT COALESCE(max(version), 0) FROM migrations";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[VERSION];

/// The version of the last applied migration; 0 if there is none.
pub(crate) async fn version(connection: &Connection) -> Result<i32, PgError> {
    Ok(connection.query_one(&connection.prepare_cached(VERSION).await?, &[]).await?.get(0))
}
