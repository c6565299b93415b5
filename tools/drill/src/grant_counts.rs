//! Counts what the instance granted during the whole run, per network and per email address.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::{policy::Policy, report::Row, response::Response};

/// The totals over all scenarios. Networks are numbered by the source pool.
#[derive(Default)]
pub(super) struct GrantCounts {
    registrations: Counter<usize>,
    comparisons: Counter<usize>,
    codes: Counter<String>,
    codes_by_network: Counter<(String, usize)>,
}

/// Attempts and grants by key.
struct Counter<K>(HashMap<K, Count>);

#[derive(Default)]
struct Count {
    attempts: u64,
    granted: u64,
}

impl<K> Default for Counter<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counter<K> {
    fn add(&mut self, key: K, is_granted: bool) {
        let count = self.0.entry(key).or_default();
        count.attempts += 1;
        count.granted += u64::from(is_granted);
    }

    fn granted(&self, key: &K) -> u64 {
        self.0.get(key).map_or(0, |count| count.granted)
    }

    /// Compares the key with the most grants to the policy; `None` if there was no attempt or the policy has no limit.
    fn row(&self, check: &str, promised: Option<u64>) -> Option<Row> {
        let attempts = self.0.values().map(|count| count.attempts).sum();
        let max_granted = self.0.values().map(|count| count.granted).max()?;
        Some(Row::compared(check, attempts, max_granted, promised?))
    }
}

impl GrantCounts {
    /// Counts a registration, which also requests a code.
    pub(super) fn count_registration(&mut self, network: usize, email: &str, response: &Response) {
        self.registrations.add(network, response.is_accepted());
        self.count_code(network, email, response);
    }

    /// Counts a code that a registration or a resend requested.
    pub(super) fn count_code(&mut self, network: usize, email: &str, response: &Response) {
        self.codes.add(email.to_owned(), response.is_accepted());
        self.codes_by_network.add((email.to_owned(), network), response.is_accepted());
    }

    /// Counts a guess; it is granted if the code was compared.
    pub(super) fn count_guess(&mut self, network: usize, response: &Response) {
        self.comparisons.add(network, response.is_code_comparison());
    }

    /// The registrations that were granted to a network.
    pub(super) fn registrations(&self, network: usize) -> u64 {
        self.registrations.granted(&network)
    }

    /// Report rows with the most that any email address or network was granted, over all scenarios.
    pub(super) fn rows(&self, policy: &Policy, elapsed: Duration) -> Vec<Row> {
        let rows = [
            self.codes.row("all: codes for one address", Some(policy.codes_per_address(elapsed))),
            self.codes_by_network.row("all: … from one network", Some(policy.codes_per_address_and_network(elapsed))),
            self.registrations.row("all: registrations from one network", policy.registrations_per_network_in(elapsed)),
            self.comparisons.row("all: comparisons for one network", Some(policy.wrong_codes_per_network(elapsed))),
        ];
        rows.into_iter().flatten().collect()
    }
}
