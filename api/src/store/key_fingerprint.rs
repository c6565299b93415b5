//! The fingerprint of the `SUBJECT_KEY` that this database was first used with.

use tokio_postgres::Error as PgError;

use super::Connection;

const INSERT_IF_ABSENT: &str = "INSERT INTO names (sample) VALUES ($1) ON CONFLICT (only_row) DO NOTHING";
const READ: &str = "SELECT sample FROM names";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[INSERT_IF_ABSENT, READ];

/// Whether the database was first used with the key of this fingerprint. The first call stores it.
pub(crate) async fn matches(connection: &Connection, fingerprint: &[u8; 32]) -> Result<bool, PgError> {
    super::execute(connection, INSERT_IF_ABSENT, &[&fingerprint.as_slice()]).await?;
    let stored = super::row(connection, READ, &[]).await?;
    Ok(stored.is_some_and(|row| row.get::<_, &[u8]>(0) == fingerprint))
}
