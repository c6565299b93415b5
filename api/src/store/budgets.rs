//! What was used, by whom, when.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;

use super::Transaction;

const READ: &str = "SELECT b.used_at, clock_timestamp() \
    FROM (VALUES ($1::bytea, $2::text)) AS asked (subject, kind) LEFT JOIN budgets b USING (subject, kind)";
const WRITE: &str = "INSERT INTO budgets (subject, kind, used_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject, kind) DO UPDATE SET used_at = EXCLUDED.used_at";

pub(super) const ALL: &[&str] = &[READ, WRITE];

/// The codes that were minted for an address.
const CODES: &str = "codes";

/// When codes were minted for this address, oldest first, and what time it is now.
pub(crate) async fn codes(
    client: &impl GenericClient,
    address: &[u8; 32],
) -> Result<(Vec<OffsetDateTime>, OffsetDateTime), Error> {
    let statement = client.prepare_cached(READ).await?;
    let row = client.query_one(&statement, &[&address.as_slice(), &CODES]).await?;
    Ok((row.get::<_, Option<_>>(0).unwrap_or_default(), row.get(1)))
}

/// The caller holds the lock of the address.
pub(crate) async fn set_codes(
    transaction: &Transaction<'_>,
    address: &[u8; 32],
    minted: &[OffsetDateTime],
) -> Result<(), Error> {
    super::execute(transaction, WRITE, &[&address.as_slice(), &CODES, &minted]).await.map(drop)
}
