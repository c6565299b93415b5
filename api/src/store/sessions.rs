//! Who is logged in. Tokens stand here as their hashes.

use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use super::{
    Connection,
    transaction::Writes,
    users::{self, User},
};
use crate::domain::session::{self, TokenHash};

const HOLDER: &str = "SELECT u.id, u.email, u.password_hash, u.activated_at, u.language, s.expires_at, clock_timestamp() \
    FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1";
const END: &str = "DELETE FROM sessions WHERE token_hash = $1 RETURNING expires_at, clock_timestamp()";
const END_ALL_BUT: &str = "DELETE FROM sessions WHERE user_id = $1 AND token_hash NOT IN \
    (SELECT token_hash FROM sessions WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2)";
const END_ALL_OTHERS: &str = "DELETE FROM sessions WHERE user_id = $1 AND token_hash <> $2";
const INSERT: &str = "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
const FORGET: &str = "DELETE FROM sessions WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[HOLDER, END, END_ALL_BUT, END_ALL_OTHERS, INSERT, FORGET];

/// The user whose token this is, while it lives, and what time it is.
pub(crate) async fn holder(
    connection: &Connection,
    token: &TokenHash,
) -> Result<Option<(User, OffsetDateTime)>, PgError> {
    let row = super::row(connection, HOLDER, &[&token.as_slice()]).await?;
    Ok(row.filter(|row| is_alive(row, 5)).map(|row| (users::read(&row), row.get(6))))
}

/// Whether there was such a session, and it was alive.
pub(crate) async fn end(connection: &Connection, token: &TokenHash) -> Result<bool, PgError> {
    Ok(super::row(connection, END, &[&token.as_slice()]).await?.is_some_and(|row| is_alive(&row, 0)))
}

/// Ends all sessions of a user but so many, the oldest first. The caller holds the lock of the address.
pub(crate) fn end_all_but(writes: &mut Writes<'_>, user: Uuid, newest: usize) {
    writes.push(END_ALL_BUT, [Box::new(user), Box::new(i64::try_from(newest).unwrap_or(i64::MAX))]);
}

/// Ends all sessions of a user but this one. The caller holds the lock of the address.
pub(crate) fn end_all_others(writes: &mut Writes<'_>, user: Uuid, token: TokenHash) {
    writes.push(END_ALL_OTHERS, [Box::new(user), Box::new(token.to_vec())]);
}

pub(crate) fn insert(
    writes: &mut Writes<'_>,
    user: Uuid,
    token: TokenHash,
    now: OffsetDateTime,
    expires_at: OffsetDateTime,
) {
    writes.push(INSERT, [Box::new(token.to_vec()), Box::new(user), Box::new(now), Box::new(expires_at)]);
}

/// So many of those that ended then or before.
pub(crate) fn forget(writes: &mut Writes<'_>, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(since), Box::new(at_most)]);
}

/// When it ends, and right behind what time it is.
fn is_alive(row: &Row, expires_at: usize) -> bool {
    session::is_alive(row.get(expires_at), row.get(expires_at + 1))
}
