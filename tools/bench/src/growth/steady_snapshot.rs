//! G2: 50 journeys per second (a sign-up, its mail and its activation), with next to no hash, while a snapshot is held for
//! ten minutes. A load that the service carries easily, so that only the dead rows make a difference.

use anyhow::Result;

use crate::{
    environment::{
        context::BenchContext,
        database,
        pipeline::Pipeline,
        statements::{LeaseRounds, StatementMeter},
    },
    load::journeys,
    report::{
        progress::print,
        statistics::percentile,
        table::{Goal, Row, Unit},
    },
};

/// Length of the intervals whose figures are printed.
const INTERVAL: f64 = 60.0;

/// Intervals without a snapshot, and the last ones with one: their figures are compared.
const COMPARED: usize = 2;

/// The figures of one interval.
struct Interval {
    mail_delays_ms: Vec<f64>,
    unavailable: u64,
    lease_rounds: LeaseRounds,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let settings = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];
    let pipeline = Pipeline::start(context, "steady", context.cores, &settings).await?;
    let meter = StatementMeter::open(&pipeline.deployment.database_url).await?;
    let (rate, seconds, count) = context.full_or_quick((50.0, INTERVAL, 10), (20.0, 1.0, 2));
    let measure = async |count: usize| -> Result<Vec<Interval>> {
        let mut intervals = Vec::new();
        for n in 1..=count {
            let interval = measure(context, &pipeline, &meter, rate, seconds).await?;
            let Interval { mail_delays_ms, unavailable, lease_rounds } = &interval;
            let [median, p99] = [50.0, 99.0].map(|percent| percentile(mail_delays_ms, percent));
            print(&format!(
                "    interval {n}: {} journeys, 202 to 250 median {median:.1} ms, p99 {p99:.1} ms, {unavailable} × 503, lease round {:.2} ms",
                mail_delays_ms.len(),
                lease_rounds.mean_ms
            ));
            print(&format!("      longest statement {:.1} ms: {}", lease_rounds.longest_ms, lease_rounds.longest));
            intervals.push(interval);
        }
        Ok(intervals)
    };
    measure(1).await?;
    print("  without a snapshot");
    let without = measure(COMPARED).await?;
    print("  with a snapshot");
    let snapshot = database::hold_snapshot(&pipeline.deployment.database_url).await?;
    let with = measure(count).await?;
    drop(snapshot);
    pipeline.stop().await?;

    let p99 = |intervals: &[Interval]| {
        let delays: Vec<_> = intervals.iter().flat_map(|interval| interval.mail_delays_ms.iter().copied()).collect();
        percentile(&delays, 99.0)
    };
    let last = &with[with.len() - COMPARED..];
    let unavailable = with.iter().map(|interval| interval.unavailable as f64).sum();
    let means = last.iter().map(|interval| interval.lease_rounds.mean_ms).collect();
    let longest = last.iter().map(|interval| interval.lease_rounds.longest_ms).collect();
    let lease_goal = Goal::AtMost(20.0, 20.0);
    let delays = "p99 from 202 to 250 in the last 2 of 10 minutes with a snapshot ÷ without, 50 journeys/s";
    Ok(vec![
        Row::ratio("G2", delays, &[(p99(last), p99(&without))], "ms", Goal::AtMost(2.0, 2.0)),
        Row::plain(
            "G2-503",
            "503 responses in these 10 minutes",
            vec![unavailable],
            Unit::Count,
            Goal::AtMost(0.0, 0.0),
        ),
        Row::plain(
            "G2-lease",
            "mean Postgres time of a lease round in the last 2 minutes",
            means,
            Unit::Milliseconds,
            lease_goal,
        ),
        Row::plain("G2-longest", "longest statement of a lease round in them", longest, Unit::Milliseconds, lease_goal),
    ])
}

async fn measure(
    context: &BenchContext,
    pipeline: &Pipeline,
    meter: &StatementMeter,
    rate: f64,
    seconds: f64,
) -> Result<Interval> {
    meter.reset().await?;
    let journeys = journeys::run_steadily(context, pipeline, rate, seconds).await?;
    let lease_rounds = meter.lease_rounds().await?;
    Ok(Interval { mail_delays_ms: journeys.mail_delays_ms, unavailable: journeys.unavailable, lease_rounds })
}
