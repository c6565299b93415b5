//! Escalation for the codes of password resets. They are longer than those of registrations, because an attacker who
//! guesses one takes over the account.

use time::OffsetDateTime;

use crate::domain::rate_limit::{
    guess_escalation::{GUESSES_PER_STEP, GuessRecord},
    guess_shares::InstanceTotals,
};

/// The minimum length of a reset code: unlike an activation, a reset requires no password beside it.
const USUAL_LENGTH: u8 = 8;

/// The length after escalation, and the maximum length of any code.
const LONGEST: u8 = 10;

/// The instance limit: with so many wrong guesses within a day at codes of the usual length, over all email addresses
/// together, all new reset codes have the longest length.
pub(crate) const INSTANCE_LIMIT: u32 = 2_000;

/// The escalation rules for one setting of `CODE_LENGTH`: reset codes are never shorter than the first code of a
/// registration.
#[derive(Clone, Debug)]
pub(crate) struct ResetLimits {
    /// The length without escalation.
    usual: u8,
}

impl ResetLimits {
    /// `code_length` is the value of `CODE_LENGTH`.
    pub(crate) fn new(code_length: u8) -> Self {
        Self { usual: code_length.max(USUAL_LENGTH) }
    }

    /// The length of a new code for this email address. Shorter codes that were issued before stay valid until they
    /// expire: that is soon, and an attacker must not be able to invalidate them.
    pub(crate) fn length(&self, record: &GuessRecord, totals: &InstanceTotals, now: OffsetDateTime) -> u8 {
        let shorter = totals.guesses.iter().filter(|total| (self.usual..LONGEST).contains(&total.length));
        let instance_total: u32 = shorter.fold(0, |sum, total| sum.saturating_add(total.wrong));
        let escalates = record.wrong_at(now) >= GUESSES_PER_STEP || instance_total >= INSTANCE_LIMIT;
        if escalates { LONGEST } else { self.usual }
    }

    /// An upper bound of the probability that an attacker without access to the mailbox takes over one given account
    /// within a year, when `codes` codes can be issued in that time, `alive` of them valid at once, and each allows
    /// `attempts` guesses.
    pub(crate) fn probability_bound(&self, codes: u32, alive: u32, attempts: u8) -> f64 {
        let probability = |length: u8| 0.1_f64.powi(length.into());
        let guesses = |codes: u32| f64::from(codes) * f64::from(attempts);
        // After the last wrong guess before the escalation, the codes of the usual length that are valid can still be
        // guessed.
        let usual = (f64::from(GUESSES_PER_STEP) + guesses(alive)).min(guesses(codes));
        usual * probability(self.usual) + guesses(codes) * probability(LONGEST)
    }

    /// The length of a code without escalation.
    pub(crate) fn base_length(&self) -> u8 {
        self.usual
    }

    /// The length of a code after escalation.
    pub(crate) fn max_length(&self) -> u8 {
        LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate_limit::{guess_escalation::QUIET_PERIOD, guess_shares::GuessTotals};
    use time::{Duration, macros::datetime};

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn wrong(wrong: u32) -> GuessRecord {
        GuessRecord { wrong, last_at: Some(T0) }
    }

    fn totals(wrong: &[(u8, u32)]) -> InstanceTotals {
        let guesses = wrong.iter().map(|&(length, wrong)| GuessTotals { length, wrong }).collect();
        InstanceTotals { guesses, ..InstanceTotals::default() }
    }

    #[test]
    fn ninth_wrong_guess_makes_reset_codes_longest() {
        let length = |guesses| ResetLimits::new(4).length(&wrong(guesses), &totals(&[]), T0);
        assert_eq!([0, 8, 9, 1_000].map(length), [8, 8, 10, 10]);
        assert_eq!(ResetLimits::new(4).length(&wrong(9), &totals(&[]), T0 + QUIET_PERIOD - Duration::SECOND), 10);
        assert_eq!(ResetLimits::new(4).length(&wrong(9), &totals(&[]), T0 + QUIET_PERIOD), 8);
    }

    #[test]
    fn instance_limit_makes_all_reset_codes_longest() {
        let length = |wrong: &[(u8, u32)]| ResetLimits::new(4).length(&GuessRecord::default(), &totals(wrong), T0);
        assert_eq!(length(&[(8, 1_999), (4, 9_999), (10, 9_999)]), 8);
        assert_eq!(length(&[(8, 2_000)]), 10);
        assert_eq!(length(&[(8, 1_999), (9, 1)]), 10, "two APIs with different settings share the totals");
        assert_eq!(length(&[(8, u32::MAX), (9, u32::MAX)]), 10);
    }

    #[test]
    fn reset_code_is_never_shorter_than_registration_code() {
        assert_eq!([4, 8, 9, 10].map(|length| ResetLimits::new(length).base_length()), [8, 8, 9, 10]);
        assert_eq!([4, 10].map(|length| ResetLimits::new(length).max_length()), [10, 10]);
    }

    #[test]
    fn probability_bound_matches_the_documented_numbers() {
        // 9 guesses and 5 codes of 3 attempts at 8 digits, and all codes of a year at 10 digits.
        let bound = ResetLimits::new(4).probability_bound(3_650, 5, 3);
        assert!((bound - (24e-8 + 10_950e-10)).abs() < 1e-15, "{bound}");
        let few = ResetLimits::new(4).probability_bound(1, 1, 3);
        assert!((few - (3e-8 + 3e-10)).abs() < 1e-15, "{few}");
    }
}
