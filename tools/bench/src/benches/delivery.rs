//! B8: time from the 202, as the client receives it, to the 250 of the mail server, at half the peak load.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    environment::{context::BenchContext, fake_smtp::Mail, pipeline::Pipeline},
    load::{
        open_loop::{OpenLoop, OpenLoopResult, Sample},
        users,
    },
    report::{
        progress::print,
        statistics::percentile,
        table::{Goal, Row, Unit},
    },
};

const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let pipeline = Pipeline::start(context, "delivery", context.all_but_one_core(), &[]).await?;
    let peak = pipeline.peak(context).await?.rate(202);
    pipeline.wait_until_idle().await?;
    let mut values = Vec::new();
    for round in 1..=context.rounds() {
        let open_loop = open_loop(context, peak / 2.0, context.seconds() * 2.0);
        let result = open_loop.run(&pipeline.client, users::register).await?;
        pipeline.deployment.wait_until_idle().await?;
        // Mails that the worker is delivering are in no queue.
        pipeline.mail_server.wait_for(result.latencies_ms(202).len(), TIMEOUT).await?;
        let p99 = percentile(&delays(&result, &pipeline.mail_server.take())?, 99.0);
        print(&format!("  B8 round {round}: p99 {p99:.1} ms from 202 to 250, at {:.0}/s", open_loop.rate));
        values.push(p99);
    }
    pipeline.stop().await?;
    let label = "p99 from the 202 to the 250 of the mail server, at half the peak";
    Ok(vec![Row::plain("B8", label, values, Unit::Milliseconds, Goal::AtMost(25.0, 100.0))])
}

/// An open loop of new users.
pub(crate) fn open_loop(context: &BenchContext, rate: f64, seconds: f64) -> OpenLoop {
    let open_loop = OpenLoop { first: 0, rate, seconds };
    OpenLoop { first: context.allocate_users(open_loop.count()), ..open_loop }
}

/// Time from each 202 to its mail in milliseconds; 0 if the mail was delivered before the client had read the response.
/// Fails if a mail is missing.
pub(crate) fn delays(result: &OpenLoopResult, mails: &[Mail]) -> Result<Vec<f64>> {
    let mailed_at: HashMap<u64, Instant> =
        mails.iter().filter_map(|mail| Some((users::from_email(&mail.to)?, mail.at))).collect();
    let accepted: Vec<_> = result.samples.iter().filter(|sample| sample.status == 202).collect();
    let delay = |sample: &&Sample| {
        Some(mailed_at.get(&sample.user)?.saturating_duration_since(sample.answered).as_secs_f64() * 1000.0)
    };
    let delays: Vec<_> = accepted.iter().filter_map(delay).collect();
    ensure!(delays.len() == accepted.len(), "{} accepted, {} mailed", accepted.len(), delays.len());
    Ok(delays)
}
