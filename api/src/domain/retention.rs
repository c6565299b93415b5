//! How long what is over is kept: never less than any rule looks back.

use time::{Duration, OffsetDateTime};

use crate::domain::{
    policy::Policy,
    rate_limit::{
        guess_escalation,
        lockout::{self, ASKED_FOR_A_CODE, REMEMBERED},
    },
};

/// A message is not mailed later than this after it was written: neither a code nor a welcome lives longer.
const MESSAGE: Duration = Duration::DAY;

/// But for the one that tells of a changed password.
const WARNING: Duration = Duration::WEEK;

/// What is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Registrations with their codes and hashes, after their end.
    pub(crate) registrations: Duration,
    /// The records of how messages ended.
    pub(crate) deliveries: Duration,
}

/// What was last of use at these times, or before, is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutoffs {
    /// Made then, and never ended by anybody.
    pub(crate) pending: OffsetDateTime,
    /// Activated or closed then.
    pub(crate) ended: OffsetDateTime,
    pub(crate) deliveries: OffsetDateTime,
    /// ResetLimits whose codes were dead for good then.
    pub(crate) resets: OffsetDateTime,
    pub(crate) password_changes: OffsetDateTime,
    pub(crate) codes: OffsetDateTime,
    pub(crate) codes_from: OffsetDateTime,
    pub(crate) registrations_from: OffsetDateTime,
    pub(crate) wrong_codes_from: OffsetDateTime,
    pub(crate) wrong_passwords_from: OffsetDateTime,
    pub(crate) let_in: OffsetDateTime,
    pub(crate) guesses: OffsetDateTime,
    pub(crate) hours: OffsetDateTime,
    pub(crate) lockouts: OffsetDateTime,
}

impl Retention {
    pub(crate) fn cutoffs(&self, policy: &Policy, now: OffsetDateTime) -> Cutoffs {
        // While a registration is open its receipt tells how its mail ended; and what is on record is not mailed again.
        let deliveries = self.deliveries.max(policy.registration_ttl + MESSAGE).max(WARNING);
        let registrations_from = policy.registrations_from.as_ref().map_or(Duration::DAY, |share| share.longest());
        Cutoffs {
            pending: now - policy.registration_ttl - self.registrations,
            ended: now - self.registrations,
            deliveries: now - deliveries,
            resets: now - self.registrations,
            password_changes: now - WARNING,
            codes: now - policy.codes.longest().max(policy.resend_throttle),
            codes_from: now - policy.codes_from.longest().max(ASKED_FOR_A_CODE),
            registrations_from: now - registrations_from,
            wrong_codes_from: now - policy.wrong_codes_from.longest(),
            wrong_passwords_from: now - policy.wrong_passwords_from.longest(),
            let_in: now - REMEMBERED,
            guesses: now - guess_escalation::QUIET,
            hours: now - guess_escalation::DAY,
            lockouts: now - lockout::LONGEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rate_limit::{
        guess_escalation::GuessLimits, reset_escalation::ResetLimits, sliding_window::SlidingWindow,
    };
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn policy() -> Policy {
        let codes = SlidingWindow::new(&[(5, Duration::HOUR), (10, Duration::DAY)]);
        Policy {
            guesses: GuessLimits::new(4, true),
            code_ttl: Duration::MINUTE,
            code_max_age: Duration::minutes(10),
            code_attempts: 3,
            resend_throttle: Duration::MINUTE,
            codes: codes.clone(),
            codes_from: codes,
            wrong_codes_from: SlidingWindow::new(&[(10, Duration::minutes(10)), (30, Duration::DAY)]),
            wrong_passwords_from: SlidingWindow::new(&[(100, Duration::minutes(15))]),
            registrations_from: Some(SlidingWindow::new(&[(60, Duration::HOUR)])),
            registration_ttl: Duration::DAY,
            session_ttl: Duration::DAY,
            resets: ResetLimits::new(4),
            reset_ttl: Duration::minutes(10),
            password_min_length: 8,
        }
    }

    const RETENTION: Retention = Retention { registrations: Duration::WEEK, deliveries: Duration::days(30) };

    #[test]
    fn what_is_set_counts_from_the_end() {
        let cutoffs = RETENTION.cutoffs(&policy(), T0);
        assert_eq!((T0 - cutoffs.pending, T0 - cutoffs.ended), (Duration::days(8), Duration::days(7)));
        assert_eq!(T0 - cutoffs.deliveries, Duration::days(30));
    }

    #[test]
    fn a_warning_is_not_mailed_again_however_little_is_kept() {
        let cutoffs = Retention { deliveries: Duration::days(2), ..RETENTION }.cutoffs(&policy(), T0);
        assert_eq!((T0 - cutoffs.deliveries, T0 - cutoffs.password_changes), (Duration::WEEK, Duration::WEEK));
    }

    #[test]
    fn how_a_mail_ended_is_known_as_long_as_its_registration_is_open() {
        let policy = Policy { registration_ttl: Duration::days(60), ..policy() };
        assert_eq!(T0 - RETENTION.cutoffs(&policy, T0).deliveries, Duration::days(61));
    }

    #[test]
    fn what_is_counted_is_kept_as_long_as_a_rule_looks_back() {
        let cutoffs = RETENTION.cutoffs(&policy(), T0);
        let of_a_day = [cutoffs.codes, cutoffs.codes_from, cutoffs.wrong_codes_from, cutoffs.lockouts];
        assert_eq!(of_a_day, [T0 - Duration::DAY; 4]);
        assert_eq!(cutoffs.wrong_passwords_from, T0 - Duration::minutes(15));
        assert_eq!((cutoffs.registrations_from, cutoffs.let_in), (T0 - Duration::HOUR, T0 - Duration::days(90)));
        assert_eq!((cutoffs.guesses, cutoffs.hours), (T0 - Duration::days(365), T0 - Duration::hours(25)));
        let slow =
            Policy { codes: SlidingWindow::new(&[(1, Duration::HOUR)]), resend_throttle: Duration::DAY, ..policy() };
        assert_eq!(RETENTION.cutoffs(&slow, T0).codes, T0 - Duration::DAY, "the cool-down looks at it, too");
    }
}
