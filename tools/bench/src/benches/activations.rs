//! B2: activations per second ÷ raw hashes per second on as many threads. Each request activates a registration that
//! was inserted into the database beforehand. The pipeline runs to its end: the welcome mail is delivered.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::{
    baseline::raw_hashes,
    environment::{
        context::BenchContext,
        pipeline::{LONG_HASH_QUEUE, Pipeline},
        prefill,
    },
    load::{closed_loop::ClosedLoop, users},
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let with_spare_core = "activations ÷ raw hashes, one core free for the servers";
    let all_cores = "the same, hashing on all cores";
    Ok(vec![
        measure(context, "B2", with_spare_core, context.all_but_one_core(), Goal::AtLeast(0.95, 0.85)).await?,
        measure(context, "B2-all", all_cores, context.cores, Goal::None).await?,
    ])
}

async fn measure(context: &BenchContext, id: &'static str, label: &str, threads: usize, goal: Goal) -> Result<Row> {
    let mut pipeline = Pipeline::start(context, id, threads, &[LONG_HASH_QUEUE]).await?;
    let stored = raw_hashes::stored_hash()?;
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let raw = context.engine.rate(threads, context.seconds()).await?;
        let vestibule = activate(context, &mut pipeline, &stored, raw).await?;
        pipeline.wait_until_idle().await?;
        print(&format!("  {id} round {round}: {vestibule:.1} activations/s, {raw:.1} hashes/s"));
        rounds.push((vestibule, raw));
    }
    pipeline.stop().await?;
    Ok(Row::ratio(id, label, &rounds, "/s", goal))
}

async fn activate(context: &BenchContext, pipeline: &mut Pipeline, stored: &str, raw: f64) -> Result<f64> {
    let (warm_up, seconds) = (context.warm_up(), context.seconds());
    // More than can be activated in this time, unless other load slowed down the raw measurement.
    let count = (raw * (warm_up + seconds) * 1.5) as u64 + 100;
    let new = prefill::register(&mut pipeline.deployment.database, context.allocate_users(count), count, stored, true)
        .await?;
    let remaining = Mutex::new(new.into_iter());
    let next = move || {
        let registration = remaining.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        Some(users::activate(registration.user, &registration.digits))
    };
    ClosedLoop { clients: pipeline.clients(), warm_up, seconds }.run(&pipeline.client, next).await?.rate_of_only(200)
}
