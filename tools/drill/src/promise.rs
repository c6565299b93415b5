//! What `GET /v1/policy` promises, as numbers that grants can be held against.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(crate) struct Promise {
    code: Codes,
    wrong_codes: WrongCodes,
    wrong_passwords: WrongPasswords,
    registrations_per_network: Option<Vec<Window>>,
    guess_bound: Bound,
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
    /// Missing where there is one length only, and it is the longest.
    #[serde(default)]
    per_address: u64,
    per_network: Vec<Window>,
}

#[derive(Debug, Deserialize)]
struct WrongPasswords {
    per_address_and_network: u64,
    per_address: u64,
}

#[derive(Debug, Deserialize)]
struct Window {
    limit: u64,
    seconds: u64,
}

#[derive(Debug, Deserialize)]
struct Bound {
    one_address_one_year: f64,
}

impl Promise {
    pub(crate) fn parse(policy: &Value) -> Result<Self> {
        Self::deserialize(policy).context("its policy cannot be read")
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.code.attempts
    }

    /// So many codes of one length may be compared for an address. At the last length it is what the yearly
    /// bound leaves: codes are long enough there, or `per_address` was all there is.
    pub(crate) fn comparisons_at(&self, length: u8) -> u64 {
        let chance = |length: u8| 0.1_f64.powi(length.into());
        let Some((&last, before)) = self.code.lengths.split_last() else { return 0 };
        let per_address = self.wrong_codes.per_address;
        if before.contains(&length) || length != last {
            return if before.contains(&length) { per_address } else { 0 };
        }
        let spent: f64 = before.iter().map(|&length| chance(length)).sum::<f64>() * whole(per_address);
        count((self.yearly_bound() - spent) / chance(last))
    }

    pub(crate) fn codes_per_address(&self, elapsed: Duration) -> u64 {
        most(&self.code.per_address, elapsed)
    }

    pub(crate) fn codes_per_address_and_network(&self, elapsed: Duration) -> u64 {
        most(&self.code.per_address_and_network, elapsed)
    }

    pub(crate) fn wrong_codes_per_network(&self, elapsed: Duration) -> u64 {
        most(&self.wrong_codes.per_network, elapsed)
    }

    /// `None`: no limit is promised.
    pub(crate) fn registrations_per_network_in(&self, elapsed: Duration) -> Option<u64> {
        self.registrations_per_network.as_ref().map(|windows| most(windows, elapsed))
    }

    pub(crate) fn registrations_per_network(&self) -> Option<u64> {
        self.registrations_per_network_in(Duration::ZERO)
    }

    /// Codes sent again in so long, the first one not among them.
    pub(crate) fn resends(&self, elapsed: Duration) -> u64 {
        let of_address = self.codes_per_address(elapsed).saturating_sub(1);
        elapsed.as_secs().checked_div(self.code.resend_after).map_or(of_address, |paced| paced.min(of_address))
    }

    /// Wrong passwords that lock nothing: for one address from one network, and from all.
    pub(crate) fn harmless_passwords(&self) -> (u64, u64) {
        let WrongPasswords { per_address_and_network, per_address } = self.wrong_passwords;
        (per_address_and_network.saturating_sub(1), per_address.saturating_sub(10))
    }

    pub(crate) fn yearly_bound(&self) -> f64 {
        self.guess_bound.one_address_one_year
    }
}

/// The most that fits into sliding windows while so much time passes.
fn most(windows: &[Window], elapsed: Duration) -> u64 {
    let in_one = |window: &Window| window.limit.saturating_mul(elapsed.as_secs() / window.seconds.max(1) + 1);
    windows.iter().map(in_one).min().unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "limits are small")]
fn whole(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and saturating is right")]
fn count(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn promise(lengths: &[u8], per_address: u64, bound: f64) -> Promise {
        let windows = json!([{ "limit": 5, "seconds": 3_600 }, { "limit": 10, "seconds": 86_400 }]);
        let policy = json!({
            "code": { "lengths": lengths, "attempts": 3, "resend_after": 60, "per_address": windows,
                      "per_address_and_network": windows },
            "wrong_codes": { "per_address": per_address, "per_network": [{ "limit": 10, "seconds": 600 }] },
            "wrong_passwords": { "per_address_and_network": 5, "per_address": 50 },
            "guess_bound": { "one_address_one_year": bound },
        });
        Promise::parse(&policy).unwrap()
    }

    #[test]
    fn each_length_but_the_last_has_its_own_limit_and_the_last_has_what_the_bound_leaves() {
        let escalating = promise(&[4, 6, 8], 9, 9e-4 + 9e-6 + 1.095e-4);
        assert_eq!([4, 6, 8, 5].map(|length| escalating.comparisons_at(length)), [9, 9, 10_950, 0]);
        assert_eq!(promise(&[4], 15, 15e-4).comparisons_at(4), 15);
    }

    #[test]
    fn every_window_that_passes_grants_its_limit_again() {
        let promise = promise(&[4], 15, 15e-4);
        let codes = |seconds| promise.codes_per_address(Duration::from_secs(seconds));
        assert_eq!([0, 3_599, 3_600, 7_200].map(codes), [5, 5, 10, 10]);
        assert_eq!(promise.wrong_codes_per_network(Duration::from_secs(600)), 20);
        assert_eq!(promise.registrations_per_network(), None);
    }

    #[test]
    fn a_code_is_sent_again_no_sooner_than_after_the_pause_and_no_oftener_than_an_address_has_codes() {
        let resends = |seconds| promise(&[4], 15, 15e-4).resends(Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 120, 3_000].map(resends), [0, 0, 1, 2, 4]);
    }
}
