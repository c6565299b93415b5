//! An open loop: people come at a constant rate, whatever becomes of those before them.
//!
//! How long somebody waited is counted from the moment when she was to come, not from the moment when the driver
//! got round to it, so a server that stands still is seen by everybody who would have come meanwhile.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use hyper::Request;
use tokio::task::JoinSet;

use crate::{
    clock::now,
    load::client::HttpClient,
    report::{progress::print, statistics::percentile},
};

/// Beyond this the driver is not what it says it is: the timer ticks once a millisecond.
const LATE_MS: f64 = 20.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) user: u64,
    pub(crate) due: Instant,
    pub(crate) answered: Instant,
    pub(crate) status: u16,
}

impl Sample {
    pub(crate) fn milliseconds(&self) -> f64 {
        self.answered.saturating_duration_since(self.due).as_secs_f64() * 1000.0
    }
}

pub(crate) struct OpenLoopResult {
    pub(crate) samples: Vec<Sample>,
    pub(crate) seconds: f64,
}

impl OpenLoopResult {
    /// How long those with this answer waited, in milliseconds.
    pub(crate) fn waits(&self, status: u16) -> Vec<f64> {
        self.samples.iter().filter(|one| one.status == status).map(Sample::milliseconds).collect()
    }

    pub(crate) fn rate(&self, status: u16) -> f64 {
        self.waits(status).len() as f64 / self.seconds
    }
}

/// Whoever comes is a number from `first` on; the rate is in people per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop {
    pub(crate) first: u64,
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
}

impl OpenLoop {
    pub(crate) fn count(self) -> u64 {
        (self.rate * self.seconds).ceil() as u64
    }

    pub(crate) async fn run(self, client: &Arc<HttpClient>, ask: fn(u64) -> Request<String>) -> Result<OpenLoopResult> {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (mut new_users, mut late, mut without_room) = (JoinSet::new(), Vec::new(), 0);
        let started = now();
        for turn in 0..self.count() {
            let due = started + Duration::from_secs_f64(turn as f64 / self.rate);
            if now() < due {
                tokio::time::sleep_until(due.into()).await;
            }
            late.push(now().saturating_duration_since(due).as_secs_f64() * 1000.0);
            without_room += usize::from(!client.has_free_connection());
            let (client, samples, user) = (Arc::clone(client), Arc::clone(&samples), self.first + turn);
            new_users.spawn(async move {
                let response = client.ask(ask(user)).await;
                let arrival = Sample { user, due, answered: response.at, status: response.status };
                samples.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
            });
        }
        while let Some(ended) = new_users.join_next().await {
            ended?;
        }
        self.admit(&late, without_room, client);
        let samples = std::mem::take(&mut *samples.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(OpenLoopResult { samples, seconds: self.seconds })
    }

    /// The driver says so when it was not up to its task: its figures are then worse than the service's.
    fn admit(self, late: &[f64], without_room: usize, client: &HttpClient) {
        let lateness = percentile(late, 99.0);
        if lateness > LATE_MS {
            print(&format!(
                "    the driver could not keep up: at {:.0}/s it was late by {lateness:.0} ms (p99)",
                self.rate
            ));
        }
        if without_room > 0 {
            let (all, most) = (late.len(), client.connections());
            print(&format!("    {without_room} of {all} had to wait for one of the driver's {most} connections"));
        }
    }
}
