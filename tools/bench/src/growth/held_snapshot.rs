//! G2-peak: journeys per second, with next to no hash, while a snapshot is held for five minutes, as a dump or a long
//! query on a replica holds one. Nothing that is deleted meanwhile can be vacuumed.

use anyhow::Result;

use crate::{
    environment::{
        context::BenchContext,
        database,
        pipeline::{LONG_HASH_QUEUE, Pipeline},
    },
    load::journeys,
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// Enough to keep the cores busy while others wait for their mail.
const CLIENTS: usize = 48;

/// Length of the intervals whose rates are printed.
const INTERVAL: f64 = 30.0;

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let settings = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), LONG_HASH_QUEUE];
    let pipeline = Pipeline::start(context, "snapshot", context.cores, &settings).await?;
    let (seconds, interval) = context.full_or_quick((300.0, INTERVAL), (4.0, 1.0));
    let measure = async |seconds: f64| -> Result<Vec<f64>> {
        let rates = journeys::run(context, &pipeline, CLIENTS, seconds).await?.rates(seconds, interval);
        print(&format!("  journeys/s by {interval:.0} s: {rates:.0?}"));
        Ok(rates)
    };
    measure(interval).await?;
    print("  without a snapshot");
    let without = measure(2.0 * interval).await?;
    print("  with a snapshot");
    let snapshot = database::hold_snapshot(&pipeline.deployment.database_url).await?;
    let with = measure(seconds).await?;
    drop(snapshot);
    pipeline.stop().await?;

    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let (first, last) = (mean(&with[..2]), mean(&with[with.len() - 2..]));
    let over_time = "journeys in the last minute ÷ in the first, a snapshot held for five";
    let without_snapshot = "the same ÷ in a minute without a snapshot";
    Ok(vec![
        Row::ratio("G2-peak", over_time, &[(last, first)], "/s", Goal::AtLeast(0.8, 0.8)),
        Row::ratio("G2-peak-end", without_snapshot, &[(last, mean(&without))], "/s", Goal::AtLeast(0.7, 0.7)),
    ])
}
