//! G7: expired rows that the cleanup of one API deletes per second, and the size of the tables, while 5 000 rows per second
//! become expired. Fails if expired rows are left when no more are added.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use crate::{
    clock::now,
    environment::{
        context::BenchContext,
        database,
        deployment::Deployment,
        statements::{By, StatementMeter},
    },
    report::{
        progress::print,
        table::{Goal, Row, Unit},
    },
};

/// What a sign-up leaves behind, and a wrong code: each statement adds the rows of `$1` sign-ups, all expired.
const ROWS: [&str; 5] = [
    "WITH new AS (INSERT INTO registrations (id, email, password_hash, created_at, activated_at) \
     SELECT gen_random_uuid(), gen_random_uuid() || '@expired.example', repeat('x', 97), at, at FROM expired \
     RETURNING id, created_at AS at) \
     INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, ttl_seconds, deadline, \
     resend_at, created_at, sent_at, expires_at, consumed_at) SELECT gen_random_uuid(), id, sha256(id::text::bytea), \
     'bench', 4, 3, 60, at, at, at, at, at, at FROM new",
    "INSERT INTO deliveries (message_id, outcome, at) SELECT gen_random_uuid(), 'delivered', at \
     FROM expired, generate_series(1, 2)",
    "INSERT INTO budgets (subject, kind, used_at) SELECT sha256(gen_random_uuid()::text::bytea), 'codes', ARRAY[at] \
     FROM expired",
    "INSERT INTO budgets (subject, kind, used_at) SELECT sha256(gen_random_uuid()::text::bytea), 'registrations-from', \
     ARRAY[at] FROM expired",
    "INSERT INTO code_attempts (id, network, at, length, codes, wrong) SELECT gen_random_uuid(), \
     sha256(gen_random_uuid()::text::bytea), at, 4, 1, true FROM expired",
];

/// Times that no retention reaches, in the order in which the rows are inserted.
const EXPIRED: &str =
    "WITH expired AS (SELECT clock_timestamp() - interval '60 days' AS at FROM generate_series(1, $1))";

/// Rows of all tables that one sign-up adds.
const ROWS_PER_SIGN_UP: f64 = 7.0;

const TABLES: [&str; 5] = ["registrations", "codes", "deliveries", "budgets", "code_attempts"];

/// Added and deleted rows of a table, and its size with its indexes.
const COUNTERS: &str = "SELECT n_tup_ins, n_tup_del, pg_total_relation_size(relid) FROM pg_stat_user_tables \
    WHERE relname = $1";

/// How long the size of the tables is watched. Autovacuum comes once a minute.
const MINUTES: usize = 4;

/// The interval of the inserts.
const TICK: Duration = Duration::from_millis(100);

/// When no more rows are added, some are deleted within this time, however slow the machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A reading of all tables.
struct Reading {
    inserted: [i64; 5],
    deleted: [i64; 5],
    bytes: i64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let mut deployment = Deployment::prepare(context, "cleanup").await?;
    deployment.set("HOUSEKEEPING_SECONDS", 1);
    let (rows_per_second, backlog, seconds) = context.full_or_quick((5_000.0, 100_000, 60.0), (500.0, 1_000, 0.5));
    let api = deployment.start_api(context).await?;
    let meter = StatementMeter::open(&deployment.database_url).await?;
    let inserter = Inserter { database: &deployment.database, sign_ups_per_second: rows_per_second / ROWS_PER_SIGN_UP };

    print(&format!("  {rows_per_second} rows/s"));
    let mut readings = vec![read(&meter.client).await?];
    for _ in 0..MINUTES {
        inserter.run(seconds).await?;
        readings.push(read(&meter.client).await?);
        report(&readings[readings.len() - 2], &readings[readings.len() - 1], seconds);
    }
    let size = |minute: usize| readings[minute].bytes as f64 / 1e6;
    let growth = (size(MINUTES), size(MINUTES / 2));

    print(&format!("  {rows_per_second} rows/s and a backlog of {backlog} sign-ups"));
    add(&deployment.database, backlog).await?;
    // As after a longer time with a backlog; autovacuum would do it later. The counters are read on another connection.
    deployment.database.batch_execute("ANALYZE; SELECT pg_stat_force_next_flush()").await?;
    meter.reset().await?;
    let before = read(&meter.client).await?;
    inserter.run(seconds).await?;
    let after = read(&meter.client).await?;
    report(&before, &after, seconds);
    let deleted = before.deleted_until(&after).iter().sum::<i64>() as f64;
    meter.print_top(By::Milliseconds, seconds).await?;
    wait_until_clean(&deployment.database).await?;
    api.process.stop().await?;

    let rate = "expired rows deleted per second by one API, while there is a backlog and 5 000 rows/s are added";
    let size = "size of the tables after 4 minutes of 5 000 expired rows/s ÷ after 2";
    Ok(vec![
        Row::plain("G7", rate, vec![deleted / seconds], Unit::PerSecond, Goal::AtLeast(10_000.0, 10_000.0)),
        Row::ratio("G7-size", size, &[growth], "MB", Goal::AtMost(1.1, 1.1)),
    ])
}

/// Inserts the expired rows of `count` sign-ups.
async fn add(database: &Client, count: i32) -> Result<()> {
    for rows in ROWS {
        let with = if rows.starts_with("WITH ") { rows.replacen("WITH ", ", ", 1) } else { format!(" {rows}") };
        database.execute(&format!("{EXPIRED}{with}"), &[&count]).await?;
    }
    Ok(())
}

/// Inserts expired rows at a constant rate.
struct Inserter<'a> {
    database: &'a Client,
    sign_ups_per_second: f64,
}

impl Inserter<'_> {
    async fn run(&self, seconds: f64) -> Result<()> {
        let (started, mut added) = (now(), 0);
        let mut late = Duration::ZERO;
        for tick in 1..=(seconds / TICK.as_secs_f64()).round() as u32 {
            let due = (self.sign_ups_per_second * (TICK * tick).as_secs_f64()).round() as i32;
            add(self.database, due - added).await?;
            added = due;
            late = late.max(started.elapsed().saturating_sub(TICK * tick));
            tokio::time::sleep_until((started + TICK * tick).into()).await;
        }
        if late > Duration::from_secs(1) {
            print(&format!("    warning: the inserts were up to {late:.1?} late"));
        }
        Ok(())
    }
}

/// Reads the counters of all tables.
async fn read(client: &Client) -> Result<Reading> {
    let mut reading = Reading { inserted: [0; 5], deleted: [0; 5], bytes: 0 };
    for (n, table) in TABLES.iter().enumerate() {
        let row = client.query_one(COUNTERS, &[table]).await?;
        (reading.inserted[n], reading.deleted[n]) = (row.get(0), row.get(1));
        reading.bytes += row.get::<_, i64>(2);
    }
    Ok(reading)
}

impl Reading {
    /// The rows of each table that were deleted between two readings.
    fn deleted_until(&self, later: &Self) -> [i64; 5] {
        std::array::from_fn(|n| later.deleted[n] - self.deleted[n])
    }
}

fn report(before: &Reading, after: &Reading, seconds: f64) {
    let deleted = before.deleted_until(after);
    for (n, table) in TABLES.iter().enumerate() {
        let per_second = |rows: i64| rows as f64 / seconds;
        print(&format!(
            "    {table}: {:.0} rows/s added, {:.0} rows/s deleted, {} left",
            per_second(after.inserted[n] - before.inserted[n]),
            per_second(deleted[n]),
            after.inserted[n] - after.deleted[n]
        ));
    }
    print(&format!("    {:.0} MB, before {:.0} MB", after.bytes as f64 / 1e6, before.bytes as f64 / 1e6));
}

/// Waits until all tables are empty. Fails if no more rows are deleted.
async fn wait_until_clean(database: &Client) -> Result<()> {
    let started = now();
    let mut progress = (i64::MAX, started);
    let left = TABLES.map(|table| format!("(SELECT count(*) FROM {table})")).join(" + ");
    loop {
        let rows = database::count(database, &format!("SELECT {left}")).await?;
        if rows == 0 {
            print(&format!("    no row is left {:.0} s after the last insert", started.elapsed().as_secs_f64()));
            return Ok(());
        }
        if rows < progress.0 {
            progress = (rows, now());
        }
        ensure!(
            progress.1.elapsed() < TIMEOUT,
            "{rows} expired rows are left, of which none was deleted in {TIMEOUT:?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
