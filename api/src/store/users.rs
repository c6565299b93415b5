//! The people who came in.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;
use uuid::Uuid;

use super::Transaction;
use crate::domain::email::EmailAddress;

const BY_EMAIL: &str = "SELECT id, email, password_hash, activated_at FROM users WHERE email = $1";
const INSERT: &str =
    "INSERT INTO users (id, email, password_hash, activated_at, updated_at) VALUES ($1, $2, $3, $4, $4)";

/// What is violated when an address would have two accounts.
pub(crate) const EMAIL_UNIQUE: &str = "users_email_unique";

pub(super) const ALL: &[&str] = &[BY_EMAIL, INSERT];

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

pub(crate) async fn insert(transaction: &Transaction<'_>, user: &User) -> Result<(), Error> {
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&user.id, &user.email.as_str(), &user.password_hash, &user.activated_at];
    super::execute(transaction, INSERT, &values).await.map(drop)
}
