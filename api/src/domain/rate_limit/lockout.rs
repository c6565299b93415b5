//! Lockout after wrong passwords: as many failures as the limit within 15 minutes lock further attempts for 15
//! minutes. Each further lock is twice as long, up to a day.

use time::{Duration, OffsetDateTime};

/// The recent failures of a subject, and the locks that they led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lockout {
    /// The failures that count toward the next lock, or led to the current one; oldest first.
    pub(crate) failures: Vec<OffsetDateTime>,
    /// The number of locks since the last quiet day; it determines the length of the next one.
    pub(crate) locks: u16,
    /// The end of the last lock. It is kept after that, because it determines when the whole record expires.
    pub(crate) until: Option<OffsetDateTime>,
}

/// The sliding window: older failures do not count.
pub(crate) const WINDOW: Duration = Duration::minutes(15);

/// How long a network is known to an account after a login from it. The account-wide lockout does not apply to known
/// networks, so an attacker elsewhere cannot lock the owner out.
pub(crate) const KNOWN_NETWORK_TTL: Duration = Duration::days(90);

/// How long a network is known to an email address after it requested a code for it.
pub(crate) const CODE_REQUEST_TTL: Duration = Duration::DAY;

/// The length of the first lock; each further one is twice as long.
pub(crate) const FIRST_LOCK: Duration = Duration::minutes(15);

/// The maximum length of a lock. After this time without a lock or a failure, the record expires.
pub(crate) const MAX_LOCK: Duration = Duration::DAY;

impl Lockout {
    /// Reserves a password attempt: it counts as a failure until [`Self::release`] says that the password was right.
    /// An error says how long the client has to wait.
    pub(crate) fn reserve(&mut self, limit: usize, now: OffsetDateTime) -> Result<(), Duration> {
        if let Some(until) = self.until.filter(|&until| now < until) {
            return Err(until - now);
        }
        if self.last_activity().is_some_and(|last| now >= last + MAX_LOCK) {
            *self = Self::default();
        }
        // Failures before the last lock have led to it, and do not count again.
        let last_lock_end = self.until;
        self.failures.retain(|&at| now < at + WINDOW && last_lock_end.is_none_or(|until| until <= at));
        self.failures.push(now);
        if self.failures.len() >= limit {
            let length = FIRST_LOCK * 2_i32.pow(u32::from(self.locks).min(10));
            self.until = Some(now + length.min(MAX_LOCK));
            self.locks = self.locks.saturating_add(1);
        }
        Ok(())
    }

    /// Whether attempts are locked out at this time.
    pub(crate) fn is_locked(&self, now: OffsetDateTime) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Removes the failure that was reserved at `at`, because the password was right. A lock that it led to is lifted.
    pub(crate) fn release(&mut self, limit: usize, at: OffsetDateTime) {
        let Some(index) = self.failures.iter().position(|&failure| failure == at) else { return };
        self.failures.remove(index);
        if self.until.is_some_and(|until| at < until) && self.failures.len() < limit {
            self.locks = self.locks.saturating_sub(1);
            // Earlier locks do not expire sooner because of this, and the other failures still count.
            self.until = (self.locks > 0).then(|| self.failures.first().map_or(at, |&first| first.min(at)));
        }
        if self.locks > 0 && self.until.is_none() && self.failures.is_empty() {
            // Rows of versions before V8 lack the end of the lock. A row without any time would never expire.
            self.until = Some(at);
        }
    }

    /// The time of the last lock end or failure: the record expires a day later.
    fn last_activity(&self) -> Option<OffsetDateTime> {
        self.until.max(self.failures.last().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    fn minutes(minutes: i64) -> OffsetDateTime {
        T0 + Duration::minutes(minutes)
    }

    /// Six attempts at this minute: how many were allowed, and how many minutes to wait after them.
    fn fail_until_locked(lockout: &mut Lockout, minute: i64) -> (usize, i64) {
        let attempts: Vec<_> = (0..6).map(|_| lockout.reserve(5, minutes(minute))).collect();
        let wait = attempts.iter().find_map(|attempt| attempt.err()).unwrap();
        (attempts.iter().filter(|attempt| attempt.is_ok()).count(), wait.whole_minutes())
    }

    #[test]
    fn lock_doubles_from_15_minutes_up_to_a_day() {
        let mut lockout = Lockout::default();
        let (mut at, mut waits) = (0, vec![]);
        for _ in 0..9 {
            let (allowed, wait) = fail_until_locked(&mut lockout, at);
            assert_eq!(allowed, 5);
            waits.push(wait);
            at += wait;
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
    }

    /// Rows of versions before V8: the end of a lock was deleted when the lock ended.
    #[test]
    fn a_row_with_locks_always_keeps_a_time() {
        let mut lockout = Lockout { failures: vec![T0], locks: 1, until: None };
        lockout.reserve(5, minutes(20)).unwrap();
        lockout.release(5, minutes(20));
        assert_eq!((lockout.locks, lockout.last_activity()), (1, Some(minutes(20))));
    }

    #[test]
    fn failures_outside_the_window_do_not_count() {
        let mut lockout = Lockout::default();
        for minute in [0, 1, 2, 3] {
            lockout.reserve(5, minutes(minute)).unwrap();
        }
        lockout.reserve(5, minutes(15)).unwrap();
        assert_eq!((lockout.failures.len(), lockout.until), (4, None));
        assert!(!lockout.is_locked(minutes(15)));
        lockout.reserve(5, minutes(15)).unwrap();
        assert!(lockout.is_locked(minutes(15)) && !lockout.is_locked(minutes(30)));
        assert!(lockout.reserve(5, minutes(15)).is_err());
    }

    #[test]
    fn lockout_resets_a_day_after_the_last_lock() {
        let mut lockout = Lockout::default();
        assert_eq!(fail_until_locked(&mut lockout, 0), (5, 15));
        assert_eq!(fail_until_locked(&mut lockout, 15 + 24 * 60 - 1), (5, 30));
        assert_eq!(fail_until_locked(&mut lockout, 3 * 24 * 60), (5, 15));
    }

    #[test]
    fn correct_password_lifts_the_lock_it_led_to() {
        let mut lockout = Lockout::default();
        for minute in 0..5 {
            lockout.reserve(5, minutes(minute)).unwrap();
        }
        assert!(lockout.reserve(5, minutes(5)).is_err(), "a reserved attempt counts until it is known to be right");
        lockout.release(5, minutes(2));
        assert_eq!((lockout.failures.len(), lockout.locks, lockout.until), (4, 0, None));
        lockout.reserve(5, minutes(5)).unwrap();
        assert_eq!(lockout.until, Some(minutes(20)));
    }

    #[test]
    fn locks_are_kept_a_day_after_the_last_activity() {
        let mut lockout = Lockout::default();
        assert_eq!(fail_until_locked(&mut lockout, 0), (5, 15));
        lockout.reserve(5, minutes(20)).unwrap();
        assert_eq!((lockout.failures.len(), lockout.locks, lockout.until), (1, 1, Some(minutes(15))));
        let quiet_at = 20 + 24 * 60;
        let next = |minute| fail_until_locked(&mut lockout.clone(), minute).1;
        assert_eq!((next(quiet_at - 1), next(quiet_at)), (30, 15));
    }

    #[test]
    fn correct_password_lifts_no_earlier_lock() {
        let mut lockout = Lockout::default();
        assert_eq!(fail_until_locked(&mut lockout, 0), (5, 15));
        for minute in 20..25 {
            lockout.reserve(5, minutes(minute)).unwrap();
        }
        assert_eq!((lockout.locks, lockout.until), (2, Some(minutes(54))));
        lockout.release(5, minutes(24));
        assert_eq!((lockout.locks, lockout.failures.len()), (1, 4));
        lockout.reserve(5, minutes(25)).unwrap();
        assert_eq!((lockout.locks, lockout.until), (2, Some(minutes(55))), "the other four still count");
        let mut lockout = Lockout::default();
        assert_eq!(fail_until_locked(&mut lockout, 0), (5, 15));
        lockout.reserve(5, minutes(20)).unwrap();
        lockout.release(5, minutes(20));
        assert_eq!((lockout.locks, lockout.until), (1, Some(minutes(15))), "an expired lock stays on record");
    }

    #[test]
    fn concurrent_correct_passwords_leave_no_record() {
        let mut lockout = Lockout::default();
        let allowed: Vec<_> =
            (0..9).map(|n| T0 + Duration::seconds(n)).filter(|&at| lockout.reserve(5, at).is_ok()).collect();
        assert_eq!(allowed.len(), 5);
        allowed.iter().rev().for_each(|&at| lockout.release(5, at));
        assert_eq!(lockout, Lockout::default());
    }
}
