//! G1: blocks that Postgres touches for a request, with 2 million sign-ups in its tables ÷ with 10 000. Counts work, not
//! time: all statements of API, relay and worker that a request causes.

use anyhow::{Result, bail, ensure};
use hyper::Request;

use crate::{
    baseline::raw_hashes,
    environment::{
        context::BenchContext,
        history,
        pipeline::{LONG_HASH_QUEUE, Pipeline},
        prefill::{self, Registration},
        statements::{By, StatementMeter},
    },
    load::users,
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// Requests of each kind.
const REQUESTS: u64 = 200;

/// Tables of which a whole history was read, and how many rows.
const SCANNED: &str = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables \
    WHERE seq_tup_read >= $1 AND n_live_tup >= $1";

/// The kinds of requests, each with the rows of the report.
const KINDS: [(&str, &str); 5] = [
    ("G1-sign-up", "blocks per sign-up, 2 M rows (or `SIZE`) in every large table ÷ 10 k"),
    ("G1-activate", "the same per activation"),
    ("G1-log-in", "the same per log-in"),
    ("G1-refusal", "the same per log-in with a wrong password"),
    ("G1-receipt", "the same per receipt"),
];

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let small = costs(context, context.full_or_quick(10_000, 1_000)).await?;
    let large = costs(context, size(context)?).await?;
    let rows = KINDS.iter().zip(small.iter().zip(&large));
    Ok(rows.map(|((id, label), (small, large))| Row::ratio(id, label, &[(*large, *small)], "blocks", GOAL)).collect())
}

const GOAL: Goal = Goal::AtMost(1.25, 1.25);

/// The large size: that of the variable `SIZE`, or the default.
fn size(context: &BenchContext) -> Result<u64> {
    let Ok(size) = std::env::var("SIZE") else { return Ok(context.full_or_quick(2_000_000, 10_000)) };
    match size.strip_suffix('M').unwrap_or(&size).parse::<u64>() {
        Ok(millions) => Ok(millions * 1_000_000),
        Err(_) => bail!("SIZE={size}: write millions of sign-ups, like 10M"),
    }
}

/// The blocks of each kind of request, with this many sign-ups in the tables.
async fn costs(context: &BenchContext, sign_ups: u64) -> Result<Vec<f64>> {
    print(&format!("  {sign_ups} sign-ups"));
    // Cleanup would delete the limits of the history meanwhile.
    let no_cleanup = ("HOUSEKEEPING_SECONDS", "3600");
    let no_rescuer = ("RESCUE_AFTER_SECONDS", "86400");
    let settings = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), LONG_HASH_QUEUE, no_cleanup, no_rescuer];
    let mut pipeline = Pipeline::start(context, "cost", context.cores, &settings).await?;
    history::fill(&pipeline.deployment.database, sign_ups).await?;
    let first = context.allocate_users(2 * REQUESTS);
    let stored = raw_hashes::stored_hash()?;
    let database = &mut pipeline.deployment.database;
    let pending = prefill::register(database, first, REQUESTS, &stored, true).await?;
    let meter = StatementMeter::open(&pipeline.deployment.database_url).await?;
    // What building the indexes has read would be reported later.
    pipeline.deployment.database.batch_execute("SELECT pg_stat_force_next_flush()").await?;
    meter.client.batch_execute("SELECT pg_stat_reset()").await?;
    let new = |n: u64| users::register(first + REQUESTS + n);
    let old = |n: u64| &pending[usize::try_from(n).unwrap_or(0)];
    let log_in = |n, password| users::log_in_from_own_network(old(n).user, password);
    let receipt = |registration: &Registration| users::get(&format!("/v1/registrations/{}", registration.id()));
    let costs = vec![
        measure(&pipeline, &meter, KINDS[0].0, 202, new).await?,
        measure(&pipeline, &meter, KINDS[1].0, 200, |n| users::activate(old(n).user, &old(n).digits)).await?,
        measure(&pipeline, &meter, KINDS[2].0, 200, |n| log_in(n, users::PASSWORD)).await?,
        measure(&pipeline, &meter, KINDS[3].0, 401, |n| log_in(n, "wrong horse battery")).await?,
        measure(&pipeline, &meter, KINDS[4].0, 200, |n| receipt(old(n))).await?,
    ];
    let scanned = meter.client.query(SCANNED, &[&i64::try_from(sign_ups / 2)?]).await?;
    let scanned: Vec<(String, i64)> = scanned.iter().map(|row| (row.get(0), row.get(1))).collect();
    ensure!(scanned.is_empty(), "whole tables were read: {scanned:?}");
    pipeline.stop().await?;
    Ok(costs)
}

/// Sends the requests one after the other, waits until all mails are delivered, and returns the blocks per request.
async fn measure(
    pipeline: &Pipeline,
    meter: &StatementMeter,
    kind: &str,
    status: u16,
    request: impl Fn(u64) -> Request<String>,
) -> Result<f64> {
    pipeline.wait_until_idle().await?;
    meter.reset().await?;
    for n in 0..REQUESTS {
        let response = pipeline.client.send(request(n)).await;
        ensure!(response.status == status, "{kind}: status {} instead of {status}", response.status);
    }
    pipeline.deployment.wait_until_idle().await?;
    let work = meter.work().await?;
    let [blocks, rows, calls] = [work.blocks, work.rows, work.calls].map(|all| all / REQUESTS as f64);
    print(&format!("    {kind}: {blocks:.0} blocks, {rows:.0} rows, {calls:.0} statements"));
    meter.print_top(By::Blocks, REQUESTS as f64).await?;
    Ok(blocks)
}
