//! How long the codes are that give an account another password: whoever guesses one has the account.

use time::{Duration, OffsetDateTime};

use crate::domain::{
    policy::Policy,
    rate_limit::guess_escalation::{GuessRecord, GuessTotals, STEP},
};

/// From the first one on: no password stands before these.
const USUAL: u8 = 8;

/// Under pressure. No code of ours is longer.
const LONGEST: u8 = 10;

/// When everybody together guessed wrong so often in a day at codes of the usual length, all get the longest.
pub(crate) const BY_EVERYBODY: u32 = 2_000;

/// The rules for one setting of `CODE_LENGTH`: no reset has a shorter code than a registration's first.
#[derive(Clone, Debug)]
pub(crate) struct ResetLimits {
    usual: u8,
}

impl ResetLimits {
    pub(crate) fn new(code_length: u8) -> Self {
        Self { usual: code_length.max(USUAL) }
    }

    /// How long a new code for this address is. Those that were made shorter before are accepted to their end: it is
    /// near, and a stranger must not be able to end them.
    pub(crate) fn length(&self, record: &GuessRecord, spent: &[GuessTotals], now: OffsetDateTime) -> u8 {
        let shorter = spent.iter().filter(|spent| (self.usual..LONGEST).contains(&spent.length));
        let by_everybody: u32 = shorter.fold(0, |sum, spent| sum.saturating_add(spent.wrong));
        let pressure = record.wrong_at(now) >= STEP || by_everybody >= BY_EVERYBODY;
        if pressure { LONGEST } else { self.usual }
    }

    /// How likely somebody who never reads the mail takes over one given account within a year, at most, when `codes`
    /// can be had in that time, `alive` of them at once, and each be tried `attempts` times.
    pub(crate) fn bound(&self, codes: u32, alive: u32, attempts: u8) -> f64 {
        let chance = |length: u8| 0.1_f64.powi(length.into());
        let tries = |codes: u32| f64::from(codes) * f64::from(attempts);
        // When the last guess is given that an address has at the usual length, so many may still be tried.
        let usual = (f64::from(STEP) + tries(alive)).min(tries(codes));
        usual * chance(self.usual) + tries(codes) * chance(LONGEST)
    }

    pub(crate) fn usual(&self) -> u8 {
        self.usual
    }

    pub(crate) fn longest(&self) -> u8 {
        LONGEST
    }
}

impl Policy {
    /// How old the code of a reset may get: a mail that took as long as that of a registration may still lives its
    /// whole time.
    pub(crate) fn reset_max_age(&self) -> Duration {
        self.code_max_age + self.reset_ttl
    }

    /// How many codes of an address can live at once, if all are those of resets.
    pub(crate) fn resets_alive(&self) -> u32 {
        self.codes.most_in(self.reset_max_age())
    }

    /// How likely somebody who never reads the mail takes over one given account in a year, at most.
    pub(crate) fn reset_bound(&self) -> f64 {
        self.resets.bound(self.codes_a_year(), self.resets_alive(), self.code_attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate_limit::guess_escalation::QUIET;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn wrong(wrong: u32) -> GuessRecord {
        GuessRecord { wrong, last_at: Some(T0) }
    }

    fn spent(length: u8, wrong: u32) -> GuessTotals {
        GuessTotals { length, wrong }
    }

    #[test]
    fn nine_wrong_guesses_make_the_codes_of_an_address_as_long_as_they_get() {
        let length = |guesses| ResetLimits::new(4).length(&wrong(guesses), &[], T0);
        assert_eq!([0, 8, 9, 1_000].map(length), [8, 8, 10, 10]);
        assert_eq!(ResetLimits::new(4).length(&wrong(9), &[], T0 + QUIET - Duration::SECOND), 10);
        assert_eq!(ResetLimits::new(4).length(&wrong(9), &[], T0 + QUIET), 8);
    }

    #[test]
    fn what_everybody_guesses_counts_for_everybody() {
        let length = |spent: &[GuessTotals]| ResetLimits::new(4).length(&GuessRecord::default(), spent, T0);
        assert_eq!(length(&[spent(8, 1_999), spent(4, 9_999), spent(10, 9_999)]), 8);
        assert_eq!(length(&[spent(8, 2_000)]), 10);
        assert_eq!(length(&[spent(8, 1_999), spent(9, 1)]), 10, "where two APIs have other lengths");
        assert_eq!(length(&[spent(8, u32::MAX), spent(9, u32::MAX)]), 10);
    }

    #[test]
    fn a_reset_has_no_shorter_code_than_a_registration() {
        assert_eq!([4, 8, 9, 10].map(|length| ResetLimits::new(length).usual()), [8, 8, 9, 10]);
    }

    #[test]
    fn the_bound_is_what_is_promised() {
        // 9 guesses and 5 codes of 3 tries at 8 digits, and all that a year has at 10.
        let bound = ResetLimits::new(4).bound(3_650, 5, 3);
        assert!((bound - (24e-8 + 10_950e-10)).abs() < 1e-15, "{bound}");
        let few = ResetLimits::new(4).bound(1, 1, 3);
        assert!((few - (3e-8 + 3e-10)).abs() < 1e-15, "{few}");
    }
}
