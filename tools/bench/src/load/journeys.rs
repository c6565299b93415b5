//! Journeys: a user signs up, waits for the mail, and activates the account with the code in it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::{
    clock::now,
    environment::{context::BenchContext, fake_smtp::FakeSmtpServer, pipeline::Pipeline},
    load::{client::HttpClient, users},
};

/// A mail that takes longer is missing.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a user needs to enter the code. Less than any person needs, but enough for the worker to record that the
/// mail was sent: before that, a code is not valid.
const TYPING: Duration = Duration::from_millis(100);

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
                let end = journey(&client, &mail_server, user).await;
                let mut journeys = journeys.lock().unwrap_or_else(PoisonError::into_inner);
                match end {
                    Ok(end) => journeys.ends.push((end - started).as_secs_f64()),
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

async fn journey(client: &HttpClient, mail_server: &FakeSmtpServer, user: u64) -> Result<Instant> {
    let code = mail_server.expect_code(user);
    let registered = client.send(users::register(user)).await;
    ensure!(registered.status == 202, "registration: {}", registered.status);
    let code = tokio::time::timeout(MAIL_TIMEOUT, code).await??;
    tokio::time::sleep(TYPING).await;
    let activated = client.send(users::activate(user, &code)).await;
    ensure!(activated.status == 200, "activation: {}", activated.status);
    Ok(activated.at)
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
