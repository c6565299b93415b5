//! Lockout after wrong passwords: as many failures as the rule allows lock further attempts for a while. Each further
//! lock is twice as long, up to a day.
//!
//! An attempt is pending until it is settled, and is no failure meanwhile. So that concurrent guesses get no attempt too
//! many, no more attempts are pending at once than could fail without exceeding the rule; the others wait.

use time::{Duration, OffsetDateTime};

/// How many failures, within which time, lock a subject for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockoutRule {
    pub(crate) attempts: usize,
    /// The sliding window: older failures do not count.
    pub(crate) window: Duration,
    /// The length of the first lock; each further one is twice as long.
    pub(crate) first_lock: Duration,
}

/// The recent failures of a subject, and the locks that they led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lockout {
    /// The failures that count toward the next lock, or led to the current one; oldest first.
    pub(crate) failures: Vec<OffsetDateTime>,
    /// When the attempts that are not settled yet were reserved, oldest first.
    pub(crate) pending: Vec<OffsetDateTime>,
    /// The number of locks since the last quiet day; it determines the length of the next one.
    pub(crate) locks: u16,
    /// The end of the last lock. It is kept after that, because it determines when the whole record expires.
    pub(crate) until: Option<OffsetDateTime>,
}

/// Why an attempt cannot be reserved now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockoutRefusal {
    /// The subject is locked for this time.
    Locked(Duration),
    /// Too many attempts are pending. One more is possible as soon as one of them is settled.
    Busy,
}

/// An attempt that is pending for this time counts as a failure: the process that reserved it has crashed, or the
/// client has disconnected.
pub(crate) const MAX_PENDING_TIME: Duration = Duration::seconds(30);

/// The maximum number of pending attempts of a subject.
pub(crate) const MAX_PENDING: usize = 32;

/// The maximum length of a lock. After this time without a lock or a failure, the record expires.
pub(crate) const MAX_LOCK: Duration = Duration::DAY;

impl LockoutRule {
    /// As many attempts within 15 minutes, and a first lock of 15 minutes.
    pub(crate) const fn attempts(attempts: usize) -> Self {
        Self { attempts, window: Duration::minutes(15), first_lock: Duration::minutes(15) }
    }
}

impl Lockout {
    /// Reserves a password attempt, which is pending until [`Self::fail`] or [`Self::release`] settles it. Returns how
    /// many overdue attempts have become failures by this.
    pub(crate) fn reserve(&mut self, rule: &LockoutRule, now: OffsetDateTime) -> Result<u32, LockoutRefusal> {
        let mut overdue = 0;
        while let Some(reserved_at) = self.pending.first().copied().filter(|&at| now >= at + MAX_PENDING_TIME) {
            // At the moment when it became a failure, not now: a refusal is not stored, and the next one must find the
            // same lock.
            self.fail(rule, reserved_at, reserved_at + MAX_PENDING_TIME);
            overdue += 1;
        }
        if let Some(until) = self.until.filter(|&until| now < until) {
            return Err(LockoutRefusal::Locked(until - now));
        }
        let failures = self.failures.iter().filter(|&&at| self.counts(rule, at, now)).count();
        if self.pending.len() >= rule.attempts.saturating_sub(failures).clamp(1, MAX_PENDING) {
            return Err(LockoutRefusal::Busy);
        }
        self.pending.push(now);
        Ok(overdue)
    }

    /// Counts the attempt that was reserved at `reserved_at` as a failure at `now`. Returns whether it begins a lock.
    pub(crate) fn fail(&mut self, rule: &LockoutRule, reserved_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        self.release(reserved_at);
        if self.is_locked(now) {
            return false;
        }
        self.forget_expired(rule, now);
        self.failures.push(now);
        let begins_lock = self.failures.len() >= rule.attempts;
        if begins_lock {
            let length = rule.first_lock * 2_i32.pow(u32::from(self.locks).min(10));
            self.until = Some(now + length.min(MAX_LOCK));
            self.locks = self.locks.saturating_add(1);
        }
        begins_lock
    }

    /// Removes the attempt that was reserved at `reserved_at`, because the password was right or was not compared.
    pub(crate) fn release(&mut self, reserved_at: OffsetDateTime) {
        if let Some(index) = self.pending.iter().position(|&pending| pending == reserved_at) {
            self.pending.remove(index);
        }
    }

    /// Removes the failures and the locks, because the owner of the account has given the right password. Other
    /// attempts stay pending.
    pub(crate) fn clear(&mut self) {
        *self = Self { pending: std::mem::take(&mut self.pending), ..Self::default() };
    }

    /// Whether attempts are locked out at this time.
    fn is_locked(&self, now: OffsetDateTime) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Removes the failures that do not count toward the next lock, and the locks a day after the last activity.
    fn forget_expired(&mut self, rule: &LockoutRule, now: OffsetDateTime) {
        if self.until.max(self.failures.last().copied()).is_some_and(|last| now >= last + MAX_LOCK) {
            self.clear();
        }
        let failures = std::mem::take(&mut self.failures);
        self.failures = failures.into_iter().filter(|&at| self.counts(rule, at, now)).collect();
    }

    /// Whether the failure at `at` counts toward the next lock. Those before the last lock have led to it, and do not
    /// count again.
    fn counts(&self, rule: &LockoutRule, at: OffsetDateTime, now: OffsetDateTime) -> bool {
        now < at + rule.window && self.until.is_none_or(|until| until <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const T0: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
    const RULE: LockoutRule = LockoutRule::attempts(5);

    fn minutes(minutes: i64) -> OffsetDateTime {
        T0 + Duration::minutes(minutes)
    }

    /// A wrong password at this minute; an error says how many minutes to wait.
    fn fail(lockout: &mut Lockout, minute: i64) -> Result<bool, i64> {
        match lockout.reserve(&RULE, minutes(minute)) {
            Ok(_) => Ok(lockout.fail(&RULE, minutes(minute), minutes(minute))),
            Err(LockoutRefusal::Locked(wait)) => Err(wait.whole_minutes()),
            Err(LockoutRefusal::Busy) => panic!("nothing is pending"),
        }
    }

    /// Six wrong passwords at this minute: how many were allowed, and how many minutes to wait after them.
    fn fail_until_locked(lockout: &mut Lockout, minute: i64) -> (usize, i64) {
        let attempts: Vec<_> = (0..6).map(|_| fail(lockout, minute)).collect();
        let begun: Vec<_> = attempts.iter().flatten().collect();
        assert_eq!(begun.iter().filter(|&&&begins_lock| begins_lock).count(), 1);
        (begun.len(), attempts.iter().find_map(|attempt| attempt.err()).unwrap())
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

    #[test]
    fn failures_outside_the_window_do_not_count() {
        let mut lockout = Lockout::default();
        for minute in [0, 1, 2, 3, 15] {
            assert_eq!(fail(&mut lockout, minute), Ok(false));
        }
        assert_eq!((lockout.failures.len(), lockout.until), (4, None));
        assert_eq!(fail(&mut lockout, 15), Ok(true));
        assert!(lockout.is_locked(minutes(15)) && !lockout.is_locked(minutes(30)));
        assert_eq!(fail(&mut lockout, 15), Err(15));
    }

    #[test]
    fn lockout_resets_a_day_after_the_last_activity() {
        let mut lockout = Lockout::default();
        assert_eq!(fail_until_locked(&mut lockout, 0), (5, 15));
        assert_eq!(fail_until_locked(&mut lockout, 15 + 24 * 60 - 1), (5, 30));
        assert_eq!(fail_until_locked(&mut lockout, 3 * 24 * 60), (5, 15));
        assert_eq!(fail(&mut lockout, 3 * 24 * 60 + 20), Ok(false));
        let quiet_at = 4 * 24 * 60 + 20;
        let next = |minute| fail_until_locked(&mut lockout.clone(), minute).1;
        assert_eq!((next(quiet_at - 1), next(quiet_at)), (30, 15), "the last failure counts as activity");
    }

    #[test]
    fn pending_attempts_are_no_failures_but_limit_further_ones() {
        let mut lockout = Lockout::default();
        for minute in 0..2 {
            assert_eq!(fail(&mut lockout, minute), Ok(false));
        }
        let second = |n| minutes(1) + Duration::seconds(n);
        for n in 0..3 {
            assert_eq!(lockout.reserve(&RULE, second(n)), Ok(0));
        }
        assert_eq!(lockout.reserve(&RULE, second(3)), Err(LockoutRefusal::Busy), "three more failures would lock");
        lockout.release(second(1));
        assert_eq!((lockout.failures.len(), lockout.pending.len()), (2, 2));
        assert_eq!(lockout.reserve(&RULE, second(3)), Ok(0));
        for n in [0, 2] {
            assert!(!lockout.fail(&RULE, second(n), second(4)));
        }
        assert_eq!(lockout.reserve(&RULE, second(5)), Err(LockoutRefusal::Busy));
        assert!(lockout.fail(&RULE, second(3), second(5)));
        assert_eq!(lockout.reserve(&RULE, second(6)), Err(LockoutRefusal::Locked(Duration::seconds(899))));
    }

    #[test]
    fn at_most_32_attempts_are_pending() {
        let mut lockout = Lockout::default();
        let rule = LockoutRule::attempts(50);
        let allowed = (0..40).filter(|&n| lockout.reserve(&rule, T0 + Duration::milliseconds(n)).is_ok()).count();
        assert_eq!(allowed, 32);
        let last = LockoutRule::attempts(1);
        assert_eq!(Lockout::default().reserve(&last, T0), Ok(0), "at least one attempt");
    }

    #[test]
    fn attempt_pending_for_30_seconds_is_a_failure() {
        let mut lockout = Lockout::default();
        for n in 0..5 {
            lockout.reserve(&RULE, T0 + Duration::seconds(n)).unwrap();
        }
        assert_eq!(lockout.reserve(&RULE, T0 + Duration::seconds(29)), Err(LockoutRefusal::Busy));
        assert_eq!(lockout.reserve(&RULE, T0 + Duration::seconds(30)), Err(LockoutRefusal::Busy));
        assert_eq!((lockout.failures.len(), lockout.pending.len()), (1, 4));
        // Each refusal finds the same lock, although none is stored. It ends, and then all five are counted.
        for (second, left) in [(34, 900), (334, 600), (933, 1)] {
            let refused = lockout.clone().reserve(&RULE, T0 + Duration::seconds(second));
            assert_eq!(refused, Err(LockoutRefusal::Locked(Duration::seconds(left))));
        }
        assert_eq!(lockout.reserve(&RULE, T0 + Duration::seconds(934)), Ok(4));
        assert_eq!((lockout.pending.len(), lockout.locks), (1, 1));
    }

    #[test]
    fn correct_password_of_the_account_clears_all_but_pending_attempts() {
        let mut lockout = Lockout::default();
        assert_eq!(fail_until_locked(&mut lockout, 0), (5, 15));
        lockout.reserve(&RULE, minutes(20)).unwrap();
        lockout.clear();
        assert_eq!(lockout, Lockout { pending: vec![minutes(20)], ..Lockout::default() });
    }

    #[test]
    fn concurrent_correct_passwords_leave_no_record() {
        let mut lockout = Lockout::default();
        let allowed: Vec<_> =
            (0..9).map(|n| T0 + Duration::seconds(n)).filter(|&at| lockout.reserve(&RULE, at).is_ok()).collect();
        assert_eq!(allowed.len(), 5);
        allowed.iter().rev().for_each(|&at| lockout.release(at));
        assert_eq!(lockout, Lockout::default());
    }
}
