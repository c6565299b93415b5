//! Retention times: how long expired rows are kept. Never shorter than any rule looks back.

use shared::messages::MailKind;
use time::{Duration, OffsetDateTime};

use crate::domain::{
    policy::{KNOWN_NETWORK_TTL, MUTED_RESETS, OWN_RESETS, Policy, UNLOCK_TTL},
    rate_limit::{
        guess_escalation,
        guess_shares::{ACTIVATION_WINDOW, GUESS_WINDOW, UNSETTLED_TTL},
        lockout,
    },
};

/// A mail with a code is not sent later than this after it was written: no code is valid longer.
const CODE_MAIL_MAX_AGE: Duration = Duration::DAY;

/// How long older APIs count instance totals of wrong guesses, from the beginning of their hour.
const GUESS_HOURS_OF_OLDER_APIS: Duration = Duration::hours(25);

/// How long after its event a notice may be sent.
fn max_age(kind: MailKind) -> Duration {
    kind.max_age().unwrap_or(CODE_MAIL_MAX_AGE)
}

/// The configured retention times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// For registrations with their codes and password hashes, after their end.
    pub(crate) registrations: Duration,
    /// For delivery records.
    pub(crate) deliveries: Duration,
}

/// Rows whose last relevant time is at or before these are expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutoffs {
    /// Registrations that were neither activated nor closed: by their creation time.
    pub(crate) pending: OffsetDateTime,
    /// Registrations that were activated or closed: by that time.
    pub(crate) ended: OffsetDateTime,
    pub(crate) deliveries: OffsetDateTime,
    /// Password resets: by the deadline of their code.
    pub(crate) resets: OffsetDateTime,
    pub(crate) password_changes: OffsetDateTime,
    pub(crate) account_deletions: OffsetDateTime,
    // Rate limits, by the time of the last use.
    pub(crate) codes: OffsetDateTime,
    pub(crate) codes_per_network: OffsetDateTime,
    pub(crate) registrations_per_network: OffsetDateTime,
    /// Wrong codes per network, as older APIs count them.
    pub(crate) wrong_codes_per_network: OffsetDateTime,
    pub(crate) wrong_passwords_per_network: OffsetDateTime,
    pub(crate) password_change_limits: OffsetDateTime,
    pub(crate) own_resets: OffsetDateTime,
    pub(crate) muted_resets: OffsetDateTime,
    pub(crate) unlock_links: OffsetDateTime,
    /// Wrong guesses of an email address: by the last one.
    pub(crate) guesses: OffsetDateTime,
    /// Guesses that were not settled are wrong: by their time.
    pub(crate) overdue_attempts: OffsetDateTime,
    /// Guesses of networks and of the instance: by their time.
    pub(crate) code_attempts: OffsetDateTime,
    /// Activations: by their hour.
    pub(crate) activations: OffsetDateTime,
    /// Instance totals of wrong guesses, as older APIs count them: by their hour.
    pub(crate) guess_hours: OffsetDateTime,
    /// Lockouts: by the end of the last lock, or the last attempt.
    pub(crate) lockouts: OffsetDateTime,
    /// Known networks: by the last success from there.
    pub(crate) known_networks: OffsetDateTime,
    /// Unlock links: by their creation. The cookie of one that is opened at its end is valid as long again.
    pub(crate) unlocks: OffsetDateTime,
}

impl Retention {
    /// The cutoff times for a cleanup at `now`.
    pub(crate) fn cutoffs(&self, policy: &Policy, now: OffsetDateTime) -> Cutoffs {
        // The receipt of an open registration shows how its mail ended, and a mail on record is not sent again.
        let deliveries = MailKind::ALL
            .iter()
            .map(|kind| max_age(*kind))
            .fold(self.deliveries.max(policy.registration_ttl + CODE_MAIL_MAX_AGE), Duration::max);
        let registrations_window =
            policy.registrations_per_network.as_ref().map_or(Duration::DAY, |limit| limit.longest_window());
        Cutoffs {
            pending: now - policy.registration_ttl - self.registrations,
            ended: now - self.registrations,
            deliveries: now - deliveries,
            resets: now - self.registrations,
            password_changes: now - max_age(MailKind::PasswordChanged),
            account_deletions: now - max_age(MailKind::AccountDeleted),
            codes: now - policy.codes.longest_window().max(policy.resend_throttle),
            codes_per_network: now - policy.codes_per_network.longest_window(),
            registrations_per_network: now - registrations_window,
            wrong_codes_per_network: now - GUESS_WINDOW,
            wrong_passwords_per_network: now - policy.wrong_passwords_per_network.longest_window(),
            password_change_limits: now - policy.password_changes.longest_window(),
            own_resets: now - OWN_RESETS.1,
            muted_resets: now - MUTED_RESETS.1,
            unlock_links: now - UNLOCK_TTL,
            guesses: now - guess_escalation::QUIET_PERIOD,
            overdue_attempts: now - UNSETTLED_TTL,
            code_attempts: now - GUESS_WINDOW,
            activations: now - ACTIVATION_WINDOW,
            guess_hours: now - GUESS_HOURS_OF_OLDER_APIS,
            lockouts: now - lockout::MAX_LOCK,
            known_networks: now - KNOWN_NETWORK_TTL,
            unlocks: now - UNLOCK_TTL - UNLOCK_TTL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{policy::tests::policy, rate_limit::sliding_window::SlidingWindow};
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    const RETENTION: Retention = Retention { registrations: Duration::WEEK, deliveries: Duration::days(30) };

    #[test]
    fn retention_starts_at_the_end_of_a_registration() {
        let cutoffs = RETENTION.cutoffs(&policy(), T0);
        assert_eq!((T0 - cutoffs.pending, T0 - cutoffs.ended), (Duration::days(8), Duration::days(7)));
        assert_eq!(T0 - cutoffs.deliveries, Duration::days(30));
    }

    #[test]
    fn delivery_records_outlive_password_warnings() {
        let cutoffs = Retention { deliveries: Duration::days(2), ..RETENTION }.cutoffs(&policy(), T0);
        assert_eq!((T0 - cutoffs.deliveries, T0 - cutoffs.password_changes), (Duration::WEEK, Duration::WEEK));
    }

    #[test]
    fn mails_and_their_limits_have_retention_times_of_their_own() {
        let cutoffs = RETENTION.cutoffs(&policy(), T0);
        let ages = [cutoffs.resets, cutoffs.account_deletions, cutoffs.unlocks, cutoffs.unlock_links].map(|at| T0 - at);
        assert_eq!(ages, [Duration::WEEK, Duration::WEEK, Duration::days(2), Duration::DAY]);
        let limits = [cutoffs.password_change_limits, cutoffs.own_resets, cutoffs.muted_resets].map(|at| T0 - at);
        assert_eq!(limits, [Duration::DAY; 3]);
    }

    #[test]
    fn delivery_records_outlive_open_registrations() {
        let policy = Policy { registration_ttl: Duration::days(60), ..policy() };
        assert_eq!(T0 - RETENTION.cutoffs(&policy, T0).deliveries, Duration::days(61));
    }

    #[test]
    fn rate_limit_rows_outlive_their_longest_window() {
        let cutoffs = RETENTION.cutoffs(&policy(), T0);
        let one_day = [
            cutoffs.codes,
            cutoffs.codes_per_network,
            cutoffs.wrong_codes_per_network,
            cutoffs.code_attempts,
            cutoffs.lockouts,
        ];
        assert_eq!(one_day, [T0 - Duration::DAY; 5]);
        assert_eq!(cutoffs.activations, T0 - ACTIVATION_WINDOW);
        assert_eq!(cutoffs.overdue_attempts, T0 - Duration::seconds(30));
        assert_eq!(cutoffs.wrong_passwords_per_network, T0 - Duration::minutes(15));
        assert_eq!(
            (cutoffs.registrations_per_network, cutoffs.known_networks),
            (T0 - Duration::HOUR, T0 - Duration::days(90))
        );
        assert_eq!((cutoffs.guesses, cutoffs.guess_hours), (T0 - Duration::days(365), T0 - Duration::hours(25)));
        let slow =
            Policy { codes: SlidingWindow::new(&[(1, Duration::HOUR)]), resend_throttle: Duration::DAY, ..policy() };
        assert_eq!(RETENTION.cutoffs(&slow, T0).codes, T0 - Duration::DAY, "the resend throttle uses the same row");
    }
}
