//! SQL of the worker: reads the facts about a message and records its outcome in `deliveries`.

pub(crate) mod undeliverable;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use deadpool_postgres::{Object, Pool};
use i18n::Language;
use shared::messages::{MailKind, Message};
use shared::telemetry::traces::spans;
use time::OffsetDateTime;
use tokio::time::timeout;
use tokio_postgres::Row;
use tracing::Instrument;
use uuid::Uuid;

use crate::domain::decision::{CodeFacts, Facts};

// Selects the facts about a message in one round trip, and in one row even if the message refers to nothing. The row
// also says whether the server accepts writes: a read-only server, a standby for example, could not record what was
// sent, and may not have replicated the row yet.
macro_rules! facts_query {
    ($facts:literal) => {
        concat!(
            "SELECT about.*, current_setting('transaction_read_only') = 'off' AS takes_writes \
             FROM (SELECT) AS always LEFT JOIN (",
            $facts,
            ") AS about ON true"
        )
    };
}

const CODE_FACTS: &str = facts_query!(
    "SELECT r.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, c.deadline, c.code_hash, c.key_id, \
     c.length, c.ttl_seconds, c.superseded_at IS NOT NULL AS superseded, \
     c.consumed_at IS NOT NULL OR r.activated_at IS NOT NULL OR r.closed_at IS NOT NULL AS over, r.language \
     FROM codes c JOIN registrations r ON r.id = c.registration_id LEFT JOIN deliveries d ON d.message_id = c.id \
     WHERE c.id = $1"
);
const USER_FACTS: &str = facts_query!(
    "SELECT u.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, u.activated_at, u.language \
     FROM users u LEFT JOIN deliveries d ON d.message_id = u.id WHERE u.id = $1"
);
const RESET_FACTS: &str = facts_query!(
    "SELECT r.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, r.deadline, r.code_hash, r.key_id, \
     r.length, r.ttl_seconds, r.used_at IS NOT NULL OR r.closed_at IS NOT NULL AS superseded, false AS over, r.language \
     FROM resets r LEFT JOIN deliveries d ON d.message_id = r.code_id WHERE r.code_id = $1"
);
const PASSWORD_CHANGE_FACTS: &str = facts_query!(
    "SELECT u.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, p.changed_at, u.language \
     FROM password_changes p JOIN users u ON u.id = p.user_id LEFT JOIN deliveries d ON d.message_id = p.id \
     WHERE p.id = $1"
);
const DELETION_FACTS: &str = facts_query!(
    "SELECT a.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, a.deleted_at, a.language \
     FROM account_deletions a LEFT JOIN deliveries d ON d.message_id = a.id WHERE a.id = $1"
);
const UNLOCK_FACTS: &str = facts_query!(
    "SELECT u.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, u.created_at, u.language, \
     u.is_muted FROM unlocks u LEFT JOIN deliveries d ON d.message_id = u.id WHERE u.id = $1"
);
// Records a mail that the mail server accepted, and starts the lifetime of its code: it begins with the record of the
// delivery. That of a muted mail begins, too; otherwise its receipt would reveal that it is muted. A record is never
// changed: a second delivery of the same mail neither changes the outcome nor extends the lifetime, and only the first
// returns the age of the message. The address of a deleted account is kept no longer than until here.
const RECORD_ACCEPTED: &str = "WITH recorded AS (INSERT INTO deliveries (message_id, outcome, why) VALUES ($1, $2, $3) \
    ON CONFLICT (message_id) DO NOTHING RETURNING at), \
    of_a_reset AS (UPDATE resets SET sent_at = recorded.at, \
    expires_at = LEAST(recorded.at + make_interval(secs => ttl_seconds), deadline) \
    FROM recorded WHERE code_id = $1 AND sent_at IS NULL), \
    of_a_code AS (UPDATE codes SET sent_at = recorded.at, \
    expires_at = LEAST(recorded.at + make_interval(secs => ttl_seconds), deadline) \
    FROM recorded WHERE id = $1 AND sent_at IS NULL), \
    of_a_deletion AS (DELETE FROM account_deletions WHERE id = $1 AND EXISTS (SELECT FROM recorded) RETURNING deleted_at) \
    SELECT GREATEST(EXTRACT(EPOCH FROM at - COALESCE((SELECT created_at FROM codes WHERE id = $1), \
    (SELECT created_at FROM resets WHERE code_id = $1), (SELECT activated_at FROM users WHERE id = $1), \
    (SELECT changed_at FROM password_changes WHERE id = $1), (SELECT created_at FROM unlocks WHERE id = $1), \
    (SELECT deleted_at FROM of_a_deletion))), 0)::float8 \
    FROM recorded";
// Records a mail that was not sent, or whose code cannot be written.
const RECORD_WITHOUT_CODE: &str = "INSERT INTO deliveries (message_id, outcome, why) VALUES ($1, $2, $3) \
    ON CONFLICT (message_id) DO NOTHING";

// For the API, which publishes messages again that are lost: this one is on its way.
const NOTE_ON_ITS_WAY: &str = "INSERT INTO unfinished_messages (id, kind, seen_at) VALUES ($1, $2, clock_timestamp()) \
    ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), missing_since = NULL";

/// How long Postgres may take for one operation; after that it counts as unavailable.
const TIMEOUT: Duration = Duration::from_secs(7);

/// How long such a note may take: a message is given back also because Postgres does not answer.
const NOTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns every SQL statement of this crate, for the test that prepares them all.
pub(crate) fn statements() -> Vec<&'static str> {
    let facts = MailKind::ALL.iter().map(|&kind| facts_statement(kind)).collect::<Vec<_>>();
    let own = &[RECORD_ACCEPTED, RECORD_WITHOUT_CODE, NOTE_ON_ITS_WAY];
    [&facts[..], own, undeliverable::STATEMENTS].concat()
}

/// The statement that selects the facts about a mail of this kind.
fn facts_statement(kind: MailKind) -> &'static str {
    match kind {
        MailKind::SendCode => CODE_FACTS,
        MailKind::Activated => USER_FACTS,
        MailKind::ResetCode => RESET_FACTS,
        MailKind::PasswordChanged => PASSWORD_CHANGE_FACTS,
        MailKind::AccountDeleted => DELETION_FACTS,
        MailKind::Unlock => UNLOCK_FACTS,
    }
}

/// The final outcome of a message, as it is recorded in `deliveries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryRecord<'a> {
    Delivered,
    /// The mail server accepted the envelope; the mail itself was not sent because mails to the email address are
    /// suppressed.
    Muted,
    Dropped(&'static str),
    Undeliverable(&'a str),
}

impl DeliveryRecord<'_> {
    /// The columns `outcome` and `why`.
    fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Delivered => ("delivered", None),
            Self::Muted => ("dropped", Some("muted")),
            Self::Dropped(why) => ("dropped", Some(why)),
            Self::Undeliverable(why) => ("undeliverable", Some(why)),
        }
    }
}

/// The worker's access to Postgres.
#[derive(Clone)]
pub(crate) struct Store(Pool);

impl Store {
    /// Creates the store on a connection pool.
    pub(crate) fn new(pool: Pool) -> Self {
        Self(pool)
    }

    /// Whether Postgres answers, for the health check.
    pub(crate) async fn is_up(&self) -> bool {
        let Ok(connection) = self.0.get().await else { return false };
        connection.simple_query("").await.is_ok()
    }

    /// Returns the current facts about a message; `None` if the row that it refers to was deleted.
    pub(crate) async fn load_facts(&self, message: Message) -> Result<Option<Facts>> {
        let reading = self.query_facts(message).instrument(spans::postgres("read the facts"));
        timeout(TIMEOUT, reading).await.context("Postgres did not answer in time")?
    }

    /// Records the outcome of a message. For a mail that was accepted, the first record returns the age of the message.
    pub(crate) async fn record(&self, message_id: Uuid, record: DeliveryRecord<'_>) -> Result<Option<Duration>> {
        let writing = self.insert_record(message_id, record).instrument(spans::postgres("record the end"));
        timeout(TIMEOUT, writing).await.context("Postgres did not answer in time")?
    }

    /// Records a mail that was accepted, and nothing about its code, which cannot be used then.
    pub(crate) async fn record_without_code(&self, message_id: Uuid, accepted: DeliveryRecord<'_>) -> Result<()> {
        let (outcome, why) = accepted.columns();
        let writing = async {
            let connection = self.connection().await?;
            let statement = connection.prepare_cached(RECORD_WITHOUT_CODE).await?;
            connection.execute(&statement, &[&message_id, &outcome, &why]).await?;
            Ok(())
        };
        timeout(TIMEOUT, writing).await.context("Postgres did not answer in time")?
    }

    /// Stores that a message without an outcome is on its way.
    pub(crate) async fn note_on_its_way(&self, message: Message) -> Result<()> {
        let noting = async {
            let connection = self.connection().await?;
            let statement = connection.prepare_cached(NOTE_ON_ITS_WAY).await?;
            connection.execute(&statement, &[&message.id, &message.kind.name()]).await?;
            Ok(())
        };
        timeout(NOTE_TIMEOUT, noting).await.context("Postgres did not answer in time")?
    }

    async fn connection(&self) -> Result<Object> {
        self.0.get().await.context("no connection to Postgres")
    }

    async fn query_facts(&self, message: Message) -> Result<Option<Facts>> {
        let connection = self.connection().await?;
        let statement = connection.prepare_cached(facts_statement(message.kind)).await?;
        let row = connection.query_one(&statement, &[&message.id]).await?;
        if !row.get::<_, bool>("takes_writes") {
            bail!("Postgres is read-only (a standby?)");
        }
        let exists = row.get::<_, Option<&str>>(0).is_some();
        Ok(exists.then(|| facts_from_row(&row, message.kind)))
    }

    async fn insert_record(&self, message_id: Uuid, record: DeliveryRecord<'_>) -> Result<Option<Duration>> {
        let connection = self.connection().await?;
        let sql = match record {
            DeliveryRecord::Delivered | DeliveryRecord::Muted => RECORD_ACCEPTED,
            DeliveryRecord::Dropped(_) | DeliveryRecord::Undeliverable(_) => RECORD_WITHOUT_CODE,
        };
        let (outcome, why) = record.columns();
        let statement = connection.prepare_cached(sql).await?;
        let inserted = connection.query_opt(&statement, &[&message_id, &outcome, &why]).await?;
        let age_seconds = inserted.and_then(|row| row.get::<_, Option<f64>>(0));
        Ok(age_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

/// Whether Postgres reports an error that is caused by a row: damaged data, or a value that is not valid. Everything else may
/// work the next time.
pub(crate) fn is_caused_by_a_row(error: &anyhow::Error) -> bool {
    let state = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    state.is_some_and(|state| ["22", "23", "P0", "XX"].contains(&&state.code()[..2]))
}

/// Reads the facts from the columns with which every statement about a message begins.
fn facts_from_row(row: &Row, kind: MailKind) -> Facts {
    let (deadline, code) = match kind.max_age() {
        None => (row.get(3), Some(code_from_row(row))),
        Some(max_age) => (row.get::<_, OffsetDateTime>(3) + max_age, None),
    };
    Facts {
        email: row.get(0),
        language: Language::of_tag(row.get("language")),
        recorded: row.get(1),
        now: row.get(2),
        deadline,
        is_muted: kind == MailKind::Unlock && row.get("is_muted"),
        code,
    }
}

fn code_from_row(row: &Row) -> CodeFacts {
    CodeFacts {
        hash: row.get(4),
        key_id: row.get(5),
        length: u8::try_from(row.get::<_, i16>(6)).unwrap_or(u8::MAX),
        ttl_seconds: u32::try_from(row.get::<_, i32>(7)).unwrap_or(0),
        superseded: row.get(8),
        registration_ended: row.get(9),
    }
}
