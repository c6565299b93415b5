//! B8: how long it takes from the 202, as the client sees it, to the mail server's 250, at half the peak.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    environment::{fake_smtp::Mail, pipeline::Chain, services::Ground},
    load::{
        open_loop::{Coming, Crowd},
        users,
    },
    report::{
        progress::say,
        statistics::percentile,
        table::{Goal, Row, Unit},
    },
};

const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let chain = Chain::start(ground, "delivery", ground.some_cores(), &[]).await?;
    let peak = chain.peak(ground).await?.rate(202);
    chain.comes_to_rest().await?;
    let mut values = Vec::new();
    for round in 1..=ground.rounds() {
        let coming = coming(ground, peak / 2.0, ground.seconds() * 2.0);
        let crowd = coming.run(&chain.door, users::register).await?;
        chain.scene.comes_to_rest().await?;
        // What the worker has in hand is in no queue.
        chain.sink.has(crowd.waits(202).len(), PATIENCE).await?;
        let p99 = percentile(&delays(&crowd, &chain.sink.take())?, 99.0);
        say(&format!("  B8 round {round}: p99 {p99:.1} ms from 202 to 250, at {:.0}/s", coming.rate));
        values.push(p99);
    }
    chain.end().await?;
    let what = "p99 from 202 to the mail server's 250, at half the peak";
    Ok(vec![Row::plain("B8", what, values, Unit::Milliseconds, Goal::AtMost(150.0, 1000.0))])
}

pub(crate) fn coming(ground: &Ground, rate: f64, seconds: f64) -> Coming {
    let coming = Coming { first: 0, rate, seconds };
    Coming { first: ground.people(coming.count()), ..coming }
}

/// In milliseconds; a mail that came before the client had read her answer took no time.
pub(crate) fn delays(crowd: &Crowd, mails: &[Mail]) -> Result<Vec<f64>> {
    let taken: HashMap<u64, Instant> = mails.iter().filter_map(|mail| Some((users::who(&mail.to)?, mail.at))).collect();
    let accepted: Vec<_> = crowd.arrivals.iter().filter(|one| one.status == 202).collect();
    let delay = |one: &&crate::load::open_loop::Arrival| {
        Some(taken.get(&one.who)?.saturating_duration_since(one.answered).as_secs_f64() * 1000.0)
    };
    let delays: Vec<_> = accepted.iter().filter_map(delay).collect();
    ensure!(delays.len() == accepted.len(), "{} accepted, {} mailed", accepted.len(), delays.len());
    Ok(delays)
}
