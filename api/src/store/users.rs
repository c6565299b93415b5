//! Users: activated accounts.

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

/// The constraint that is violated when an email address would have two accounts.
pub(crate) const EMAIL_UNIQUE: &str = "users_email_unique";

// Not while a registration of the email address can still be activated: all its hashes must have the same recipe.
const REHASH: &str = "UPDATE users u SET password_hash = $3, updated_at = clock_timestamp() \
    WHERE u.id = $1 AND u.password_hash = $2 AND NOT EXISTS (SELECT FROM registrations r WHERE r.email = u.email \
    AND r.activated_at IS NULL AND r.closed_at IS NULL AND r.created_at > statement_timestamp() - make_interval(secs => $4))";

const SET_PASSWORD: &str = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1";

// The sessions and password changes of the user are deleted with it (ON DELETE CASCADE).
const DELETE: &str = "DELETE FROM users WHERE id = $1";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[BY_EMAIL, INSERT, REHASH, SET_PASSWORD, DELETE];

/// An activated account.
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    pub(crate) password_hash: String,
    pub(crate) activated_at: OffsetDateTime,
    /// The language of mails to the user.
    pub(crate) language: Language,
}

/// Reads the account of an email address.
pub(crate) async fn by_email(client: &impl GenericClient, email: &EmailAddress) -> Result<Option<User>, PgError> {
    let row = super::row(client, BY_EMAIL, &[&email.as_str()]).await?;
    Ok(row.map(|row| from_row(&row)))
}

/// Reads a user from a row whose columns have the names of this table.
pub(super) fn from_row(row: &Row) -> User {
    User {
        id: row.get("id"),
        email: EmailAddress::from_database(row.get("email")),
        password_hash: row.get("password_hash"),
        activated_at: row.get("activated_at"),
        language: Language::of_tag(row.get("language")),
    }
}

/// Inserts an account.
pub(crate) fn insert<'a>(writes: &mut Writes<'a>, user: &'a User) {
    let values: [Value<'a>; 5] = [
        Box::new(user.id),
        Box::new(user.email.as_str()),
        Box::new(&user.password_hash),
        Box::new(user.activated_at),
        Box::new(user.language.tag()),
    ];
    writes.push(INSERT, values);
}

/// Replaces the password hash by another one of the same password (a rehash with new parameters), unless it was changed
/// meanwhile or a registration of the email address is open. Registrations are open for `open_for` after their
/// creation.
pub(crate) fn rehash<'a>(writes: &mut Writes<'a>, user: &'a User, new_hash: String, open_for: Duration) {
    let (old_hash, seconds) = (&user.password_hash, open_for.as_seconds_f64());
    writes.push(REHASH, [Box::new(user.id), Box::new(old_hash), Box::new(new_hash), Box::new(seconds)]);
}

/// Sets the hash of a new password. The caller holds the lock of the mailbox.
pub(crate) fn set_password(writes: &mut Writes<'_>, user: Uuid, hash: String, now: OffsetDateTime) {
    writes.push(SET_PASSWORD, [Box::new(user), Box::new(hash), Box::new(now)]);
}

/// Deletes an account. The caller holds the lock of the mailbox.
pub(crate) fn delete(writes: &mut Writes<'_>, user: Uuid) {
    writes.push(DELETE, [Box::new(user)]);
}
