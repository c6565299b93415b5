//! Sessions of logged-in users, stored under the hashes of their tokens.

use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{
    Connection,
    transaction::Writes,
    users::{self, User},
};
use crate::domain::session::{self, TokenHash};

const USER_OF: &str = "SELECT u.id, u.email, u.password_hash, u.activated_at, u.language, s.expires_at, clock_timestamp() AS now \
    FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1";
const END: &str = "DELETE FROM sessions WHERE token_hash = $1 RETURNING expires_at, clock_timestamp() AS now";
const END_ALL_BUT_NEWEST: &str = "DELETE FROM sessions WHERE user_id = $1 AND token_hash NOT IN \
    (SELECT token_hash FROM sessions WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2)";
const END_ALL_OTHERS: &str = "DELETE FROM sessions WHERE user_id = $1 AND token_hash <> $2";
const INSERT: &str = "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
const DELETE_EXPIRED: &str = "DELETE FROM sessions WHERE token_hash = ANY(ARRAY( \
    SELECT token_hash FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[USER_OF, END, END_ALL_BUT_NEWEST, END_ALL_OTHERS, INSERT, DELETE_EXPIRED];

/// The user of a valid session, and the time of the database.
pub(crate) async fn user_of(
    connection: &Connection,
    token: &TokenHash,
) -> Result<Option<(User, OffsetDateTime)>, PgError> {
    let row = super::row(connection, USER_OF, &[&token.as_slice()]).await?;
    Ok(row.filter(is_valid).map(|row| (users::from_row(&row), row.get("now"))))
}

/// Ends a session; returns whether it was valid.
pub(crate) async fn end(connection: &Connection, token: &TokenHash) -> Result<bool, PgError> {
    Ok(super::row(connection, END, &[&token.as_slice()]).await?.is_some_and(|row| is_valid(&row)))
}

/// Ends all sessions of a user except the `newest` ones. The caller holds the lock of the mailbox.
pub(crate) fn end_all_but_newest(writes: &mut Writes<'_>, user: Uuid, newest: usize) {
    writes.push(END_ALL_BUT_NEWEST, [Box::new(user), Box::new(i64::try_from(newest).unwrap_or(i64::MAX))]);
}

/// Ends all sessions of a user except this one. The caller holds the lock of the mailbox.
pub(crate) fn end_all_others(writes: &mut Writes<'_>, user: Uuid, token: TokenHash) {
    writes.push(END_ALL_OTHERS, [Box::new(user), Box::new(token.to_vec())]);
}

/// Starts a session.
pub(crate) fn insert(
    writes: &mut Writes<'_>,
    user: Uuid,
    token: TokenHash,
    now: OffsetDateTime,
    expires_at: OffsetDateTime,
) {
    writes.push(INSERT, [Box::new(token.to_vec()), Box::new(user), Box::new(now), Box::new(expires_at)]);
}

/// Deletes up to `limit` sessions that expired at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}

/// Whether the session of a row with the columns `expires_at` and `now` is valid.
fn is_valid(row: &Row) -> bool {
    session::is_valid(row.get("expires_at"), row.get("now"))
}
