//! Registrations, each read together with its current code.

use deadpool_postgres::GenericClient;
use i18n::Language;
use time::{Duration, OffsetDateTime};
use tokio_postgres::{Error as PgError, Row, types::ToSql};
use uuid::Uuid;

use super::{
    codes,
    transaction::{Value, Writes},
};
use crate::domain::{email::EmailAddress, policy::Code};

// OFFSET 0 makes Postgres look up the code for each registration, and the delivery record for each code: as long as the
// tables have not been analyzed, Postgres assumes that few codes are current, and would begin with all of them.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT r.id, r.email, r.password_hash, r.created_at, r.activated_at, r.closed_at, \
             (SELECT outcome FROM deliveries WHERE message_id = c.id) AS outcome, \
             clock_timestamp() AS now, c.id AS code_id, c.code_hash, c.key_id, c.length, c.attempts, c.attempts_allowed, c.deadline, \
             c.sent_at, c.expires_at, c.resend_at, r.guesses, r.language \
             FROM registrations r CROSS JOIN LATERAL (SELECT * FROM codes \
             WHERE registration_id = r.id AND superseded_at IS NULL OFFSET 0) AS c WHERE ",
            $condition
        )
    };
}

const BY_IDS: &str = select!("r.id = ANY($1) ORDER BY r.created_at DESC");
// statement_timestamp() can use the index; `clock_timestamp()`, which differs for each row, would have to be compared
// with all registrations of the email address.
const OPEN_OF: &str = select!(
    "r.email = $1 AND r.activated_at IS NULL AND r.closed_at IS NULL \
        AND r.created_at > statement_timestamp() - make_interval(secs => $2) ORDER BY r.created_at DESC"
);
// Also if the code has been superseded.
const BY_KEY: &str = select!("r.idempotency_key = $1");
const INSERT: &str = "INSERT INTO registrations (id, email, password_hash, idempotency_key, created_at, language) \
    VALUES ($1, $2, $3, $4, $5, $6)";
const CLEAR_EXPIRED_KEY: &str =
    "UPDATE registrations SET idempotency_key = NULL WHERE idempotency_key = $1 AND created_at <= $2";
const ACTIVATE: &str = "UPDATE registrations SET activated_at = $2 WHERE id = $1";
const COUNT_GUESS: &str = "UPDATE registrations SET guesses = guesses + 1 WHERE id = ANY($1)";
const CLOSE_OPEN_OF: &str = "UPDATE registrations SET closed_at = $2 \
    WHERE email = $1 AND activated_at IS NULL AND closed_at IS NULL";
// Their codes are deleted with them (ON DELETE CASCADE).
const DELETE_OF: &str = "DELETE FROM registrations WHERE email = $1";
// The condition is that of an index which no other statement can use.
const DELETE_EXPIRED_PENDING: &str = "DELETE FROM registrations WHERE id = ANY(ARRAY( \
    SELECT id FROM registrations WHERE COALESCE(activated_at, closed_at) IS NULL AND created_at <= $1 \
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
const DELETE_EXPIRED_ENDED: &str = "DELETE FROM registrations WHERE id = ANY(ARRAY( \
    SELECT id FROM registrations WHERE (activated_at IS NOT NULL OR closed_at IS NOT NULL) \
    AND COALESCE(activated_at, closed_at) <= $1 \
    ORDER BY COALESCE(activated_at, closed_at) LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[
    BY_IDS,
    OPEN_OF,
    BY_KEY,
    INSERT,
    CLEAR_EXPIRED_KEY,
    ACTIVATE,
    COUNT_GUESS,
    CLOSE_OPEN_OF,
    DELETE_OF,
    DELETE_EXPIRED_PENDING,
    DELETE_EXPIRED_ENDED,
];

/// The constraint that is violated when two requests with the same idempotency key arrive at the same time.
pub(crate) const IDEMPOTENCY_KEY_UNIQUE: &str = "registrations_idempotency_key_unique";

/// A registration as it is at `now`, the database's time when it was read.
#[derive(Clone)]
pub(crate) struct Registration {
    pub(crate) id: Uuid,
    pub(crate) email: EmailAddress,
    pub(crate) password_hash: String,
    /// The language of all mails about it.
    pub(crate) language: Language,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) activated_at: Option<OffsetDateTime>,
    pub(crate) closed_at: Option<OffsetDateTime>,
    /// The guesses counted, over all its codes.
    pub(crate) guesses: u32,
    /// The mail with its code could not be delivered.
    pub(crate) undeliverable: bool,
    /// The worker dropped the mail with its code.
    pub(crate) dropped: bool,
    pub(crate) code: Code,
    pub(crate) now: OffsetDateTime,
}

impl Registration {
    /// A registration that has just been inserted.
    pub(crate) fn new(new: &NewRegistration<'_>, code: Code, now: OffsetDateTime) -> Self {
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
        let outcome: Option<&str> = row.get("outcome");
        Self {
            id: row.get("id"),
            email: EmailAddress::from_database(row.get("email")),
            password_hash: row.get("password_hash"),
            language: Language::of_tag(row.get("language")),
            created_at: row.get("created_at"),
            activated_at: row.get("activated_at"),
            closed_at: row.get("closed_at"),
            undeliverable: outcome == Some("undeliverable"),
            dropped: outcome == Some("dropped"),
            now: row.get("now"),
            guesses: u32::try_from(row.get::<_, i32>("guesses")).unwrap_or(u32::MAX),
            code: codes::from_row(&row),
        }
    }
}

/// Reads one registration.
pub(crate) async fn by_id(client: &impl GenericClient, id: Uuid) -> Result<Option<Registration>, PgError> {
    Ok(by_ids(client, &[id]).await?.pop())
}

/// Reads registrations, newest first, like the other lists.
pub(crate) async fn by_ids(client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<Registration>, PgError> {
    Ok(super::rows(client, BY_IDS, &[&ids]).await?.into_iter().map(Into::into).collect())
}

/// Reads the open registrations of an email address (not activated, not closed) that are `younger_than` this.
pub(crate) async fn open_of(
    client: &impl GenericClient,
    email: &EmailAddress,
    younger_than: Duration,
) -> Result<Vec<Registration>, PgError> {
    let values: [&(dyn ToSql + Sync); 2] = [&email.as_str(), &younger_than.as_seconds_f64()];
    Ok(super::rows(client, OPEN_OF, &values).await?.into_iter().map(Into::into).collect())
}

/// Reads the registration with this idempotency key.
pub(crate) async fn by_key(client: &impl GenericClient, key: &str) -> Result<Option<Registration>, PgError> {
    Ok(super::row(client, BY_KEY, &[&key]).await?.map(Into::into))
}

/// The data of a new registration.
pub(crate) struct NewRegistration<'a> {
    pub(crate) id: Uuid,
    pub(crate) email: &'a EmailAddress,
    pub(crate) password_hash: &'a str,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) language: Language,
}

/// Inserts a registration. The caller also inserts its code.
pub(crate) fn insert<'a>(writes: &mut Writes<'a>, new: &NewRegistration<'a>, now: OffsetDateTime) {
    let values: [Value<'a>; 6] = [
        Box::new(new.id),
        Box::new(new.email.as_str()),
        Box::new(new.password_hash),
        Box::new(new.idempotency_key),
        Box::new(now),
        Box::new(new.language.tag()),
    ];
    writes.push(INSERT, values);
}

/// Releases an idempotency key whose registration was created at `before` or earlier.
pub(crate) fn clear_expired_key<'a>(writes: &mut Writes<'a>, key: &'a str, before: OffsetDateTime) {
    writes.push(CLEAR_EXPIRED_KEY, [Box::new(key), Box::new(before)]);
}

/// Counts a guess at each of these registrations. Called before it is known whether the guess is right.
pub(crate) fn count_guess(writes: &mut Writes<'_>, ids: Vec<Uuid>) {
    writes.push(COUNT_GUESS, [Box::new(ids)]);
}

/// Marks a registration as activated, and closes the other open registrations of its email address.
pub(crate) fn activate<'a>(writes: &mut Writes<'a>, registration: &'a Registration, now: OffsetDateTime) {
    writes.push(ACTIVATE, [Box::new(registration.id), Box::new(now)]);
    close_open_of(writes, &registration.email, now);
}

/// Closes the open registrations of an email address.
pub(crate) fn close_open_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress, now: OffsetDateTime) {
    writes.push(CLOSE_OPEN_OF, [Box::new(email.as_str()), Box::new(now)]);
}

/// Deletes all registrations of an email address, in any state, with their codes. The caller holds its lock.
pub(crate) fn delete_of<'a>(writes: &mut Writes<'a>, email: &'a EmailAddress) {
    writes.push(DELETE_OF, [Box::new(email.as_str())]);
}

/// Deletes up to `limit` registrations that were neither activated nor closed, and were created at `cutoff` or before.
pub(crate) fn delete_expired_pending(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED_PENDING, [Box::new(cutoff), Box::new(limit)]);
}

/// Deletes up to `limit` registrations that were activated or closed at `cutoff` or before.
pub(crate) fn delete_expired_ended(writes: &mut Writes<'_>, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED_ENDED, [Box::new(cutoff), Box::new(limit)]);
}
