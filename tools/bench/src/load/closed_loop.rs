//! Closed loop: a fixed number of clients, each sending its next request after the response to the previous one.
//! Measures the maximum throughput.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hyper::Request;
use tokio::task::JoinSet;

use crate::{clock::now, load::client::HttpClient};

/// How much longer to run, at most, until at least one response counts: the machine may have stalled.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Number of clients, and seconds of warm-up and measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedLoop {
    pub(crate) clients: usize,
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
}

/// Responses during the measurement.
#[derive(Debug, Default)]
pub(crate) struct ResponseCounts {
    pub(crate) by_status: BTreeMap<u16, u64>,
    pub(crate) seconds: f64,
}

impl ResponseCounts {
    /// Responses with this status.
    pub(crate) fn of(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    /// All responses.
    pub(crate) fn all(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Responses with this status per second.
    pub(crate) fn rate(&self, status: u16) -> f64 {
        self.of(status) as f64 / self.seconds
    }

    /// The rate of this status; fails if there was any other.
    pub(crate) fn rate_of_only(&self, status: u16) -> Result<f64> {
        ensure!(
            self.of(status) > 0 && self.all() == self.of(status),
            "not all responses have status {status}: {:?}",
            self.by_status
        );
        Ok(self.rate(status))
    }
}

impl ClosedLoop {
    /// Runs until the time has elapsed, or until `next_request` returns `None`.
    pub(crate) async fn run<F>(self, client: &Arc<HttpClient>, next_request: F) -> Result<ResponseCounts>
    where
        F: Fn() -> Option<Request<String>> + Send + Sync + 'static,
    {
        let from = now() + Duration::from_secs_f64(self.warm_up);
        let deadline = from + Duration::from_secs_f64(self.seconds);
        let (next_request, responses) = (Arc::new(next_request), Arc::new(Mutex::new(Vec::new())));
        let counts = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            let (client, next_request, responses) =
                (Arc::clone(client), Arc::clone(&next_request), Arc::clone(&responses));
            let counts = Arc::clone(&counts);
            clients.spawn(async move {
                while (now() < deadline || !counts.load(Ordering::Relaxed) && now() < deadline + TIMEOUT)
                    && let Some(request) = next_request()
                {
                    let response = client.send(request).await;
                    counts.fetch_or(response.at >= from, Ordering::Relaxed);
                    responses.lock().unwrap_or_else(PoisonError::into_inner).push(response);
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended?;
        }
        let responses = std::mem::take(&mut *responses.lock().unwrap_or_else(PoisonError::into_inner));
        let responses: Vec<_> = responses.iter().map(|response| (response.at, response.status)).collect();
        Ok(count(responses.iter().copied(), from, end(&responses, from, deadline)))
    }
}

/// The end of the measurement: the last response if the requests were used up early, or if all responses came too late.
fn end(responses: &[(Instant, u16)], from: Instant, deadline: Instant) -> Instant {
    let last = responses.iter().map(|(at, _)| *at).max().unwrap_or(from);
    if responses.iter().any(|(at, _)| (from..=deadline).contains(at)) { last.min(deadline) } else { last }
}

fn count(responses: impl Iterator<Item = (Instant, u16)>, from: Instant, end: Instant) -> ResponseCounts {
    let mut counted =
        ResponseCounts { by_status: BTreeMap::new(), seconds: (end.saturating_duration_since(from)).as_secs_f64() };
    for (_, status) in responses.filter(|(at, _)| (from..=end).contains(at)) {
        *counted.by_status.entry(status).or_default() += 1;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_within_the_measurement_count() {
        let started = now();
        let at = |seconds| started + Duration::from_secs(seconds);
        let responses = [(at(0), 202), (at(1), 202), (at(2), 503), (at(3), 202), (at(4), 202)];
        let counted = count(responses.into_iter(), at(1), at(3));
        assert_eq!((counted.of(202), counted.of(503), counted.all(), counted.rate(202)), (2, 1, 3, 1.0));
        assert!(counted.rate_of_only(202).is_err());
    }

    #[test]
    fn end_is_the_last_response_if_none_came_in_time() {
        let started = now();
        let at = |seconds| started + Duration::from_secs(seconds);
        assert_eq!(end(&[(at(0), 202), (at(2), 202), (at(4), 202)], at(1), at(3)), at(3));
        assert_eq!(end(&[(at(0), 202), (at(2), 202)], at(1), at(3)), at(2), "requests were used up");
        assert_eq!(end(&[(at(0), 202), (at(4), 202), (at(5), 202)], at(1), at(3)), at(5), "all responses were late");
    }
}
