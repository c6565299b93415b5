//! Rate limit for verified passwords per network, correct or wrong (`PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE`).
//!
//! Limits on wrong passwords do not bound the hashing that a client causes who knows a password, for example that of a
//! registration of its own. The counts are in memory, in each process: so are the hash threads, which they protect.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use crate::domain::{
    network::Network,
    policy::{PASSWORD_CHECK_WINDOW, RateLimited, Scope},
};

/// The maximum number of networks that are counted; beyond it, the oldest window is forgotten. Two cores verify about
/// half as many passwords in a window, so no flood gets there on most machines.
const MAX_NETWORKS: usize = 16_384;

/// Counts the password checks of each network in windows of a minute, the first of which begins with its first check.
pub(crate) struct PasswordChecks {
    /// Checks per network and window; `None` is unlimited.
    limit: Option<usize>,
    windows: Mutex<Windows>,
}

#[derive(Default)]
struct Windows {
    by_network: HashMap<Network, Window>,
    /// The networks by the start of their window, oldest first.
    by_start: VecDeque<Network>,
}

struct Window {
    started_at: Instant,
    checks: usize,
}

impl PasswordChecks {
    /// Allows each network `limit` checks a minute.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, windows: Mutex::default() }
    }

    /// Counts a password that is about to be verified, or returns how long the client has to wait.
    pub(crate) fn count(&self, network: Network) -> Result<(), RateLimited> {
        let Some(limit) = self.limit else { return Ok(()) };
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.forget_ended(now);
        let window = windows.of(network, now);
        if window.checks >= limit {
            let retry_after = PASSWORD_CHECK_WINDOW - (now - window.started_at);
            return Err(RateLimited { scope: Scope::Network, retry_after });
        }
        window.checks += 1;
        Ok(())
    }
}

impl Windows {
    fn forget_ended(&mut self, now: Instant) {
        while let Some(oldest) = self.by_start.front()
            && self.by_network.get(oldest).is_none_or(|oldest| now - oldest.started_at >= PASSWORD_CHECK_WINDOW)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.by_start.pop_front() {
            self.by_network.remove(&oldest);
        }
    }

    /// The window of a network, which begins now if there is none.
    fn of(&mut self, network: Network, now: Instant) -> &mut Window {
        if self.by_start.len() >= MAX_NETWORKS && !self.by_network.contains_key(&network) {
            self.forget_oldest();
        }
        self.by_network.entry(network).or_insert_with(|| {
            self.by_start.push_back(network);
            Window { started_at: now, checks: 0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn network(number: u32) -> Network {
        Network::of(Ipv4Addr::from_bits(number).into())
    }

    #[tokio::test(start_paused = true)]
    async fn checks_are_limited_per_network_and_minute() {
        let checks = PasswordChecks::new(Some(3));
        for seconds in [20, 20, 19] {
            assert_eq!(checks.count(network(1)), Ok(()));
            tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
        }
        let limited = RateLimited { scope: Scope::Network, retry_after: time::Duration::SECOND };
        assert_eq!(checks.count(network(1)), Err(limited));
        assert_eq!(checks.count(network(2)), Ok(()), "another network has a limit of its own");
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        for _ in 0..3 {
            assert_eq!(checks.count(network(1)), Ok(()), "a window has passed");
        }
        assert!(checks.count(network(1)).is_err());
    }

    #[test]
    fn no_limit_counts_nothing() {
        let checks = PasswordChecks::new(None);
        for _ in 0..1_000 {
            assert_eq!(checks.count(network(1)), Ok(()));
        }
        assert!(checks.windows.lock().unwrap().by_network.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_ended_windows_are_forgotten() {
        let checks = PasswordChecks::new(Some(1));
        let remembered = || {
            let windows = checks.windows.lock().unwrap();
            assert_eq!(windows.by_network.len(), windows.by_start.len());
            windows.by_start.len()
        };
        for number in 0..2 * u32::try_from(MAX_NETWORKS).unwrap() {
            assert_eq!(checks.count(network(number)), Ok(()));
        }
        assert_eq!(remembered(), MAX_NETWORKS);
        assert!(checks.count(network(2 * u32::try_from(MAX_NETWORKS).unwrap() - 1)).is_err(), "the newest are known");
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(checks.count(network(1)), Ok(()));
        assert_eq!(remembered(), 1);
    }
}
