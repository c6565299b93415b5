//! B9, B10, S-19: behaviour under overload: goodput, latency of accepted and rejected requests and of health checks,
//! and the time to recover. The same rounds give the points of the plot.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{BenchResults, delivery::open_loop};
use crate::{
    environment::{
        context::BenchContext,
        pipeline::{CONNECTIONS, Pipeline},
    },
    load::{
        client::{HttpClient, TIMEOUT},
        open_loop::{OpenLoop, OpenLoopResult, Sample},
        users,
    },
    report::{
        plot::Point,
        progress::print,
        statistics::{median, percentile},
        table::{Goal, Row, Unit},
    },
};

/// Offered loads in multiples of the peak. The last one is followed by half the peak, to measure the recovery.
const LOADS: [f64; 7] = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0];
/// Indices of [`LOADS`].
const TWICE: usize = 4;
const FIVE_TIMES: usize = 6;

/// The recovery is judged in windows of this length.
const RECOVERY_WINDOW: Duration = Duration::from_millis(250);

/// A burst of a thousand registrations: rate per second and seconds. The driver cannot send them faster.
const BURST: (f64, f64) = (5_000.0, 0.2);

/// Health checks during the burst and for as long as its requests may wait: rate per second and seconds.
const HEALTH_CHECKS: (f64, f64) = (400.0, 0.5);

struct Round {
    /// Registrations per second.
    peak: f64,
    /// By the index of [`LOADS`].
    at: Vec<LoadResult>,
    rejection_p99_ms: f64,
    recovery_seconds: f64,
    health_p99_ms: f64,
}

struct LoadResult {
    /// Accepted registrations per second.
    goodput: f64,
    accepted_p99_ms: f64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<BenchResults> {
    let pipeline = Pipeline::start(context, "overload", context.all_but_one_core(), &[]).await?;
    let mut rounds = Vec::new();
    for number in 1..=context.rounds() {
        let round = measure(context, &pipeline).await?;
        let share = |load: usize| round.at[load].goodput / round.peak;
        print(&format!(
            "  B9 round {number}: peak {:.1}/s; {:.2} of it at 2×, {:.2} at 5×; p99 {:.0} ms at 2×",
            round.peak,
            share(TWICE),
            share(FIVE_TIMES),
            round.at[TWICE].accepted_p99_ms
        ));
        rounds.push(round);
    }
    pipeline.stop().await?;
    Ok(BenchResults { rows: rows(&rounds), points: points(&rounds) })
}

async fn measure(context: &BenchContext, pipeline: &Pipeline) -> Result<Round> {
    let peak = pipeline.peak(context).await?.rate(202);
    pipeline.wait_until_idle().await?;
    let mut at = Vec::new();
    let (mut rejection_p99_ms, mut recovery_seconds, mut usual_ms) = (f64::NAN, f64::NAN, f64::NAN);
    for load in LOADS {
        let result = open_loop(context, load * peak, context.seconds()).run(&pipeline.client, users::register).await?;
        if load == LOADS[0] {
            usual_ms = median(&result.latencies_ms(202));
        }
        if load == LOADS[FIVE_TIMES] {
            rejection_p99_ms = percentile(&result.latencies_ms(503), 99.0);
            let seconds = context.full_or_quick(4.0, 2.0);
            let after = open_loop(context, LOADS[0] * peak, seconds).run(&pipeline.client, users::register).await?;
            recovery_seconds = recovery_seconds_after(&result, &after, usual_ms);
        }
        let accepted_p99_ms = percentile(&result.latencies_ms(202), 99.0);
        at.push(LoadResult { goodput: result.rate(202), accepted_p99_ms });
        pipeline.wait_until_idle().await?;
    }
    let health_p99_ms = percentile(&health_latencies(context, pipeline).await?, 99.0);
    pipeline.wait_until_idle().await?;
    Ok(Round { peak, at, rejection_p99_ms, recovery_seconds, health_p99_ms })
}

/// Latencies of health checks during a burst. A failed one counts as the timeout.
async fn health_latencies(context: &BenchContext, pipeline: &Pipeline) -> Result<Vec<f64>> {
    let burst_client = HttpClient::new(pipeline.api.address, 1_000);
    let health_client = HttpClient::new(pipeline.api.address, CONNECTIONS);
    let burst = open_loop(context, BURST.0, BURST.1);
    let checks = OpenLoop { first: 0, rate: HEALTH_CHECKS.0, seconds: HEALTH_CHECKS.1 };
    let (burst, checks) = tokio::try_join!(
        burst.run(&burst_client, users::register),
        checks.run(&health_client, |_| users::get("/health"))
    )?;
    ensure!(burst.rate(503) > 0.0, "the burst of a thousand requests did not overload the API");
    let latency =
        |sample: &Sample| if sample.status == 200 { sample.latency_ms() } else { TIMEOUT.as_secs_f64() * 1000.0 };
    Ok(checks.samples.iter().map(latency).collect())
}

/// Seconds from the last request of the overload to the end of the last window in which a request was rejected or the
/// median latency was more than twice the usual one.
fn recovery_seconds_after(overload: &OpenLoopResult, after: &OpenLoopResult, usual_ms: f64) -> f64 {
    let due = |result: &OpenLoopResult| result.samples.iter().map(|sample| sample.due).collect::<Vec<_>>();
    let (Some(overload_end), Some(started)) = (due(overload).into_iter().max(), due(after).into_iter().min()) else {
        return f64::NAN;
    };
    let windows = (after.seconds / RECOVERY_WINDOW.as_secs_f64()).ceil() as u32;
    let is_bad = |window: &u32| {
        let (from, to) = (started + RECOVERY_WINDOW * *window, started + RECOVERY_WINDOW * (*window + 1));
        let samples: Vec<_> = after.samples.iter().filter(|sample| (from..to).contains(&sample.due)).collect();
        let latencies: Vec<_> = samples.iter().map(|sample| sample.latency_ms()).collect();
        samples.iter().any(|sample| sample.status != 202) || median(&latencies) > 2.0 * usual_ms
    };
    match (0..windows).rfind(is_bad) {
        Some(last) => (started + RECOVERY_WINDOW * (last + 1)).saturating_duration_since(overload_end).as_secs_f64(),
        None => 0.0,
    }
}

fn rows(rounds: &[Round]) -> Vec<Row> {
    let goodput = |load: usize| rounds.iter().map(|round| (round.at[load].goodput, round.peak)).collect::<Vec<_>>();
    let each = |value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    let (ms, seconds) = (Unit::Milliseconds, Unit::Seconds);
    let accepted = each(|round| round.at[TWICE].accepted_p99_ms);
    let rejected = each(|round| round.rejection_p99_ms);
    let recovery = each(|round| round.recovery_seconds);
    let health = each(|round| round.health_p99_ms);
    vec![
        Row::ratio("B9-2x", "goodput at twice the peak ÷ the peak", &goodput(TWICE), "/s", Goal::AtLeast(0.97, 0.9)),
        Row::ratio(
            "B9-5x",
            "goodput at five times the peak ÷ the peak",
            &goodput(FIVE_TIMES),
            "/s",
            Goal::AtLeast(0.95, 0.9),
        ),
        Row::plain("B10", "p99 of accepted requests at twice the peak", accepted, ms, Goal::AtMost(250.0, 1000.0)),
        Row::plain("B10-503", "p99 of rejections at five times the peak", rejected, ms, Goal::AtMost(5.0, 50.0)),
        Row::plain("B10-end", "recovery time after five times the peak", recovery, seconds, Goal::AtMost(5.0, 5.0)),
        Row::plain(
            "S-19",
            "p99 of `GET /health` during a burst of a thousand requests",
            health,
            ms,
            Goal::AtMost(50.0, 50.0),
        ),
    ]
}

fn points(rounds: &[Round]) -> Vec<Point> {
    let point = |(index, &load): (usize, &f64)| Point {
        load,
        goodput: median(&rounds.iter().map(|round| round.at[index].goodput / round.peak).collect::<Vec<_>>()),
        p99_ms: median(&rounds.iter().map(|round| round.at[index].accepted_p99_ms).collect::<Vec<_>>()),
    };
    LOADS.iter().enumerate().map(point).collect()
}
