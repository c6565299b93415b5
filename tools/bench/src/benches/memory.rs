//! B16: growth of the memory of the API at ten times the peak load ÷ the memory that its hash threads need.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use super::delivery::open_loop;
use crate::{
    baseline::raw_hashes::HASH_MEMORY_KIB,
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

/// Offered load ÷ raw hash rate. A registration is never faster than its hash, so this is at least ten times the peak.
const OVERLOAD: f64 = 10.0;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The advisory lock of `shared::postgres::migrate`. An API that waits for it has not hashed anything yet; before it
/// becomes ready, it computes hashes to check its engine.
const MIGRATION_LOCK: i64 = 0x0076_6573_7469_6275;

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    // As many hash threads as by default: the driver needs cores, but hardly any memory.
    let needed = context.cores as f64 * HASH_MEMORY_KIB / 1024.0;
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let offered = context.engine.rate(context.cores, 1.0).await? * OVERLOAD;
        let [before, at_start, after] = measure(context, offered).await?;
        let growth = after.peak - before.now;
        print(&format!(
            "  B16 round {round}: {growth:.1} MiB growth at {offered:.0}/s, {:.1} MiB of it file-backed; after the start \
             {:.1} MiB, with a peak of {:.1} MiB",
            after.file_backed - before.file_backed,
            at_start.now - before.now,
            at_start.peak - before.now
        ));
        rounds.push((growth, needed));
    }
    let label = "growth of memory at 10× overload ÷ (hash threads × 19 MiB)";
    Ok(vec![Row::ratio("B16", label, &rounds, "MiB", Goal::AtMost(1.1, 1.4))])
}

/// Memory before the first hash, before the overload, and after it.
async fn measure(context: &BenchContext, offered: f64) -> Result<[Memory; 3]> {
    let deployment = Deployment::prepare(context, "memory").await?;
    database::count(&deployment.database, &format!("SELECT 1::bigint FROM pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let starting = deployment.spawn_api(context)?;
    wait_for_lock_waiter(&deployment.database).await?;
    let before = usage::memory(starting.process.id())?;
    deployment.database.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?;
    let api = starting.ready().await?;
    // The hashes of the self-check at the start must not count.
    let at_start = usage::memory(api.process.id())?;
    usage::reset_peak(api.process.id())?;
    let client = HttpClient::new(api.address, CONNECTIONS);
    let result = open_loop(context, offered, context.seconds()).run(&client, users::register).await?;
    let after = usage::memory(api.process.id())?;
    ensure!(result.rate(202) > 0.0 && result.rate(503) > result.rate(202), "the offered load did not overload the API");
    api.process.stop().await?;
    Ok([before, at_start, after])
}

/// Waits until the API waits for the migration lock.
async fn wait_for_lock_waiter(database: &Client) -> Result<()> {
    let deadline = now() + TIMEOUT;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_lock%'";
    while database::count(database, sql).await? == 0 {
        ensure!(now() < deadline, "the API did not request the migration lock within {TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
