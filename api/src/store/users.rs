//! The people who came in.

use deadpool_postgres::GenericClient;
use time::{Duration, OffsetDateTime};
use tokio_postgres::Error;
use uuid::Uuid;

use super::transaction::Writes;
use crate::domain::email::EmailAddress;

const BY_EMAIL: &str = "SELECT id, email, password_hash, activated_at FROM users WHERE email = $1";
const INSERT: &str =
    "INSERT INTO users (id, email, password_hash, activated_at, updated_at) VALUES ($1, $2, $3, $4, $4)";

/// What is violated when an address would have two accounts.
pub(crate) const EMAIL_UNIQUE: &str = "users_email_unique";

// Not while somebody may still prove a registration: all hashes of an address are of one recipe.
const RENEW: &str = "UPDATE users u SET password_hash = $3, updated_at = clock_timestamp() \
    WHERE u.id = $1 AND u.password_hash = $2 AND NOT EXISTS (SELECT FROM registrations r WHERE r.email = u.email \
    AND r.activated_at IS NULL AND r.closed_at IS NULL AND r.created_at > clock_timestamp() - make_interval(secs => $4))";

pub(super) const ALL: &[&str] = &[BY_EMAIL, INSERT, RENEW];

pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    pub(crate) password_hash: String,
    pub(crate) activated_at: OffsetDateTime,
}

pub(crate) async fn by_email(client: &impl GenericClient, email: &EmailAddress) -> Result<Option<User>, Error> {
    let row = super::row(client, BY_EMAIL, &[&email.as_str()]).await?;
    Ok(row.map(|row| User {
        id: row.get(0),
        email: EmailAddress::trusted(row.get(1)),
        password_hash: row.get(2),
        activated_at: row.get(3),
    }))
}

pub(crate) fn insert<'a>(writes: &mut Writes<'a>, user: &'a User) {
    let (email, hash) = (user.email.as_str(), &user.password_hash);
    writes.push(INSERT, [Box::new(user.id), Box::new(email), Box::new(hash), Box::new(user.activated_at)]);
}

/// Gives a user another hash of the same password, unless registrations at the address are open for so long.
pub(crate) fn renew<'a>(writes: &mut Writes<'a>, user: &'a User, renewed: String, open_for: Duration) {
    let (hash, seconds) = (&user.password_hash, open_for.as_seconds_f64());
    writes.push(RENEW, [Box::new(user.id), Box::new(hash), Box::new(renewed), Box::new(seconds)]);
}
