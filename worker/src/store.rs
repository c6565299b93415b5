//! What the worker reads and records in the database.

pub(crate) mod undeliverable;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use deadpool_postgres::{Object, Pool};
use i18n::Language;
use shared::messages::{MailKind, Message};
use shared::telemetry::traces::spans;
use tokio::time::timeout;
use tokio_postgres::Row;
use tracing::Instrument;
use uuid::Uuid;

use crate::delivery::decision::{Code, Facts, warning_until, welcome_until};

// What is true about a message, in one round trip, and in one row even if there is nothing: a server that takes no
// writes, a standby for example, could not record what was sent, and may not know yet what it is asked for.
macro_rules! facts {
    ($facts:literal) => {
        concat!(
            "SELECT about.*, current_setting('transaction_read_only') = 'off' AS takes_writes \
             FROM (SELECT) AS always LEFT JOIN (",
            $facts,
            ") AS about ON true"
        )
    };
}

const CODE: &str = facts!(
    "SELECT r.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, c.deadline, c.code_hash, c.key_id, \
     c.length, c.ttl_seconds, c.superseded_at IS NOT NULL AS superseded, \
     c.consumed_at IS NOT NULL OR r.activated_at IS NOT NULL OR r.closed_at IS NOT NULL AS over, r.language \
     FROM codes c JOIN registrations r ON r.id = c.registration_id LEFT JOIN deliveries d ON d.message_id = c.id \
     WHERE c.id = $1"
);
const USER: &str = facts!(
    "SELECT u.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, u.activated_at, u.language \
     FROM users u LEFT JOIN deliveries d ON d.message_id = u.id WHERE u.id = $1"
);
const RESET: &str = facts!(
    "SELECT r.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, r.deadline, r.code_hash, r.key_id, \
     r.length, r.ttl_seconds, r.used_at IS NOT NULL OR r.closed_at IS NOT NULL AS superseded, false AS over, r.language \
     FROM resets r LEFT JOIN deliveries d ON d.message_id = r.code_id WHERE r.code_id = $1"
);
const CHANGE: &str = facts!(
    "SELECT u.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, p.changed_at, u.language \
     FROM password_changes p JOIN users u ON u.id = p.user_id LEFT JOIN deliveries d ON d.message_id = p.id \
     WHERE p.id = $1"
);
// The code's minute begins with the record of its delivery; that of one that is muted, too, or its receipt would tell.
// What is recorded once stays: a second delivery of the same mail neither changes the outcome nor lengthens the minute,
// and only the first tells its age.
const TAKEN: &str = "WITH recorded AS (INSERT INTO deliveries (message_id, outcome, why) VALUES ($1, $2, $3) \
    ON CONFLICT (message_id) DO NOTHING RETURNING at), \
    of_a_reset AS (UPDATE resets SET sent_at = recorded.at, \
    expires_at = LEAST(recorded.at + make_interval(secs => ttl_seconds), deadline) \
    FROM recorded WHERE code_id = $1 AND sent_at IS NULL), \
    of_a_code AS (UPDATE codes SET sent_at = recorded.at, \
    expires_at = LEAST(recorded.at + make_interval(secs => ttl_seconds), deadline) \
    FROM recorded WHERE id = $1 AND sent_at IS NULL) \
    SELECT GREATEST(EXTRACT(EPOCH FROM at - COALESCE((SELECT created_at FROM codes WHERE id = $1), \
    (SELECT created_at FROM resets WHERE code_id = $1), (SELECT activated_at FROM users WHERE id = $1), \
    (SELECT changed_at FROM password_changes WHERE id = $1))), 0)::float8 FROM recorded";
const OTHERWISE: &str = "INSERT INTO deliveries (message_id, outcome, why) VALUES ($1, $2, $3) \
    ON CONFLICT (message_id) DO NOTHING";

/// A server that says nothing is one that is away.
const TIMEOUT: Duration = Duration::from_secs(7);

/// Every statement of this crate, for the test that prepares them all.
pub(crate) fn statements() -> Vec<&'static str> {
    [&[CODE, USER, RESET, CHANGE, TAKEN, OTHERWISE], undeliverable::ALL].concat()
}

/// What a message is about: each has rows of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Code,
    User,
    Reset,
    Change,
}

impl About {
    fn of(kind: MailKind) -> Self {
        match kind {
            MailKind::SendCode | MailKind::AlreadyRegistered => Self::Code,
            MailKind::Activated => Self::User,
            MailKind::ResetCode | MailKind::NoAccount => Self::Reset,
            MailKind::PasswordChanged => Self::Change,
        }
    }

    fn statement(self) -> &'static str {
        match self {
            Self::Code => CODE,
            Self::User => USER,
            Self::Reset => RESET,
            Self::Change => CHANGE,
        }
    }
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    Delivered,
    /// The mail server would have taken it, and was not given it.
    Muted,
    Dropped(&'static str),
    Undeliverable(&'a str),
}

#[derive(Clone)]
pub(crate) struct Store(Pool);

impl Store {
    pub(crate) fn new(pool: Pool) -> Self {
        Self(pool)
    }

    pub(crate) async fn is_up(&self) -> bool {
        let Ok(connection) = self.0.get().await else { return false };
        connection.simple_query("").await.is_ok()
    }

    /// What is true about a message now; `None` when what it speaks of is gone.
    pub(crate) async fn facts(&self, message: Message) -> Result<Option<Facts>> {
        let reading = self.read_facts(message).instrument(spans::postgres("read the facts"));
        timeout(TIMEOUT, reading).await.context("Postgres did not answer in time")?
    }

    /// Tells the age of what is recorded as taken, once.
    pub(crate) async fn record(&self, message: Uuid, end: End<'_>) -> Result<Option<Duration>> {
        let writing = self.write_end(message, end).instrument(spans::postgres("record the end"));
        timeout(TIMEOUT, writing).await.context("Postgres did not answer in time")?
    }

    async fn connection(&self) -> Result<Object> {
        self.0.get().await.context("no connection to Postgres")
    }

    async fn read_facts(&self, message: Message) -> Result<Option<Facts>> {
        let connection = self.connection().await?;
        let about = About::of(message.kind);
        let statement = connection.prepare_cached(about.statement()).await?;
        let row = connection.query_one(&statement, &[&message.id]).await?;
        if !row.get::<_, bool>("takes_writes") {
            bail!("Postgres takes no writes");
        }
        let is_there = row.get::<_, Option<&str>>(0).is_some();
        Ok(is_there.then(|| facts(&row, about)))
    }

    async fn write_end(&self, message: Uuid, end: End<'_>) -> Result<Option<Duration>> {
        let connection = self.connection().await?;
        let (sql, outcome, why) = match end {
            End::Delivered => (TAKEN, "delivered", None),
            End::Muted => (TAKEN, "dropped", Some("muted")),
            End::Dropped(why) => (OTHERWISE, "dropped", Some(why)),
            End::Undeliverable(why) => (OTHERWISE, "undeliverable", Some(why)),
        };
        let statement = connection.prepare_cached(sql).await?;
        let told = connection.query_opt(&statement, &[&message, &outcome, &why]).await?;
        let seconds = told.and_then(|row| row.get::<_, Option<f64>>(0));
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

/// The first columns of every statement about a message.
fn facts(row: &Row, about: About) -> Facts {
    let (deadline, code) = match about {
        About::Code | About::Reset => (row.get(3), Some(code(row))),
        About::User => (welcome_until(row.get(3)), None),
        About::Change => (warning_until(row.get(3)), None),
    };
    Facts {
        email: row.get(0),
        language: Language::of_tag(row.get("language")),
        recorded: row.get(1),
        now: row.get(2),
        deadline,
        code,
    }
}

fn code(row: &Row) -> Code {
    Code {
        hash: row.get(4),
        key_id: row.get(5),
        length: u8::try_from(row.get::<_, i16>(6)).unwrap_or(u8::MAX),
        ttl_seconds: u32::try_from(row.get::<_, i32>(7)).unwrap_or(0),
        superseded: row.get(8),
        over: row.get(9),
    }
}
