//! The policy of the instance (`GET /v1/policy`): how much it promises to grant at most.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// The parsed policy.
#[derive(Debug, Deserialize)]
pub(crate) struct Policy {
    code: Codes,
    wrong_codes: WrongCodes,
    wrong_passwords: WrongPasswords,
    registrations_per_network: Option<Vec<Window>>,
    password_changes: Vec<Window>,
    /// Counted by each API process. Missing if there is no limit.
    password_checks_per_network: Option<Vec<Window>>,
    bounds: Bounds,
}

#[derive(Debug, Deserialize)]
struct Codes {
    lengths: Vec<u8>,
    attempts: u64,
    resend_after: u64,
    per_address: Vec<Window>,
    per_address_and_network: Vec<Window>,
}

#[derive(Debug, Deserialize)]
struct WrongCodes {
    /// Missing if there is only one code length.
    #[serde(default)]
    per_address: u64,
    /// Missing if there is no limit.
    per_network: Option<Vec<Window>>,
}

#[derive(Debug, Deserialize)]
struct WrongPasswords {
    per_address_and_network: u64,
    per_address: u64,
    /// The window of both, in seconds.
    within: u64,
}

/// A sliding window: at most `limit` within `seconds`.
#[derive(Debug, Deserialize)]
struct Window {
    limit: u64,
    seconds: u64,
}

/// Probabilities that an attacker guesses a code.
#[derive(Debug, Deserialize)]
struct Bounds {
    address_per_year: f64,
}

impl Policy {
    /// Parses the response of `GET /v1/policy`.
    pub(crate) fn parse(policy: &Value) -> Result<Self> {
        Self::deserialize(policy).context("the policy of the instance (GET /v1/policy) cannot be parsed")
    }

    /// Comparisons per code.
    pub(crate) fn attempts(&self) -> u64 {
        self.code.attempts
    }

    /// Comparisons of codes of this length per email address. At every length but the last this is the limit
    /// `per_address`; at the last one, which has no such limit, it is what the yearly bound leaves after the shorter
    /// lengths.
    pub(crate) fn comparisons_at(&self, length: u8) -> u64 {
        let probability = |length: u8| 0.1_f64.powi(length.into());
        let Some((&last, shorter)) = self.code.lengths.split_last() else { return 0 };
        let per_address = self.wrong_codes.per_address;
        if shorter.contains(&length) || length != last {
            return if shorter.contains(&length) { per_address } else { 0 };
        }
        let used: f64 = shorter.iter().map(|&length| probability(length)).sum::<f64>() * to_f64(per_address);
        to_count((self.yearly_bound() - used) / probability(last))
    }

    /// Codes per email address within the elapsed time.
    pub(crate) fn codes_per_address(&self, elapsed: Duration) -> u64 {
        max_grants(&self.code.per_address, elapsed)
    }

    /// Codes per email address and network within the elapsed time.
    pub(crate) fn codes_per_address_and_network(&self, elapsed: Duration) -> u64 {
        max_grants(&self.code.per_address_and_network, elapsed)
    }

    /// Wrong codes per network within the elapsed time.
    pub(crate) fn wrong_codes_per_network(&self, elapsed: Duration) -> u64 {
        self.wrong_codes.per_network.as_ref().map_or(u64::MAX, |windows| max_grants(windows, elapsed))
    }

    /// `None` if the policy has no such limit.
    pub(crate) fn registrations_per_network_in(&self, elapsed: Duration) -> Option<u64> {
        self.registrations_per_network.as_ref().map(|windows| max_grants(windows, elapsed))
    }

    /// Registrations that a network may make at once.
    pub(crate) fn registrations_per_network(&self) -> Option<u64> {
        self.registrations_per_network_in(Duration::ZERO)
    }

    /// Resent codes per email address within the elapsed time, without the first code.
    pub(crate) fn resends(&self, elapsed: Duration) -> u64 {
        let per_address = self.codes_per_address(elapsed).saturating_sub(1);
        elapsed.as_secs().checked_div(self.code.resend_after).map_or(per_address, |paced| paced.min(per_address))
    }

    /// Password changes per account within the elapsed time.
    pub(crate) fn password_changes(&self, elapsed: Duration) -> u64 {
        max_grants(&self.password_changes, elapsed)
    }

    /// Passwords that so many API processes verify for a network within the elapsed time, if the network begins then.
    /// `None` if the policy has no such limit.
    pub(crate) fn password_checks(&self, processes: u64, elapsed: Duration) -> Option<u64> {
        let windows = self.password_checks_per_network.as_ref()?;
        Some(max_grants(windows, elapsed).saturating_mul(processes))
    }

    /// Wrong passwords for an email address from all networks within the elapsed time.
    pub(crate) fn wrong_passwords(&self, elapsed: Duration) -> u64 {
        self.max_wrong_passwords(self.wrong_passwords.per_address, elapsed)
    }

    /// Wrong passwords for an email address from one network within the elapsed time.
    pub(crate) fn wrong_passwords_per_network(&self, elapsed: Duration) -> u64 {
        self.max_wrong_passwords(self.wrong_passwords.per_address_and_network, elapsed)
    }

    fn max_wrong_passwords(&self, limit: u64, elapsed: Duration) -> u64 {
        max_grants(&[Window { limit, seconds: self.wrong_passwords.within }], elapsed)
    }

    /// Wrong passwords for an email address from one network that do not yet lock it for this network.
    pub(crate) fn unlocked_passwords_per_network(&self) -> u64 {
        self.wrong_passwords.per_address_and_network.saturating_sub(1)
    }

    /// Wrong passwords for an email address from all networks that do not yet lock it, with a margin of ten.
    pub(crate) fn unlocked_passwords(&self) -> u64 {
        self.wrong_passwords.per_address.saturating_sub(10)
    }

    /// Probability that an attacker guesses a code of one email address within a year.
    pub(crate) fn yearly_bound(&self) -> f64 {
        self.bounds.address_per_year
    }
}

/// The most grants that sliding windows allow within the elapsed time.
fn max_grants(windows: &[Window], elapsed: Duration) -> u64 {
    let in_window = |window: &Window| window.limit.saturating_mul(elapsed.as_secs() / window.seconds.max(1) + 1);
    windows.iter().map(in_window).min().unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "limits are small")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is rounded, and the cast saturates"
)]
fn to_count(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(lengths: &[u8], per_address: u64, bound: f64) -> Policy {
        let windows = json!([{ "limit": 5, "seconds": 3_600 }, { "limit": 10, "seconds": 86_400 }]);
        let body = json!({
            "code": { "lengths": lengths, "attempts": 3, "resend_after": 60, "per_address": windows,
                      "per_address_and_network": windows },
            "wrong_codes": { "per_address": per_address, "per_network": [{ "limit": 10, "seconds": 600 }] },
            "wrong_passwords": { "per_address_and_network": 5, "per_address": 50, "within": 900 },
            "password_changes": windows,
            "password_checks_per_network": [{ "limit": 120, "seconds": 60 }],
            "bounds": { "address_per_year": bound },
        });
        Policy::parse(&body).unwrap()
    }

    #[test]
    fn last_code_length_has_what_the_yearly_bound_leaves() {
        let escalating = policy(&[4, 6, 8], 9, 9e-4 + 9e-6 + 1.095e-4);
        assert_eq!([4, 6, 8, 5].map(|length| escalating.comparisons_at(length)), [9, 9, 10_950, 0]);
        assert_eq!(policy(&[4], 15, 15e-4).comparisons_at(4), 15);
    }

    #[test]
    fn each_elapsed_window_grants_its_limit_again() {
        let policy = policy(&[4], 15, 15e-4);
        let codes = |seconds| policy.codes_per_address(Duration::from_secs(seconds));
        assert_eq!([0, 3_599, 3_600, 7_200].map(codes), [5, 5, 10, 10]);
        assert_eq!(policy.wrong_codes_per_network(Duration::from_secs(600)), 20);
        assert_eq!(policy.registrations_per_network(), None);
        let passwords = |seconds| policy.wrong_passwords(Duration::from_secs(seconds));
        assert_eq!([0, 899, 900].map(passwords), [50, 50, 100]);
    }

    #[test]
    fn each_process_counts_password_checks_itself() {
        let policy = policy(&[4], 15, 15e-4);
        let checks = |processes, seconds| policy.password_checks(processes, Duration::from_secs(seconds));
        assert_eq!([checks(1, 59), checks(1, 60), checks(2, 59)], [Some(120), Some(240), Some(240)]);
    }

    #[test]
    fn resends_are_limited_by_pause_and_codes_per_address() {
        let resends = |seconds| policy(&[4], 15, 15e-4).resends(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 120, 3_000].map(resends), [0, 0, 1, 2, 4]);
    }
}
