//! Open loop: requests are sent at a constant rate, independent of the responses to earlier ones.
//!
//! Latency is measured from the time when a request was due, not when the driver sent it, so that a stalled server
//! affects every request that was due meanwhile (no coordinated omission).

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

/// If the driver is later than this (p99), it prints a warning. The timer has a resolution of a millisecond.
const MAX_LATENESS_MS: f64 = 20.0;

/// One request and its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) user: u64,
    pub(crate) due: Instant,
    pub(crate) answered: Instant,
    pub(crate) status: u16,
}

impl Sample {
    /// Latency since the request was due.
    pub(crate) fn latency_ms(&self) -> f64 {
        self.answered.saturating_duration_since(self.due).as_secs_f64() * 1000.0
    }
}

/// All samples of an open loop.
pub(crate) struct OpenLoopResult {
    pub(crate) samples: Vec<Sample>,
    pub(crate) seconds: f64,
}

impl OpenLoopResult {
    /// Latencies of the responses with this status, in milliseconds.
    pub(crate) fn latencies_ms(&self, status: u16) -> Vec<f64> {
        self.samples.iter().filter(|sample| sample.status == status).map(Sample::latency_ms).collect()
    }

    /// Responses with this status per second.
    pub(crate) fn rate(&self, status: u16) -> f64 {
        self.latencies_ms(status).len() as f64 / self.seconds
    }
}

/// Sends requests of the users from number `first` on, at `rate` per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop {
    pub(crate) first: u64,
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
}

impl OpenLoop {
    /// The number of requests.
    pub(crate) fn count(self) -> u64 {
        (self.rate * self.seconds).ceil() as u64
    }

    /// Sends all requests and waits for their responses.
    pub(crate) async fn run(
        self,
        client: &Arc<HttpClient>,
        request: fn(u64) -> Request<String>,
    ) -> Result<OpenLoopResult> {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (mut requests, mut late, mut without_connection) = (JoinSet::new(), Vec::new(), 0);
        let started = now();
        for n in 0..self.count() {
            let due = started + Duration::from_secs_f64(n as f64 / self.rate);
            if now() < due {
                tokio::time::sleep_until(due.into()).await;
            }
            late.push(now().saturating_duration_since(due).as_secs_f64() * 1000.0);
            without_connection += usize::from(!client.has_free_connection());
            let (client, samples, user) = (Arc::clone(client), Arc::clone(&samples), self.first + n);
            requests.spawn(async move {
                let response = client.send(request(user)).await;
                let arrival = Sample { user, due, answered: response.at, status: response.status };
                samples.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
            });
        }
        while let Some(ended) = requests.join_next().await {
            ended?;
        }
        self.warn_if_overloaded(&late, without_connection, client);
        let samples = std::mem::take(&mut *samples.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(OpenLoopResult { samples, seconds: self.seconds })
    }

    /// Prints a warning if the driver could not keep up: its latencies are then worse than those of the service.
    fn warn_if_overloaded(self, late: &[f64], without_connection: usize, client: &HttpClient) {
        let lateness = percentile(late, 99.0);
        if lateness > MAX_LATENESS_MS {
            print(&format!(
                "    warning: the driver could not keep up; at {:.0}/s it was {lateness:.0} ms late (p99)",
                self.rate
            ));
        }
        if without_connection > 0 {
            let (all, connections) = (late.len(), client.connections());
            print(&format!(
                "    warning: {without_connection} of {all} requests waited for one of the {connections} connections of the driver"
            ));
        }
    }
}
