//! Journeys: a user signs up, waits for the mail, and activates the account with the code in it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use crate::{
    clock::now,
    environment::{context::BenchContext, fake_smtp::FakeSmtpServer, pipeline::Pipeline},
    load::{
        client::{HttpClient, Response},
        users,
    },
};

/// A mail that takes longer is missing.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a user of a closed loop needs to enter the code. Less than any person needs, but enough for the worker to
/// record that the mail was sent: before that, a code is not valid.
const TYPING: Duration = Duration::from_millis(100);

/// The same in an open loop, where it costs no throughput.
const UNHURRIED_TYPING: Duration = Duration::from_secs(1);

/// More users than any run needs.
const USER_BLOCK: u64 = 1_000_000;

/// The ends of all complete journeys of a closed loop, in seconds since its start, and the number of others.
#[derive(Default)]
pub(crate) struct Journeys {
    pub(crate) ends: Vec<f64>,
    pub(crate) failed: u64,
    last_error: Option<anyhow::Error>,
}

impl Journeys {
    /// Journeys per second in each interval of `length` seconds.
    pub(crate) fn rates(&self, seconds: f64, length: f64) -> Vec<f64> {
        let intervals = (seconds / length).floor() as usize;
        let ended_in = |interval: usize| self.ends.iter().filter(move |end| (**end / length) as usize == interval);
        (0..intervals).map(|interval| ended_in(interval).count() as f64 / length).collect()
    }
}

/// Runs journeys with as many users at a time as `clients`, for `seconds`.
pub(crate) async fn run(context: &BenchContext, pipeline: &Pipeline, clients: usize, seconds: f64) -> Result<Journeys> {
    let next_user = Arc::new(AtomicU64::new(context.allocate_users(USER_BLOCK)));
    let (started, journeys) = (now(), Arc::<Mutex<Journeys>>::default());
    let deadline = started + Duration::from_secs_f64(seconds);
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (client, mail_server) = (Arc::clone(&pipeline.client), Arc::clone(&pipeline.mail_server));
        let (next_user, journeys) = (Arc::clone(&next_user), Arc::clone(&journeys));
        running.spawn(async move {
            while now() < deadline {
                let user = next_user.fetch_add(1, Ordering::Relaxed);
                let end = journey(&client, &mail_server, user, TYPING).await;
                let mut journeys = journeys.lock().unwrap_or_else(PoisonError::into_inner);
                match end {
                    Ok(journey) => journeys.ends.push((journey.end - started).as_secs_f64()),
                    Err(error) => {
                        journeys.failed += 1;
                        journeys.last_error = Some(error);
                    }
                }
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended?;
    }
    let journeys = std::mem::take(&mut *journeys.lock().unwrap_or_else(PoisonError::into_inner));
    match journeys.last_error {
        Some(error) if journeys.failed * 100 > journeys.ends.len() as u64 => {
            Err(error.context(format!("{} of {} journeys failed", journeys.failed, journeys.ends.len())))
        }
        _ => Ok(journeys),
    }
}

/// The journeys of an open loop.
#[derive(Default)]
pub(crate) struct SteadyJourneys {
    /// Of each complete journey: the milliseconds from the 202 to the 250 of the mail server.
    pub(crate) mail_delays_ms: Vec<f64>,
    /// Journeys that ended with a 503.
    pub(crate) unavailable: u64,
}

/// Starts `rate` journeys per second for `seconds`, independent of the earlier ones. Fails if one ends with anything but a
/// 503.
pub(crate) async fn run_steadily(
    context: &BenchContext,
    pipeline: &Pipeline,
    rate: f64,
    seconds: f64,
) -> Result<SteadyJourneys> {
    let count = (rate * seconds).ceil() as u64;
    let (first, started) = (context.allocate_users(count), now());
    let mut running = JoinSet::new();
    for n in 0..count {
        tokio::time::sleep_until((started + Duration::from_secs_f64(n as f64 / rate)).into()).await;
        let (client, mail_server) = (Arc::clone(&pipeline.client), Arc::clone(&pipeline.mail_server));
        running.spawn(async move { journey(&client, &mail_server, first + n, UNHURRIED_TYPING).await });
    }
    let mut journeys = SteadyJourneys::default();
    while let Some(ended) = running.join_next().await {
        match ended? {
            Ok(journey) => journeys.mail_delays_ms.push(journey.mail_delay.as_secs_f64() * 1000.0),
            Err(error) if error.is::<Unavailable>() => journeys.unavailable += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(journeys)
}

/// A complete journey.
struct Journey {
    /// From the 202 to the 250 of the mail server; 0 if the mail was delivered before the client had read the response.
    mail_delay: Duration,
    end: Instant,
}

/// A request was answered with 503.
#[derive(Debug)]
struct Unavailable;

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("status 503")
    }
}

impl std::error::Error for Unavailable {}

async fn journey(client: &HttpClient, mail_server: &FakeSmtpServer, user: u64, typing: Duration) -> Result<Journey> {
    let code = mail_server.expect_code(user);
    let registered = client.send(users::register(user)).await;
    expect_status("registration", &registered, 202)?;
    let code = tokio::time::timeout(MAIL_TIMEOUT, code).await.context("no mail was received")??;
    tokio::time::sleep(typing).await;
    let activated = client.send(users::activate(user, &code.digits)).await;
    expect_status("activation", &activated, 200)?;
    Ok(Journey { mail_delay: code.at.saturating_duration_since(registered.at), end: activated.at })
}

fn expect_status(request: &str, response: &Response, status: u16) -> Result<()> {
    ensure!(response.status != 503, Unavailable);
    ensure!(response.status == status, "{request}: {}", response.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_whole_intervals() {
        let journeys = Journeys { ends: vec![0.0, 0.5, 1.9, 2.0, 3.9, 4.0], failed: 0, last_error: None };
        assert_eq!(journeys.rates(5.0, 2.0), [1.5, 1.0]);
    }
}
