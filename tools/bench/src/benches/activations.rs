//! B2: activations per second ÷ raw hashes per second on as many threads. Each activates a registration that was
//! written into the database beforehand; the chain runs to its end, where the welcome is mailed.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::{
    baseline::raw_hashes,
    environment::{
        pipeline::{Chain, PATIENT},
        prefill,
        services::Ground,
    },
    load::{closed_loop::Loop, users},
    report::{
        progress::say,
        table::{Goal, Row},
    },
};

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let some = "activations ÷ raw hashes, a core left for the rest";
    let all = "the same, everything on the same cores";
    Ok(vec![
        measure(ground, ("B2", some), ground.some_cores(), Goal::AtLeast(0.92, 0.85)).await?,
        measure(ground, ("B2-all", all), ground.cores, Goal::None).await?,
    ])
}

async fn measure(ground: &Ground, (id, what): (&'static str, &str), threads: usize, goal: Goal) -> Result<Row> {
    let mut chain = Chain::start(ground, id, threads, &[PATIENT]).await?;
    let stored = raw_hashes::stored()?;
    let mut rounds = Vec::new();
    for round in 1..=ground.rounds() {
        let raw = ground.engine.rate(threads, ground.seconds()).await?;
        let ours = activate(ground, &mut chain, &stored, raw).await?;
        chain.comes_to_rest().await?;
        say(&format!("  {id} round {round}: {ours:.1} activations/s, {raw:.1} hashes/s"));
        rounds.push((ours, raw));
    }
    chain.end().await?;
    Ok(Row::ratio(id, what, &rounds, "/s", goal))
}

async fn activate(ground: &Ground, chain: &mut Chain, stored: &str, raw: f64) -> Result<f64> {
    let (warm_up, seconds) = (ground.warm_up(), ground.seconds());
    // More than can be activated in that time, unless the machine was busy with something else before.
    let count = (raw * (warm_up + seconds) * 1.5) as u64 + 100;
    let new = prefill::register(&mut chain.scene.database, ground.people(count), count, stored, true).await?;
    let left = Mutex::new(new.into_iter());
    let next = move || {
        let one = left.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        Some(users::activate(one.who, &one.digits))
    };
    Loop { clients: chain.clients(), warm_up, seconds }.run(&chain.door, next).await?.only(200)
}
