//! A closed loop: so many clients, each asking again as soon as it has its answer. For how much can be done.

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

/// A machine that stood still meanwhile is waited for so much longer: until one answer counts.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many clients, how long before it counts, and how long it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedLoop {
    pub(crate) clients: usize,
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
}

/// What was answered while it counted.
#[derive(Debug, Default)]
pub(crate) struct ResponseCounts {
    pub(crate) by_status: BTreeMap<u16, u64>,
    pub(crate) seconds: f64,
}

impl ResponseCounts {
    pub(crate) fn of(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn all(&self) -> u64 {
        self.by_status.values().sum()
    }

    pub(crate) fn rate(&self, status: u16) -> f64 {
        self.of(status) as f64 / self.seconds
    }

    /// The rate of that status, if there was no other.
    pub(crate) fn only(&self, status: u16) -> Result<f64> {
        ensure!(self.of(status) > 0 && self.all() == self.of(status), "not all are {status}: {:?}", self.by_status);
        Ok(self.rate(status))
    }
}

impl ClosedLoop {
    /// Until the time is over, or there is nothing left to ask.
    pub(crate) async fn run<F>(self, client: &Arc<HttpClient>, ask: F) -> Result<ResponseCounts>
    where
        F: Fn() -> Option<Request<String>> + Send + Sync + 'static,
    {
        let from = now() + Duration::from_secs_f64(self.warm_up);
        let deadline = from + Duration::from_secs_f64(self.seconds);
        let (ask, responses) = (Arc::new(ask), Arc::new(Mutex::new(Vec::new())));
        let counts = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            let (client, ask, responses) = (Arc::clone(client), Arc::clone(&ask), Arc::clone(&responses));
            let counts = Arc::clone(&counts);
            clients.spawn(async move {
                while (now() < deadline || !counts.load(Ordering::Relaxed) && now() < deadline + TIMEOUT)
                    && let Some(request) = ask()
                {
                    let response = client.ask(request).await;
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

/// Where it ended early, because nothing was left, that is the end; where nothing came in time, what came too late.
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
    fn only_what_was_answered_in_time_counts() {
        let started = now();
        let at = |seconds| started + Duration::from_secs(seconds);
        let responses = [(at(0), 202), (at(1), 202), (at(2), 503), (at(3), 202), (at(4), 202)];
        let counted = count(responses.into_iter(), at(1), at(3));
        assert_eq!((counted.of(202), counted.of(503), counted.all(), counted.rate(202)), (2, 1, 3, 1.0));
        assert!(counted.only(202).is_err());
    }

    #[test]
    fn a_machine_that_stood_still_is_waited_for() {
        let started = now();
        let at = |seconds| started + Duration::from_secs(seconds);
        assert_eq!(end(&[(at(0), 202), (at(2), 202), (at(4), 202)], at(1), at(3)), at(3));
        assert_eq!(end(&[(at(0), 202), (at(2), 202)], at(1), at(3)), at(2), "nothing was left");
        assert_eq!(end(&[(at(0), 202), (at(4), 202), (at(5), 202)], at(1), at(3)), at(5), "nothing came in time");
    }
}
