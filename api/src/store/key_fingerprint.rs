//! Which key names addresses and networks in this database.

use tokio_postgres::Error as PgError;

use super::Connection;

const KEEP: &str = "INSERT INTO names (sample) VALUES ($1) ON CONFLICT (only_row) DO NOTHING";
const READ: &str = "SELECT sample FROM names";

pub(crate) const ALL: &[&str] = &[KEEP, READ];

/// Whether names have always been made with the key that makes this sample.
pub(crate) async fn are_made_like(connection: &Connection, sample: &[u8; 32]) -> Result<bool, PgError> {
    super::execute(connection, KEEP, &[&sample.as_slice()]).await?;
    let kept = super::row(connection, READ, &[]).await?;
    Ok(kept.is_some_and(|row| row.get::<_, &[u8]>(0) == sample))
}
