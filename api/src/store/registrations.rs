//! Registrations, each with the code that counts for it.

pub(crate) mod over;

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use super::transaction::{Value, Writes};
use crate::domain::{email::EmailAddress, policy::Code};

// A code is looked up for its registration, which OFFSET 0 sees to, and a delivery for its code: as long as nobody has
// analyzed the tables, Postgres takes codes that count for few, and would begin with all of them.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT r.id, r.email, r.password_hash, r.created_at, r.activated_at, r.closed_at, \
             (SELECT outcome FROM deliveries WHERE message_id = c.id), \
             clock_timestamp(), c.id, c.code_hash, c.key_id, c.length, c.attempts, c.attempts_allowed, c.deadline, \
             c.sent_at, c.expires_at, c.resend_at, r.guesses, r.language \
             FROM registrations r CROSS JOIN LATERAL (SELECT * FROM codes \
             WHERE registration_id = r.id AND superseded_at IS NULL OFFSET 0) AS c WHERE ",
            $condition
        )
    };
}

const BY_IDS: &str = select!("r.id = ANY($1) ORDER BY r.created_at DESC");
// By the index: `clock_timestamp()`, which is another one for each row, could only be compared with all of the address.
const OPEN_OF: &str = select!(
    "r.email = $1 AND r.activated_at IS NULL AND r.closed_at IS NULL \
        AND r.created_at > statement_timestamp() - make_interval(secs => $2) ORDER BY r.created_at DESC"
);
// Also when another code counts by now.
const OF_CODE: &str = select!("r.id = (SELECT registration_id FROM codes WHERE id = $1)");
const BY_KEY: &str = select!("r.idempotency_key = $1");
const INSERT: &str = "INSERT INTO registrations (id, email, password_hash, idempotency_key, created_at, language) \
    VALUES ($1, $2, $3, $4, $5, $6)";
const FORGET_KEY: &str =
    "UPDATE registrations SET idempotency_key = NULL WHERE idempotency_key = $1 AND created_at <= $2";
const ACTIVATE: &str = "UPDATE registrations SET activated_at = $2 WHERE id = $1";
const COUNT_GUESS: &str = "UPDATE registrations SET guesses = guesses + 1 WHERE id = ANY($1)";
const CLOSE_OPEN_OF: &str = "UPDATE registrations SET closed_at = $2 \
    WHERE email = $1 AND activated_at IS NULL AND closed_at IS NULL";
// Their codes go with them.
const DELETE_OF: &str = "DELETE FROM registrations WHERE email = $1";

pub(crate) const ALL: &[&str] =
    &[BY_IDS, OPEN_OF, OF_CODE, BY_KEY, INSERT, FORGET_KEY, ACTIVATE, COUNT_GUESS, CLOSE_OPEN_OF, DELETE_OF];

/// What is violated when two requests with one key arrive together.
pub(crate) const IDEMPOTENCY_KEY_UNIQUE: &str = "registrations_idempotency_key_unique";

/// A registration as it is at `now`, the database's time when it was read.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    pub(crate) password_hash: String,
    /// In which all mails about it are.
    pub(crate) language: Language,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) activated_at: Option<OffsetDateTime>,
    pub(crate) closed_at: Option<OffsetDateTime>,
    /// Over all its codes.
    pub(crate) guesses: u32,
    /// How the mail with its code ended, when it did not end with a mail server taking it.
    pub(crate) undeliverable: bool,
    pub(crate) dropped: bool,
    pub(crate) code: Code,
    pub(crate) now: OffsetDateTime,
}

impl Registration {
    /// As it is when it has just been written.
    pub(crate) fn new(new: &New<'_>, code: Code, now: OffsetDateTime) -> Self {
        Self {
            id: new.id,
            email: new.email.clone(),
            password_hash: new.password_hash.to_owned(),
            language: new.language,
            created_at: now,
            activated_at: None,
            closed_at: None,
            guesses: 0,
            undeliverable: false,
            dropped: false,
            code,
            now,
        }
    }
}

impl From<Row> for Registration {
    fn from(row: Row) -> Self {
        let small = |column: usize| u8::try_from(row.get::<_, i16>(column)).unwrap_or(u8::MAX);
        let outcome = row.get::<_, Option<&str>>(6);
        Self {
            id: row.get(0),
            email: EmailAddress::trusted(row.get(1)),
            password_hash: row.get(2),
            language: Language::of_tag(row.get(19)),
            created_at: row.get(3),
            activated_at: row.get(4),
            closed_at: row.get(5),
            undeliverable: outcome == Some("undeliverable"),
            dropped: outcome == Some("dropped"),
            now: row.get(7),
            guesses: u32::try_from(row.get::<_, i32>(18)).unwrap_or(u32::MAX),
            code: Code {
                id: row.get(8),
                receipt: row.get(0),
                hash: row.get(9),
                key_id: row.get(10),
                length: small(11),
                attempts: small(12),
                attempts_allowed: small(13),
                deadline: row.get(14),
                sent_at: row.get(15),
                expires_at: row.get(16),
                resend_at: row.get(17),
            },
        }
    }
}

pub(crate) async fn by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Registration>, PgError> {
    Ok(by_ids(client, &[id]).await?.pop())
}

/// Newest first, like the other lists.
pub(crate) async fn by_ids(client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<Registration>, PgError> {
    Ok(super::rows(client, BY_IDS, &[&ids]).await?.into_iter().map(Into::into).collect())
}

/// Those of an address that nobody activated or closed, and that are younger than this.
pub(crate) async fn open_of(
    client: &impl GenericClient,
    email: &EmailAddress,
    younger_than: Duration,
) -> Result<Vec<Registration>, PgError> {
    let values: [&(dyn ToSql + Sync); 2] = [&email.as_str(), &younger_than.as_seconds_f64()];
    Ok(super::rows(client, OPEN_OF, &values).await?.into_iter().map(Into::into).collect())
}

/// The one that this code was made for.
pub(crate) async fn of_code(client: &impl GenericClient, code: Uuid) -> Result<Option<Registration>, PgError> {
    Ok(super::row(client, OF_CODE, &[&code]).await?.map(Into::into))
}

pub(crate) async fn by_key(client: &impl GenericClient, key: &str) -> Result<Option<Registration>, PgError> {
    Ok(super::row(client, BY_KEY, &[&key]).await?.map(Into::into))
}

pub(crate) struct New<'a> {
    pub(crate) id: Uuid,
    pub(crate) email: &'a EmailAddress,
    pub(crate) password_hash: &'a str,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) language: Language,
}

pub(crate) fn insert<'a>(writes: &mut Writes<'a>, new: &New<'a>, now: OffsetDateTime) {
    let (email, hash, key) = (new.email.as_str(), new.password_hash, new.idempotency_key);
    let language = new.language.tag();
    let values: [Value<'a>; 6] =
        [Box::new(new.id), Box::new(email), Box::new(hash), Box::new(key), Box::new(now), Box::new(language)];
    writes.push(INSERT, values);
}

/// Frees a key that was last used before `before`.
pub(crate) fn forget_key<'a>(writes: &mut Writes<'a>, key: &'a str, before: OffsetDateTime) {
    writes.push(FORGET_KEY, [Box::new(key), Box::new(before)]);
}

/// Before it is known whether the guess is right.
pub(crate) fn count_guess(writes: &mut Writes<'_>, ids: Vec<Uuid>) {
    writes.push(COUNT_GUESS, [Box::new(ids)]);
}

/// Marks the one that won, and closes what else is open at its address.
pub(crate) fn activate<'a>(writes: &mut Writes<'a>, winner: &'a Registration, now: OffsetDateTime) {
    writes.push(ACTIVATE, [Box::new(winner.id), Box::new(now)]);
    close_open_of(writes, &winner.email, now);
}

pub(crate) fn close_open_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, now: OffsetDateTime) {
    writes.push(CLOSE_OPEN_OF, [Box::new(email.as_str()), Box::new(now)]);
}

/// All of an address, whatever became of them, with their codes. The caller holds the lock of the address.
pub(crate) fn delete_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(DELETE_OF, [Box::new(email.as_str())]);
}
