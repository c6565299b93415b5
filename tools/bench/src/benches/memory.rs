//! B16: what an overload of ten times the peak adds to the API's memory ÷ the memory that its hash threads need.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use super::delivery::open_loop;
use crate::{
    baseline::raw_hashes::MEMORY_OF_A_HASH_KIB,
    clock::now,
    environment::{
        context::BenchContext,
        database,
        deployment::Deployment,
        pipeline::CONNECTIONS,
        usage::{self, Memory},
    },
    load::{client::HttpClient, users},
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// No registration is faster than its hash, so ten times the raw rate is ten times the peak, or more.
const OVERLOAD: f64 = 10.0;

const TIMEOUT: Duration = Duration::from_secs(60);

/// That of `shared::postgres::migrate`. An API that waits for it has not hashed anything yet; once it is up, it has,
/// to see whether its engine computes what it must.
const MIGRATION_LOCK: i64 = 0x0076_6573_7469_6275;

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    // As many as there are without a setting: memory is not something that the driver takes a share of.
    let needed = context.cores as f64 * MEMORY_OF_A_HASH_KIB / 1024.0;
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let offered = context.engine.rate(context.cores, 1.0).await? * OVERLOAD;
        let [before, at_start, after] = measure(context, offered).await?;
        let growth = after.peak - before.now;
        print(&format!(
            "  B16 round {round}: {growth:.1} MiB more at {offered:.0}/s, {:.1} of them the program's file; at the start \
             {:.1}, and {:.1} for a moment",
            after.file_backed - before.file_backed,
            at_start.now - before.now,
            at_start.peak - before.now
        ));
        rounds.push((growth, needed));
    }
    let label = "growth of memory at 10× overload ÷ (hash threads × 19 MiB)";
    Ok(vec![Row::ratio("B16", label, &rounds, "MiB", Goal::AtMost(1.1, 1.5))])
}

/// Before the first hash, before the overload, and after it.
async fn measure(context: &BenchContext, offered: f64) -> Result<[Memory; 3]> {
    let deployment = Deployment::prepare(context, "memory").await?;
    database::count(&deployment.database, &format!("SELECT 1::bigint FROM pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let starting = deployment.spawn_api(context)?;
    wait_for_lock_waiter(&deployment.database).await?;
    let before = usage::memory(starting.0.id())?;
    deployment.database.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?;
    let api = starting.ready().await?;
    // Its checks at the start are no overload.
    let at_start = usage::memory(api.process.id())?;
    usage::reset_peak(api.process.id())?;
    let client = HttpClient::new(api.address, CONNECTIONS);
    let result = open_loop(context, offered, context.seconds()).run(&client, users::register).await?;
    let after = usage::memory(api.process.id())?;
    ensure!(result.rate(202) > 0.0 && result.rate(503) > result.rate(202), "that is no overload");
    api.process.stop().await?;
    Ok([before, at_start, after])
}

async fn wait_for_lock_waiter(database: &Client) -> Result<()> {
    let deadline = now() + TIMEOUT;
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while database::count(database, sql).await? == 0 {
        ensure!(now() < deadline, "the API does not wait for its migrations");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
