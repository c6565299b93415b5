//! B9, B10, S-19: what is done when more is asked than can be done, how long those wait who are let in, how long those
//! who are not, how long who only asks how it is, and when it is over. The same rounds give the points of the plot.

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

/// Of the peak. The last one is followed by half the peak again, to see when all is well.
const LOADS: [f64; 7] = [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0];
const TWICE: usize = 4;
const FIVE_TIMES: usize = 6;

/// Looked at together when it is asked whether all is well.
const WINDOW: Duration = Duration::from_millis(250);

/// As good as at once: the driver needs its time, too.
const A_THOUSAND: (f64, f64) = (5_000.0, 0.2);

/// Asks for how it is, a second, while those come and for as long as they may wait.
const LOOKS: (f64, f64) = (400.0, 0.5);

struct Round {
    peak: f64,
    /// Goodput, and p99 of who was let in, at each load.
    at: Vec<(f64, f64)>,
    rejection_ms: f64,
    normal_after: f64,
    health_ms: f64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<BenchResults> {
    let pipeline = Pipeline::start(context, "overload", context.all_but_one_core(), &[]).await?;
    let mut rounds = Vec::new();
    for number in 1..=context.rounds() {
        let round = measure(context, &pipeline).await?;
        let share = |load: usize| round.at[load].0 / round.peak;
        print(&format!(
            "  B9 round {number}: peak {:.1}/s; {:.2} of it at 2×, {:.2} at 5×; p99 {:.0} ms at 2×",
            round.peak,
            share(TWICE),
            share(FIVE_TIMES),
            round.at[TWICE].1
        ));
        rounds.push(round);
    }
    pipeline.stop().await?;
    Ok(BenchResults { rows: rows(&rounds), points: points(&rounds) })
}

async fn measure(context: &BenchContext, pipeline: &Pipeline) -> Result<Round> {
    let peak = pipeline.peak(context).await?.rate(202);
    pipeline.wait_until_idle().await?;
    let (mut at, mut rejection_ms, mut normal_after, mut usual_ms) = (Vec::new(), f64::NAN, f64::NAN, f64::NAN);
    for load in LOADS {
        let result = open_loop(context, load * peak, context.seconds()).run(&pipeline.client, users::register).await?;
        if load == LOADS[0] {
            usual_ms = median(&result.latencies_ms(202));
        }
        if load == LOADS[FIVE_TIMES] {
            rejection_ms = percentile(&result.latencies_ms(503), 99.0);
            let seconds = context.full_or_quick(4.0, 2.0);
            let after = open_loop(context, LOADS[0] * peak, seconds).run(&pipeline.client, users::register).await?;
            normal_after = seconds_until_normal(&result, &after, usual_ms);
        }
        at.push((result.rate(202), percentile(&result.latencies_ms(202), 99.0)));
        pipeline.wait_until_idle().await?;
    }
    let health_ms = percentile(&health_latencies(context, pipeline).await?, 99.0);
    pipeline.wait_until_idle().await?;
    Ok(Round { peak, at, rejection_ms, normal_after, health_ms })
}

/// Asked again and again while a thousand come at once. An answer that is none, or a bad one, comes as late as can be.
async fn health_latencies(context: &BenchContext, pipeline: &Pipeline) -> Result<Vec<f64>> {
    let (crowd_client, client) =
        (HttpClient::new(pipeline.api.address, 1_000), HttpClient::new(pipeline.api.address, CONNECTIONS));
    let thousand = open_loop(context, A_THOUSAND.0, A_THOUSAND.1);
    let looks = OpenLoop { first: 0, rate: LOOKS.0, seconds: LOOKS.1 };
    let (thousand, looks) =
        tokio::try_join!(thousand.run(&crowd_client, users::register), looks.run(&client, |_| users::get("/health")))?;
    ensure!(thousand.rate(503) > 0.0, "a thousand at once are no crowd");
    let wait = |one: &Sample| if one.status == 200 { one.latency_ms() } else { TIMEOUT.as_secs_f64() * 1000.0 };
    Ok(looks.samples.iter().map(wait).collect())
}

/// The seconds from the last of the overload to the end of the last window in which somebody was refused, or half
/// of all waited for more than twice as long as they usually do.
fn seconds_until_normal(overload: &OpenLoopResult, after: &OpenLoopResult, usual_ms: f64) -> f64 {
    let due = |result: &OpenLoopResult| result.samples.iter().map(|one| one.due).collect::<Vec<_>>();
    let (Some(over), Some(started)) = (due(overload).into_iter().max(), due(after).into_iter().min()) else {
        return f64::NAN;
    };
    let windows = (after.seconds / WINDOW.as_secs_f64()).ceil() as u32;
    let is_bad = |window: &u32| {
        let (from, to) = (started + WINDOW * *window, started + WINDOW * (*window + 1));
        let there: Vec<_> = after.samples.iter().filter(|one| (from..to).contains(&one.due)).collect();
        let waits: Vec<_> = there.iter().map(|one| Sample::latency_ms(one)).collect();
        there.iter().any(|one| one.status != 202) || median(&waits) > 2.0 * usual_ms
    };
    match (0..windows).rfind(is_bad) {
        Some(last) => (started + WINDOW * (last + 1)).saturating_duration_since(over).as_secs_f64(),
        None => 0.0,
    }
}

fn rows(rounds: &[Round]) -> Vec<Row> {
    let goodput = |load: usize| rounds.iter().map(|round| (round.at[load].0, round.peak)).collect::<Vec<_>>();
    let each = |value: fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    let (ms, seconds) = (Unit::Milliseconds, Unit::Seconds);
    let let_in = each(|round| round.at[TWICE].1);
    let (refused, normal) = (each(|round| round.rejection_ms), each(|round| round.normal_after));
    let health = each(|round| round.health_ms);
    vec![
        Row::ratio("B9-2x", "goodput at twice the peak ÷ the peak", &goodput(TWICE), "/s", Goal::AtLeast(0.97, 0.9)),
        Row::ratio(
            "B9-5x",
            "goodput at five times the peak ÷ the peak",
            &goodput(FIVE_TIMES),
            "/s",
            Goal::AtLeast(0.93, 0.9),
        ),
        Row::plain("B10", "p99 of who is let in, at twice the peak", let_in, ms, Goal::AtMost(400.0, 1000.0)),
        Row::plain("B10-503", "p99 of a refusal, at five times the peak", refused, ms, Goal::AtMost(5.0, 50.0)),
        Row::plain("B10-end", "until all is normal after five times the peak", normal, seconds, Goal::AtMost(5.0, 5.0)),
        Row::plain("S-19", "p99 of `GET /health` while a thousand come at once", health, ms, Goal::AtMost(50.0, 50.0)),
    ]
}

fn points(rounds: &[Round]) -> Vec<Point> {
    let point = |(index, &load): (usize, &f64)| Point {
        load,
        goodput: median(&rounds.iter().map(|round| round.at[index].0 / round.peak).collect::<Vec<_>>()),
        p99_ms: median(&rounds.iter().map(|round| round.at[index].1).collect::<Vec<_>>()),
    };
    LOADS.iter().enumerate().map(point).collect()
}
