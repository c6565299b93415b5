//! The fingerprint of the key that makes the subject keys of email addresses and networks in this database.

use tokio_postgres::Error as PgError;

use super::Connection;

const INSERT_IF_ABSENT: &str = "INSERT INTO names (sample) VALUES ($1) ON CONFLICT (only_row) DO NOTHING";
const READ: &str = "SELECT sample FROM names";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[INSERT_IF_ABSENT, READ];

/// Whether this sample was made with the same key as all subject keys in the database. The first call stores the
/// sample.
pub(crate) async fn matches(connection: &Connection, sample: &[u8; 32]) -> Result<bool, PgError> {
    super::execute(connection, INSERT_IF_ABSENT, &[&sample.as_slice()]).await?;
    let stored = super::row(connection, READ, &[]).await?;
    Ok(stored.is_some_and(|row| row.get::<_, &[u8]>(0) == sample))
}
