//! The people who came in.

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::transaction::{Value, Writes};
use crate::domain::email::EmailAddress;

const BY_EMAIL: &str = "SELECT id, email, password_hash, activated_at, language FROM users WHERE email = $1";
const INSERT: &str = "INSERT INTO users (id, email, password_hash, activated_at, updated_at, language) \
    VALUES ($1, $2, $3, $4, $4, $5)";

/// What is violated when an address would have two accounts.
pub(crate) const EMAIL_UNIQUE: &str = "users_email_unique";

// Not while somebody may still prove a registration: all hashes of an address are of one recipe.
const RENEW: &str = "UPDATE users u SET password_hash = $3, updated_at = clock_timestamp() \
    WHERE u.id = $1 AND u.password_hash = $2 AND NOT EXISTS (SELECT FROM registrations r WHERE r.email = u.email \
    AND r.activated_at IS NULL AND r.closed_at IS NULL AND r.created_at > statement_timestamp() - make_interval(secs => $4))";

const SET_PASSWORD: &str = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1";

// The sessions of the user go with it, and its changes of the password.
const DELETE: &str = "DELETE FROM users WHERE id = $1";

pub(crate) const ALL: &[&str] = &[BY_EMAIL, INSERT, RENEW, SET_PASSWORD, DELETE];

pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    pub(crate) password_hash: String,
    pub(crate) activated_at: OffsetDateTime,
    /// In which they are written to.
    pub(crate) language: Language,
}

pub(crate) async fn by_email(client: &impl GenericClient, email: &EmailAddress) -> Result<Option<User>, PgError> {
    let row = super::row(client, BY_EMAIL, &[&email.as_str()]).await?;
    Ok(row.map(|row| read(&row)))
}

/// The first columns of every statement that asks for one.
pub(crate) fn read(row: &Row) -> User {
    User {
        id: row.get(0),
        email: EmailAddress::trusted(row.get(1)),
        password_hash: row.get(2),
        activated_at: row.get(3),
        language: Language::of_tag(row.get(4)),
    }
}

pub(crate) fn insert<'a>(writes: &mut Writes<'a>, user: &'a User) {
    let (email, hash, language) = (user.email.as_str(), &user.password_hash, user.language.tag());
    let values: [Value<'a>; 5] =
        [Box::new(user.id), Box::new(email), Box::new(hash), Box::new(user.activated_at), Box::new(language)];
    writes.push(INSERT, values);
}

/// Gives a user another hash of the same password, unless registrations at the address are open for so long.
pub(crate) fn renew<'a>(writes: &mut Writes<'a>, user: &'a User, renewed: String, open_for: Duration) {
    let (hash, seconds) = (&user.password_hash, open_for.as_seconds_f64());
    writes.push(RENEW, [Box::new(user.id), Box::new(hash), Box::new(renewed), Box::new(seconds)]);
}

/// Gives a user the hash of another password. The caller holds the lock of the address.
pub(crate) fn set_password(writes: &mut Writes<'_>, user: Uuid, hash: String, now: OffsetDateTime) {
    writes.push(SET_PASSWORD, [Box::new(user), Box::new(hash), Box::new(now)]);
}

/// The caller holds the lock of the address.
pub(crate) fn delete(writes: &mut Writes<'_>, user: Uuid) {
    writes.push(DELETE, [Box::new(user)]);
}
