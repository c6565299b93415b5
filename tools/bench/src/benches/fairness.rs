//! B18: latency of sign-ups while another network sends as many logins as it can. Each login has the correct password
//! of a pending registration, so that no limit on wrong passwords applies to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use super::delivery::open_loop;
use crate::{
    baseline::raw_hashes,
    clock::now,
    environment::{context::BenchContext, pipeline::Pipeline, prefill},
    load::{
        client::{HttpClient, TIMEOUT},
        open_loop::{OpenLoop, Sample},
        users,
    },
    report::{
        progress::print,
        statistics::percentile,
        table::{Goal, Row},
    },
};

/// Connections of the flooding network.
const FLOOD_CONNECTIONS: usize = 40;

/// Email addresses of the flood: enough that two logins of one are rarely concurrent, which would lock it out.
const FLOOD_USERS: u64 = 1_000;

/// How long a connection of the flood waits after a rejection. Without it, the flood would occupy the cores, which the
/// driver shares with the service, with rejections; their cost is what B14 measures.
const PAUSE: Duration = Duration::from_millis(50);

/// The load of the other networks, in multiples of the peak.
const QUIET_LOAD: f64 = 0.25;

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    // Without the limit per network, which would end the flood after a second.
    let unlimited = [("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", "0")];
    let mut pipeline = Pipeline::start(context, "fairness", context.all_but_one_core(), &unlimited).await?;
    let first_user = context.allocate_users(FLOOD_USERS);
    let stored = raw_hashes::stored_hash()?;
    prefill::register(&mut pipeline.deployment.database, first_user, FLOOD_USERS, &stored, true).await?;
    let flood_client = HttpClient::new(pipeline.api.address, FLOOD_CONNECTIONS);
    let peak = pipeline.peak(context).await?.rate(202);
    pipeline.wait_until_idle().await?;

    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let seconds = context.seconds() * 3.0;
        let alone = p99_ms(open_loop(context, QUIET_LOAD * peak, seconds), &pipeline).await?;
        pipeline.wait_until_idle().await?;

        let until = now() + Duration::from_secs_f64(context.warm_up() + seconds);
        let flood = flood(&flood_client, first_user, until);
        let sign_ups = async {
            tokio::time::sleep(Duration::from_secs_f64(context.warm_up())).await;
            p99_ms(open_loop(context, QUIET_LOAD * peak, seconds), &pipeline).await
        };
        let (flooded, flood) = tokio::try_join!(sign_ups, flood)?;
        ensure!(flood.verified > 0, "no login of the flood was served: {} others", flood.others);
        print(&format!(
            "  B18 round {round}: p99 {flooded:.1} ms with the flood ({} logins verified, {} rejected), {alone:.1} ms without",
            flood.verified, flood.others
        ));
        rounds.push((flooded, alone));
        pipeline.wait_until_idle().await?;
    }
    pipeline.stop().await?;
    let label = "p99 of sign-ups while another network floods ÷ without the flood";
    Ok(vec![Row::ratio("B18", label, &rounds, "ms", Goal::AtMost(2.0, 4.0))])
}

/// The responses to a flood.
#[derive(Default)]
struct FloodCounts {
    /// Logins whose password was verified.
    verified: u64,
    others: u64,
}

/// Logs in over all connections until this time.
async fn flood(client: &Arc<HttpClient>, first_user: u64, until: Instant) -> Result<FloodCounts> {
    let next_user = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..FLOOD_CONNECTIONS {
        let (client, next_user) = (Arc::clone(client), Arc::clone(&next_user));
        connections.spawn(async move {
            let mut counts = FloodCounts::default();
            while now() < until {
                let user = first_user + next_user.fetch_add(1, Ordering::Relaxed) % FLOOD_USERS;
                if client.send(users::log_in(user)).await.status == 403 {
                    counts.verified += 1;
                } else {
                    counts.others += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            counts
        });
    }
    let mut all = FloodCounts::default();
    while let Some(counts) = connections.join_next().await {
        let FloodCounts { verified, others } = counts?;
        all.verified += verified;
        all.others += others;
    }
    Ok(all)
}

/// The p99 of registrations, each from a network of its own. One that is not accepted counts as the timeout.
async fn p99_ms(load: OpenLoop, pipeline: &Pipeline) -> Result<f64> {
    let result = load.run(&pipeline.client, users::register).await?;
    let rejected = result.samples.iter().filter(|sample| sample.status != 202).count();
    if rejected > 0 {
        print(&format!("    {rejected} of {} sign-ups were not accepted", result.samples.len()));
    }
    let latency =
        |sample: &Sample| if sample.status == 202 { sample.latency_ms() } else { TIMEOUT.as_secs_f64() * 1000.0 };
    Ok(percentile(&result.samples.iter().map(latency).collect::<Vec<_>>(), 99.0))
}
