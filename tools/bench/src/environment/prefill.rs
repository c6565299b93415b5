//! People who have registered already, written straight into the database.

use anyhow::Result;
use secrecy::ExposeSecret;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{environment::deployment::Deployment, load::users};

const REGISTRATIONS: &str = "INSERT INTO registrations (id, email, password_hash, created_at) \
    SELECT id, email, $3, clock_timestamp() FROM unnest($1::uuid[], $2::text[]) AS new (id, email)";
const CODES: &str = "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, ttl_seconds, \
    deadline, resend_at, created_at, sent_at, expires_at) \
    SELECT id, registration, hash, $4, 4, 3, 3600, at + interval '1 hour', at, at, \
    CASE WHEN $5 THEN at END, CASE WHEN $5 THEN at + interval '1 hour' END \
    FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS new (id, registration, hash), \
    (VALUES (clock_timestamp())) AS now (at)";

const LENGTH: u8 = 4;

pub(crate) struct Registered {
    pub(crate) user: u64,
    pub(crate) code: Uuid,
    pub(crate) digits: String,
}

/// Numbers from `first` on, all with this hash of a password. A code that was sent is live for an hour.
pub(crate) async fn register(
    database: &mut Client,
    first: u64,
    count: u64,
    password_hash: &str,
    is_sent: bool,
) -> Result<Vec<Registered>> {
    let code_secrets = Deployment::code_secrets()?;
    let key = code_secrets.newest();
    let new = (first..first + count).map(|user| {
        // Scattered like those of the service, so that they land all over the indices.
        let code = Uuid::from_u64_pair(user.wrapping_mul(0x9E37_79B9_7F4A_7C15), user);
        Registered { user, code, digits: key.digits(code, LENGTH).expose_secret().to_owned() }
    });
    let new: Vec<_> = new.collect();
    let registrations: Vec<_> = new.iter().map(|one| Uuid::from_u128(!one.code.as_u128())).collect();
    let emails: Vec<_> = new.iter().map(|one| users::email(one.user)).collect();
    let codes: Vec<_> = new.iter().map(|one| one.code).collect();
    let hashes: Vec<_> = new.iter().map(|one| key.verifier(one.code, &one.digits).to_vec()).collect();
    let transaction = database.transaction().await?;
    transaction.execute(REGISTRATIONS, &[&registrations, &emails, &password_hash]).await?;
    transaction.execute(CODES, &[&codes, &registrations, &hashes, &key.id, &is_sent]).await?;
    transaction.commit().await?;
    // As the server would have done by itself soon, in the middle of what is measured.
    database.batch_execute("ANALYZE registrations, codes").await?;
    Ok(new)
}
