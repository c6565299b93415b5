//! B1: registrations per second ÷ raw hashes per second on as many threads. The pipeline runs to its end: relay,
//! broker, worker, mail server.

use anyhow::Result;

use crate::{
    environment::{
        context::BenchContext,
        pipeline::{LONG_HASH_QUEUE, Pipeline},
    },
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let with_spare_core = "registrations ÷ raw hashes, one core free for the servers";
    let all_cores = "the same, hashing on all cores";
    Ok(vec![
        measure(context, "B1", with_spare_core, context.all_but_one_core(), Goal::AtLeast(0.96, 0.9)).await?,
        measure(context, "B1-all", all_cores, context.cores, Goal::None).await?,
    ])
}

async fn measure(context: &BenchContext, id: &'static str, label: &str, threads: usize, goal: Goal) -> Result<Row> {
    let pipeline = Pipeline::start(context, id, threads, &[LONG_HASH_QUEUE]).await?;
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let raw = context.engine.rate(threads, context.seconds()).await?;
        let vestibule = pipeline.peak(context).await?.rate_of_only(202)?;
        pipeline.wait_until_idle().await?;
        print(&format!("  {id} round {round}: {vestibule:.1} registrations/s, {raw:.1} hashes/s"));
        rounds.push((vestibule, raw));
    }
    pipeline.stop().await?;
    Ok(Row::ratio(id, label, &rounds, "/s", goal))
}
