//! B16: what an overload of ten times the peak adds to the API's memory ÷ the memory that its hash threads need.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use super::delivery::coming;
use crate::{
    baseline::raw_hashes::MEMORY_OF_A_HASH_KIB,
    clock::now,
    environment::{
        database,
        deployment::Scene,
        pipeline::CONNECTIONS,
        services::Ground,
        usage::{self, Memory},
    },
    load::{client::Door, users},
    report::{
        progress::say,
        table::{Goal, Row},
    },
};

/// No registration is faster than its hash, so ten times the raw rate is ten times the peak, or more.
const OVERLOAD: f64 = 10.0;

const PATIENCE: Duration = Duration::from_secs(60);

/// That of `shared::postgres::migrate`. An API that waits for it has not hashed anything yet; once it is up, it has,
/// to see whether its engine computes what it must.
const MIGRATION_LOCK: i64 = 0x0076_6573_7469_6275;

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    // As many as there are without a setting: memory is not something that the driver takes a share of.
    let needed = ground.cores as f64 * MEMORY_OF_A_HASH_KIB / 1024.0;
    let mut rounds = Vec::new();
    for round in 1..=ground.rounds() {
        let offered = ground.engine.rate(ground.cores, 1.0).await? * OVERLOAD;
        let [before, at_start, after] = measure(ground, offered).await?;
        let growth = after.most - before.now;
        say(&format!(
            "  B16 round {round}: {growth:.1} MiB more at {offered:.0}/s, {:.1} of them the program's file; at the start \
             {:.1}, and {:.1} for a moment",
            after.of_file - before.of_file,
            at_start.now - before.now,
            at_start.most - before.now
        ));
        rounds.push((growth, needed));
    }
    let what = "growth of memory at 10× overload ÷ (hash threads × 19 MiB)";
    Ok(vec![Row::ratio("B16", what, &rounds, "MiB", Goal::AtMost(1.1, 1.5))])
}

/// Before the first hash, before the overload, and after it.
async fn measure(ground: &Ground, offered: f64) -> Result<[Memory; 3]> {
    let scene = Scene::prepare(ground, "memory").await?;
    database::count(&scene.database, &format!("SELECT 1::bigint FROM pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let starting = scene.launch_api(ground)?;
    somebody_waits(&scene.database).await?;
    let before = usage::memory(starting.0.id())?;
    scene.database.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?;
    let api = starting.come_up().await?;
    // Its checks at the start are no overload.
    let at_start = usage::memory(api.process.id())?;
    usage::forget_the_most(api.process.id())?;
    let door = Door::new(api.address, CONNECTIONS);
    let crowd = coming(ground, offered, ground.seconds()).run(&door, users::register).await?;
    let after = usage::memory(api.process.id())?;
    ensure!(crowd.rate(202) > 0.0 && crowd.rate(503) > crowd.rate(202), "that is no overload");
    api.process.stop().await?;
    Ok([before, at_start, after])
}

async fn somebody_waits(database: &Client) -> Result<()> {
    let until = now() + PATIENCE;
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while database::count(database, sql).await? == 0 {
        ensure!(now() < until, "the API does not wait for its migrations");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
