//! B1: registrations per second ÷ raw hashes per second on as many threads. The chain runs to its end: relay,
//! broker, worker, mail server.

use anyhow::Result;

use crate::{
    environment::{
        pipeline::{Chain, PATIENT},
        services::Ground,
    },
    report::{
        progress::say,
        table::{Goal, Row},
    },
};

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let some = "registrations ÷ raw hashes, a core left for the rest";
    let all = "the same, everything on the same cores";
    Ok(vec![
        measure(ground, ("B1", some), ground.some_cores(), Goal::AtLeast(0.93, 0.85)).await?,
        measure(ground, ("B1-all", all), ground.cores, Goal::None).await?,
    ])
}

async fn measure(ground: &Ground, (id, what): (&'static str, &str), threads: usize, goal: Goal) -> Result<Row> {
    let chain = Chain::start(ground, id, threads, &[PATIENT]).await?;
    let mut rounds = Vec::new();
    for round in 1..=ground.rounds() {
        let raw = ground.engine.rate(threads, ground.seconds()).await?;
        let ours = chain.peak(ground).await?.only(202)?;
        chain.comes_to_rest().await?;
        say(&format!("  {id} round {round}: {ours:.1} registrations/s, {raw:.1} hashes/s"));
        rounds.push((ours, raw));
    }
    chain.end().await?;
    Ok(Row::ratio(id, what, &rounds, "/s", goal))
}
