//! G3: messages per second from an outbox with 2 million rows to the broker, and Postgres time per message, with 8 relays
//! ÷ with one. Fails if a message is published twice or is missing.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    benches::relay,
    environment::{
        context::BenchContext,
        database,
        deployment::{Deployment, stop_apis},
        statements::{By, StatementMeter},
        usage,
    },
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// Rows that are written in one transaction, and share a position. The service writes one or two; filling would take long.
const ROWS_PER_TRANSACTION: u32 = 50;

/// What some relays achieved.
struct Relays {
    messages_per_second: f64,
    /// Postgres time, by `pg_stat_statements`, and processor time of its backends.
    us_per_message: f64,
    cpu_us_per_message: f64,
    blocks_per_message: f64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let mut deployment = Deployment::prepare(context, "relays").await?;
    deployment.set("HASH_THREADS", 1);
    let (rows, published, relays, rounds) = context.full_or_quick((2_000_000, 400_000, 8, 2), (0, 2_500, 3, 1));
    let meter = StatementMeter::open(&deployment.database_url).await?;
    meter.count_planning().await?;
    fill(&deployment.database, rows).await?;
    let mut outbox = Outbox { context, deployment, meter, rows: usize::try_from(rows)?, published: HashSet::new() };
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push((outbox.publish(1, published).await?, outbox.publish(relays, published).await?));
    }
    let ratio = |id, label, value: fn(&Relays) -> f64, unit, goal| {
        let rounds: Vec<_> = measured.iter().map(|(one, many)| (value(many), value(one))).collect();
        Row::ratio(id, label, &rounds, unit, goal)
    };
    let at_most = Goal::AtMost(1.2, 1.2);
    let rate = "messages from 2 M outbox rows to the broker, 8 relays ÷ one";
    Ok(vec![
        ratio("G3", rate, |relays| relays.messages_per_second, "/s", Goal::AtLeast(0.9, 0.9)),
        ratio("G3-ms", "Postgres time per message, likewise", |relays| relays.us_per_message, "µs", at_most),
        ratio("G3-cpu", "processor time of Postgres, likewise", |relays| relays.cpu_us_per_message, "µs", at_most),
        ratio("G3-blocks", "blocks that Postgres touches, likewise", |relays| relays.blocks_per_message, "", at_most),
    ])
}

/// Fills the outbox as an outage of the broker would: with many transactions.
async fn fill(database: &Client, rows: u32) -> Result<()> {
    database.batch_execute("SET synchronous_commit = off").await?;
    for _ in 0..rows / ROWS_PER_TRANSACTION {
        relay::fill(database, ROWS_PER_TRANSACTION).await?;
    }
    relay::fill(database, rows % ROWS_PER_TRANSACTION).await?;
    for statement in ["RESET synchronous_commit", "VACUUM (ANALYZE) outbox", "CHECKPOINT"] {
        database.batch_execute(statement).await?;
    }
    Ok(())
}

/// The filled outbox, and what was published of it.
struct Outbox<'a> {
    context: &'a BenchContext,
    deployment: Deployment,
    meter: StatementMeter,
    rows: usize,
    published: HashSet<Uuid>,
}

impl Outbox<'_> {
    /// The number of rows that were not published.
    fn rest(&self) -> Result<u32> {
        Ok(u32::try_from(self.rows - self.published.len())?)
    }

    /// Runs this many relays until they have published `count` messages, which are added if the outbox is empty. Checks
    /// that each message is either in the outbox or was published once.
    async fn publish(&mut self, relays: usize, count: u32) -> Result<Relays> {
        let Deployment { name, database, broker, .. } = &self.deployment;
        let apis = self.deployment.start_apis(self.context, relays).await?;
        // The first relays have begun before the last was ready: what counts is what all publish together.
        let (before, cpu_before) = (broker.waiting().await?, usage::backend_cpu_seconds(name)?);
        if self.rows == self.published.len() {
            relay::fill(database, count).await?;
            self.rows += usize::try_from(count)?;
        }
        self.meter.reset().await?;
        let messages_per_second = relay::queue_fill_rate(broker, before + count).await?;
        let cpu_seconds = usage::backend_cpu_seconds(name)? - cpu_before;
        let counted = f64::from(broker.waiting().await? - before);
        // With the messages that were in flight.
        stop_apis(apis).await?;
        let work = self.meter.work().await?;
        let ids = broker.take_ids().await?;
        let messages = ids.len() as f64 - f64::from(before);
        let result = Relays {
            messages_per_second,
            us_per_message: work.ms * 1e3 / messages,
            cpu_us_per_message: cpu_seconds * 1e6 / counted,
            blocks_per_message: work.blocks / messages,
        };
        print(&format!(
            "  {relays} relays: {messages_per_second:.0} messages/s; per message {:.1} µs of statements, {:.1} µs of processor time, {:.1} blocks",
            result.us_per_message, result.cpu_us_per_message, result.blocks_per_message
        ));
        print("    per 1 000 messages:");
        self.meter.print_top(By::Milliseconds, messages / 1e3).await?;
        let expected = self.published.len() + ids.len();
        self.published.extend(ids);
        ensure!(self.published.len() == expected, "{} messages were published twice", expected - self.published.len());
        let rows = database::count(database, "SELECT count(*) FROM outbox").await?;
        ensure!(
            rows == i64::from(self.rest()?),
            "{rows} rows are left in the outbox after {expected} of {} messages were published",
            self.rows
        );
        Ok(result)
    }
}
