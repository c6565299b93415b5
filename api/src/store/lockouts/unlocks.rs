//! Unlock links (table `unlocks`): mailed to the owner of a locked account, each opens it to one browser for a day.

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use crate::{
    domain::{email::EmailAddress, session::TokenHash},
    store::transaction::{Value, Writes},
};

const BY_ID: &str =
    "SELECT language, created_at, opened_at, clock_timestamp() AS now FROM unlocks WHERE id = $1 LIMIT 1";
const INSERT: &str = "INSERT INTO unlocks (id, address, email, language, is_muted, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6)";
const OPEN: &str =
    "UPDATE unlocks SET opened_at = $2, cookie = $3 WHERE id = $1 AND opened_at IS NULL AND created_at > $4";
const OPENED_AT: &str = "SELECT opened_at FROM unlocks WHERE cookie = $1 AND address = $2 LIMIT 1";
const DELETE_OF: &str = "DELETE FROM unlocks WHERE email = $1";
const DELETE_EXPIRED: &str = "DELETE FROM unlocks WHERE id = ANY(ARRAY( \
    SELECT id FROM unlocks WHERE created_at <= $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[BY_ID, INSERT, OPEN, OPENED_AT, DELETE_OF, DELETE_EXPIRED];

/// A link as it is at `now`, the database's time when it was read.
pub(crate) struct Unlock {
    /// The language of the mail.
    pub(crate) language: Language,
    pub(crate) created_at: OffsetDateTime,
    /// When the link was used.
    pub(crate) opened_at: Option<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

/// The data of a new link.
pub(crate) struct NewUnlock<'a> {
    /// Also the message id of the mail.
    pub(crate) id: Uuid,
    pub(crate) email: &'a EmailAddress,
    /// The key of the email address.
    pub(crate) address: &'a [u8; 32],
    pub(crate) language: Language,
    /// Whether no mail is to be sent.
    pub(crate) is_muted: bool,
}

/// Reads a link.
pub(crate) async fn by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Unlock>, PgError> {
    let row = crate::store::row(client, BY_ID, &[&id]).await?;
    Ok(row.map(|row| Unlock {
        language: Language::of_tag(row.get("language")),
        created_at: row.get("created_at"),
        opened_at: row.get("opened_at"),
        now: row.get("now"),
    }))
}

/// When the browser with this cookie was let in to the account; `None` if it never was.
pub(crate) async fn opened_at(
    client: &impl GenericClient,
    cookie: &TokenHash,
    address: &[u8; 32],
) -> Result<Option<OffsetDateTime>, PgError> {
    let row = crate::store::row(client, OPENED_AT, &[&cookie.as_slice(), &address.as_slice()]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Inserts a link.
pub(crate) fn insert<'a>(writes: &mut Writes<'a>, unlock: NewUnlock<'a>, now: OffsetDateTime) {
    let NewUnlock { id, email, address, language, is_muted } = unlock;
    let values: [Value<'a>; 6] = [
        Box::new(id),
        Box::new(address.as_slice()),
        Box::new(email.as_str()),
        Box::new(language.tag()),
        Box::new(is_muted),
        Box::new(now),
    ];
    writes.push(INSERT, values);
}

/// Uses a link that was created after `oldest` and is not used yet: it is then the affected row.
pub(crate) fn open(writes: &mut Writes<'_>, id: Uuid, cookie: TokenHash, now: OffsetDateTime, oldest: OffsetDateTime) {
    writes.push(OPEN, [Box::new(id), Box::new(now), Box::new(cookie.to_vec()), Box::new(oldest)]);
}

/// Deletes all links of an email address.
pub(crate) fn delete_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(DELETE_OF, [Box::new(email.as_str())]);
}

/// Deletes up to `limit` links that were created at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
