//! Mail suppressions (table `mutes`): mailboxes that get no mails of strangers, and until when.

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::OffsetDateTime;
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::transaction::Writes;
use crate::domain::email::EmailAddress;

// LIMIT makes the plan use the index, however small the table was when it was planned.
const UNTIL: &str = "SELECT until FROM mutes WHERE subject = $1 LIMIT 1";
const MAILED_TO: &str = "SELECT email, language, clock_timestamp() FROM ( \
    SELECT r.email, r.language FROM codes c JOIN registrations r ON r.id = c.registration_id WHERE c.id = $1 \
    UNION ALL SELECT email, language FROM resets WHERE code_id = $1 \
    UNION ALL SELECT email, language FROM unlocks WHERE id = $1) AS mails LIMIT 1";
const SET: &str = "INSERT INTO mutes (subject, until) VALUES ($1, $2) \
    ON CONFLICT (subject) DO UPDATE SET until = EXCLUDED.until";
const DELETE: &str = "DELETE FROM mutes WHERE subject = $1";
const DELETE_EXPIRED: &str = "DELETE FROM mutes WHERE subject = ANY(ARRAY( \
    SELECT subject FROM mutes WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[UNTIL, MAILED_TO, SET, DELETE, DELETE_EXPIRED];

/// When the suppression of a mailbox ends, or has ended; `None` if there is none.
pub(crate) async fn until(client: &impl GenericClient, mailbox: &[u8; 32]) -> Result<Option<OffsetDateTime>, PgError> {
    Ok(super::row(client, UNTIL, &[&mailbox.as_slice()]).await?.map(|row| row.get(0)))
}

/// The receiver of a mail that a stranger may have caused.
pub(crate) struct Receiver {
    pub(crate) email: EmailAddress,
    /// The language of the mail.
    pub(crate) language: Language,
    /// The database's time when it was read.
    pub(crate) now: OffsetDateTime,
}

/// Reads the receiver of the mail with this message id.
pub(crate) async fn receiver(client: &impl GenericClient, message_id: Uuid) -> Result<Option<Receiver>, PgError> {
    let row = super::row(client, MAILED_TO, &[&message_id]).await?;
    Ok(row.map(|row| Receiver {
        email: EmailAddress::from_database(row.get(0)),
        language: Language::of_tag(row.get(1)),
        now: row.get(2),
    }))
}

/// Suppresses mail until a time. The caller holds the lock of the mailbox.
pub(crate) fn set<'a>(writes: &mut Writes<'a>, mailbox: &'a [u8; 32], until: OffsetDateTime) {
    writes.push(SET, [Box::new(mailbox.as_slice()), Box::new(until)]);
}

/// Ends the suppression. The caller holds the lock of the mailbox.
pub(crate) fn lift<'a>(writes: &mut Writes<'a>, mailbox: &'a [u8; 32]) {
    writes.push(DELETE, [Box::new(mailbox.as_slice())]);
}

/// Deletes up to `limit` suppressions that ended at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(cutoff), Box::new(limit)]);
}
