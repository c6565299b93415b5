//! B2: activations per second ÷ raw hashes per second on as many threads. Each activates a registration that was
//! written into the database beforehand; the chain runs to its end, where the welcome is mailed.

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
    let some = "activations ÷ raw hashes, a core left for the rest";
    let all = "the same, everything on the same cores";
    Ok(vec![
        measure(context, ("B2", some), context.all_but_one_core(), Goal::AtLeast(0.92, 0.85)).await?,
        measure(context, ("B2-all", all), context.cores, Goal::None).await?,
    ])
}

async fn measure(context: &BenchContext, (id, label): (&'static str, &str), threads: usize, goal: Goal) -> Result<Row> {
    let mut pipeline = Pipeline::start(context, id, threads, &[LONG_HASH_QUEUE]).await?;
    let stored = raw_hashes::stored()?;
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
    // More than can be activated in that time, unless the machine was busy with something else before.
    let count = (raw * (warm_up + seconds) * 1.5) as u64 + 100;
    let new = prefill::register(&mut pipeline.deployment.database, context.allocate_users(count), count, stored, true)
        .await?;
    let left = Mutex::new(new.into_iter());
    let next = move || {
        let one = left.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        Some(users::activate(one.user, &one.digits))
    };
    ClosedLoop { clients: pipeline.clients(), warm_up, seconds }.run(&pipeline.client, next).await?.rate_of_only(200)
}
