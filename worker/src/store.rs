//! What the worker reads and records in the database.

pub(crate) mod undeliverable;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use deadpool_postgres::{Object, Pool};
use shared::message::{Kind, Message};
use tokio::time::timeout;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::judge::{Code, Facts, welcome_until};

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
     c.consumed_at IS NOT NULL OR r.activated_at IS NOT NULL OR r.closed_at IS NOT NULL AS over \
     FROM codes c JOIN registrations r ON r.id = c.registration_id LEFT JOIN deliveries d ON d.message_id = c.id \
     WHERE c.id = $1"
);
const USER: &str = facts!(
    "SELECT u.email, d.message_id IS NOT NULL AS recorded, clock_timestamp() AS now, u.activated_at \
     FROM users u LEFT JOIN deliveries d ON d.message_id = u.id WHERE u.id = $1"
);
// The code's minute begins with the record of its delivery. What is recorded once stays: a second
// delivery of the same mail neither changes the outcome nor lengthens the minute.
const DELIVERED: &str = "WITH recorded AS (INSERT INTO deliveries (message_id, outcome) VALUES ($1, 'delivered') \
    ON CONFLICT (message_id) DO NOTHING RETURNING at) \
    UPDATE codes SET sent_at = recorded.at, \
    expires_at = LEAST(recorded.at + make_interval(secs => ttl_seconds), deadline) \
    FROM recorded WHERE id = $1 AND sent_at IS NULL";
const OTHERWISE: &str = "INSERT INTO deliveries (message_id, outcome, why) VALUES ($1, $2, $3) \
    ON CONFLICT (message_id) DO NOTHING";

/// A server that says nothing is one that is away.
const TIMEOUT: Duration = Duration::from_secs(7);

/// Every statement of this crate, for the test that prepares them all.
pub(crate) fn statements() -> Vec<&'static str> {
    [&[CODE, USER, DELIVERED, OTHERWISE], undeliverable::ALL].concat()
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    Delivered,
    Dropped(&'a str),
    Undeliverable(&'a str),
}

#[derive(Clone)]
pub(crate) struct Store(Pool);

impl Store {
    pub(crate) fn new(pool: Pool) -> Self {
        Self(pool)
    }

    pub(crate) async fn is_up(&self) -> bool {
        match self.0.get().await {
            Ok(connection) => connection.simple_query("").await.is_ok(),
            Err(_) => false,
        }
    }

    /// What is true about a message now; `None` when what it speaks of is gone.
    pub(crate) async fn facts(&self, message: Message) -> Result<Option<Facts>> {
        timeout(TIMEOUT, self.read_facts(message)).await.context("Postgres did not answer in time")?
    }

    pub(crate) async fn record(&self, message: Uuid, end: End<'_>) -> Result<()> {
        timeout(TIMEOUT, self.write_end(message, end)).await.context("Postgres did not answer in time")?
    }

    async fn connection(&self) -> Result<Object> {
        self.0.get().await.context("no connection to Postgres")
    }

    async fn read_facts(&self, message: Message) -> Result<Option<Facts>> {
        let connection = self.connection().await?;
        let about_code = message.kind != Kind::Activated;
        let statement = connection.prepare_cached(if about_code { CODE } else { USER }).await?;
        let row = connection.query_one(&statement, &[&message.id]).await?;
        if !row.get::<_, bool>("takes_writes") {
            bail!("Postgres takes no writes");
        }
        let is_there = row.get::<_, Option<&str>>(0).is_some();
        Ok(is_there.then(|| facts(&row, about_code)))
    }

    async fn write_end(&self, message: Uuid, end: End<'_>) -> Result<()> {
        let connection = self.connection().await?;
        let (outcome, why) = match end {
            End::Delivered => {
                let statement = connection.prepare_cached(DELIVERED).await?;
                connection.execute(&statement, &[&message]).await?;
                return Ok(());
            }
            End::Dropped(why) => ("dropped", why),
            End::Undeliverable(why) => ("undeliverable", why),
        };
        let statement = connection.prepare_cached(OTHERWISE).await?;
        connection.execute(&statement, &[&message, &outcome, &why]).await?;
        Ok(())
    }
}

/// The first columns of every statement about a message.
fn facts(row: &Row, about_code: bool) -> Facts {
    Facts {
        email: row.get(0),
        recorded: row.get(1),
        now: row.get(2),
        deadline: if about_code { row.get(3) } else { welcome_until(row.get(3)) },
        code: about_code.then(|| code(row)),
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
