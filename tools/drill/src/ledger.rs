//! What the whole run was granted, by network and by address.

use std::{collections::HashMap, hash::Hash, time::Duration};

use super::{answer::Answer, promise::Promise, report::Row};

#[derive(Default)]
pub(super) struct Ledger {
    registrations: Count<usize>,
    comparisons: Count<usize>,
    codes: Count<String>,
    codes_from: Count<(String, usize)>,
}

/// Asked for and granted, for each of something.
struct Count<K>(HashMap<K, (u64, u64)>);

impl<K> Default for Count<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Count<K> {
    fn note(&mut self, key: K, granted: bool) {
        let (attempts, all) = self.0.entry(key).or_default();
        *attempts += 1;
        *all += u64::from(granted);
    }

    fn granted(&self, key: &K) -> u64 {
        self.0.get(key).map_or(0, |&(_, granted)| granted)
    }

    fn row(&self, what: &str, promised: Option<u64>) -> Option<Row> {
        let attempts = self.0.values().map(|&(attempts, _)| attempts).sum();
        let most = self.0.values().map(|&(_, granted)| granted).max()?;
        Some(Row::judged(what, attempts, most, promised?))
    }
}

impl Ledger {
    pub(super) fn registered(&mut self, network: usize, email: &str, answer: &Answer) {
        self.registrations.note(network, answer.is_accepted());
        self.resent(network, email, answer);
    }

    pub(super) fn resent(&mut self, network: usize, email: &str, answer: &Answer) {
        self.codes.note(email.to_owned(), answer.is_accepted());
        self.codes_from.note((email.to_owned(), network), answer.is_accepted());
    }

    pub(super) fn guessed(&mut self, network: usize, answer: &Answer) {
        self.comparisons.note(network, answer.is_comparison());
    }

    pub(super) fn registrations(&self, network: usize) -> u64 {
        self.registrations.granted(&network)
    }

    /// The most that any address or network had, over all plays.
    pub(super) fn rows(&self, promise: &Promise, elapsed: Duration) -> Vec<Row> {
        let rows = [
            self.codes.row("all: codes for one address", Some(promise.codes_per_address(elapsed))),
            self.codes_from.row("all: … from one network", Some(promise.codes_per_address_and_network(elapsed))),
            self.registrations
                .row("all: registrations from one network", promise.registrations_per_network_in(elapsed)),
            self.comparisons.row("all: comparisons for one network", Some(promise.wrong_codes_per_network(elapsed))),
        ];
        rows.into_iter().flatten().collect()
    }
}
