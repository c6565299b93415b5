//! The stored password hash of an email address, read before the password of a request is hashed.

use deadpool_postgres::GenericClient;
use time::Duration;
use tokio_postgres::Error as PgError;

use crate::domain::email::EmailAddress;

// The hash of the account, else that of the newest registration that can still be activated.
const HASH: &str = "(SELECT password_hash FROM users WHERE email = $1) UNION ALL \
    (SELECT password_hash FROM registrations WHERE email = $1 AND activated_at IS NULL AND closed_at IS NULL \
    AND created_at > statement_timestamp() - make_interval(secs => $2) ORDER BY created_at DESC LIMIT 1) LIMIT 1";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[HASH];

/// One of the password hashes of an email address; all of them have the same recipe. Registrations count while they are
/// `younger_than` this.
pub(crate) async fn hash_at(
    client: &impl GenericClient,
    email: &EmailAddress,
    younger_than: Duration,
) -> Result<Option<String>, PgError> {
    let row = super::row(client, HASH, &[&email.as_str(), &younger_than.as_seconds_f64()]).await?;
    Ok(row.map(|row| row.get(0)))
}
