//! Inserts pending registrations directly into the database.

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

const CODE_LENGTH: u8 = 4;

/// A pending registration of a user.
pub(crate) struct Registration {
    pub(crate) user: u64,
    pub(crate) code_id: Uuid,
    pub(crate) digits: String,
}

impl Registration {
    /// The receipt.
    pub(crate) fn id(&self) -> Uuid {
        Uuid::from_u128(!self.code_id.as_u128())
    }
}

/// Registers `count` users from number `first` on, all with the same password hash. With `is_sent`, their codes were
/// mailed and are valid for an hour.
pub(crate) async fn register(
    database: &mut Client,
    first: u64,
    count: u64,
    password_hash: &str,
    is_sent: bool,
) -> Result<Vec<Registration>> {
    let code_secrets = Deployment::code_secrets()?;
    let key = code_secrets.newest();
    let registrations = (first..first + count).map(|user| {
        // Distributed over the whole index, like the random ids of the service.
        let code_id = Uuid::from_u64_pair(user.wrapping_mul(0x9E37_79B9_7F4A_7C15), user);
        Registration { user, code_id, digits: key.digits(code_id, CODE_LENGTH).expose_secret().to_owned() }
    });
    let registrations: Vec<_> = registrations.collect();
    let registration_ids: Vec<_> = registrations.iter().map(Registration::id).collect();
    let emails: Vec<_> = registrations.iter().map(|registration| users::email(registration.user)).collect();
    let codes: Vec<_> = registrations.iter().map(|registration| registration.code_id).collect();
    let hashes: Vec<_> = registrations
        .iter()
        .map(|registration| key.verifier(registration.code_id, &registration.digits).to_vec())
        .collect();
    let transaction = database.transaction().await?;
    transaction.execute(REGISTRATIONS, &[&registration_ids, &emails, &password_hash]).await?;
    transaction.execute(CODES, &[&codes, &registration_ids, &hashes, &key.id, &is_sent]).await?;
    transaction.commit().await?;
    // Otherwise autovacuum would analyze the tables during the measurement.
    database.batch_execute("ANALYZE registrations, codes").await?;
    Ok(registrations)
}
