//! How often a wrong password may be given before the next one is not even looked at.

use time::{Duration, OffsetDateTime};

/// What failed lately, and what it led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lockout {
    /// The failures that count toward the next lock, or led to the one that stands; oldest first.
    pub(crate) failures: Vec<OffsetDateTime>,
    /// How many locks there have been, until it was quiet.
    pub(crate) locks: u16,
    /// The end of the last lock. It is kept when that is over, for it tells when all of this is.
    pub(crate) until: Option<OffsetDateTime>,
}

/// Failures older than this do not count.
pub(crate) const WINDOW: Duration = Duration::minutes(15);

/// Networks that an account was entered from keep their way in for so long, whatever others do; and those that
/// asked for a code of the address, for so long.
pub(crate) const REMEMBERED: Duration = Duration::days(90);
pub(crate) const ASKED_FOR_A_CODE: Duration = Duration::DAY;

/// The first lock; each further one is twice as long.
pub(crate) const FIRST: Duration = Duration::minutes(15);
pub(crate) const LONGEST: Duration = Duration::DAY;

impl Lockout {
    /// Takes the right to try a password, as a failure until it is known to be right. An error says how
    /// long to wait.
    pub(crate) fn reserve(&mut self, limit: usize, now: OffsetDateTime) -> Result<(), Duration> {
        if let Some(until) = self.until.filter(|&until| now < until) {
            return Err(until - now);
        }
        if self.last().is_some_and(|last| now >= last + LONGEST) {
            *self = Self::default();
        }
        // Those before a lock have led to it.
        let over = self.until;
        self.failures.retain(|&at| now < at + WINDOW && over.is_none_or(|until| until <= at));
        self.failures.push(now);
        if self.failures.len() >= limit {
            let length = FIRST * 2_i32.pow(u32::from(self.locks).min(10));
            self.until = Some(now + length.min(LONGEST));
            self.locks = self.locks.saturating_add(1);
        }
        Ok(())
    }

    /// It was no failure. A lock that it led to is one no more.
    pub(crate) fn give_back(&mut self, limit: usize, at: OffsetDateTime) {
        let Some(own) = self.failures.iter().position(|&failure| failure == at) else { return };
        self.failures.remove(own);
        if self.until.is_some_and(|until| at < until) && self.failures.len() < limit {
            self.locks = self.locks.saturating_sub(1);
            // What was before it is not forgotten sooner for it, and the other failures still count.
            self.until = (self.locks > 0).then(|| self.failures.first().map_or(at, |&first| first.min(at)));
        }
        if self.locks > 0 && self.until.is_none() && self.failures.is_empty() {
            // A version before this one threw the end of the lock away. Without any time it would stay for ever.
            self.until = Some(at);
        }
    }

    /// When something was against it last: a day after that, nothing is.
    fn last(&self) -> Option<OffsetDateTime> {
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

    /// Tries five times at this minute: how many were let through, and how long to wait then.
    fn five(lockout: &mut Lockout, minute: i64) -> (usize, i64) {
        let tried: Vec<_> = (0..6).map(|_| lockout.reserve(5, minutes(minute))).collect();
        let wait = tried.iter().find_map(|tried| tried.err()).unwrap();
        (tried.iter().filter(|tried| tried.is_ok()).count(), wait.whole_minutes())
    }

    #[test]
    fn five_failures_lock_for_a_quarter_of_an_hour_then_twice_as_long_up_to_a_day() {
        let mut lockout = Lockout::default();
        let (mut at, mut waits) = (0, vec![]);
        for _ in 0..9 {
            let (tried, wait) = five(&mut lockout, at);
            assert_eq!(tried, 5);
            waits.push(wait);
            at += wait;
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
    }

    /// As versions before V8 left them: the end of the lock was thrown away when it was over.
    #[test]
    fn no_row_is_left_without_any_time_to_judge_it_by() {
        let mut lockout = Lockout { failures: vec![T0], locks: 1, until: None };
        lockout.reserve(5, minutes(20)).unwrap();
        lockout.give_back(5, minutes(20));
        assert_eq!((lockout.locks, lockout.last()), (1, Some(minutes(20))));
    }

    #[test]
    fn failures_that_are_old_do_not_count() {
        let mut lockout = Lockout::default();
        for minute in [0, 1, 2, 3] {
            lockout.reserve(5, minutes(minute)).unwrap();
        }
        lockout.reserve(5, minutes(15)).unwrap();
        assert_eq!((lockout.failures.len(), lockout.until), (4, None));
        lockout.reserve(5, minutes(15)).unwrap();
        assert!(lockout.reserve(5, minutes(15)).is_err());
    }

    #[test]
    fn a_day_after_the_last_lock_it_begins_anew() {
        let mut lockout = Lockout::default();
        assert_eq!(five(&mut lockout, 0), (5, 15));
        assert_eq!(five(&mut lockout, 15 + 24 * 60 - 1), (5, 30));
        assert_eq!(five(&mut lockout, 3 * 24 * 60), (5, 15));
    }

    #[test]
    fn the_right_password_takes_back_its_own_failure_and_the_lock_it_led_to() {
        let mut lockout = Lockout::default();
        for minute in 0..5 {
            lockout.reserve(5, minutes(minute)).unwrap();
        }
        assert!(lockout.reserve(5, minutes(5)).is_err(), "until it is known to be right, it counts");
        lockout.give_back(5, minutes(2));
        assert_eq!((lockout.failures.len(), lockout.locks, lockout.until), (4, 0, None));
        lockout.reserve(5, minutes(5)).unwrap();
        assert_eq!(lockout.until, Some(minutes(20)));
    }

    #[test]
    fn what_there_was_is_remembered_for_a_day_after_the_last_lock_or_failure() {
        let mut lockout = Lockout::default();
        assert_eq!(five(&mut lockout, 0), (5, 15));
        lockout.reserve(5, minutes(20)).unwrap();
        assert_eq!((lockout.failures.len(), lockout.locks, lockout.until), (1, 1, Some(minutes(15))));
        let quiet_at = 20 + 24 * 60;
        let next = |minute| five(&mut lockout.clone(), minute).1;
        assert_eq!((next(quiet_at - 1), next(quiet_at)), (30, 15));
    }

    #[test]
    fn a_right_password_takes_back_its_own_lock_and_none_before() {
        let mut lockout = Lockout::default();
        assert_eq!(five(&mut lockout, 0), (5, 15));
        for minute in 20..25 {
            lockout.reserve(5, minutes(minute)).unwrap();
        }
        assert_eq!((lockout.locks, lockout.until), (2, Some(minutes(54))));
        lockout.give_back(5, minutes(24));
        assert_eq!((lockout.locks, lockout.failures.len()), (1, 4));
        lockout.reserve(5, minutes(25)).unwrap();
        assert_eq!((lockout.locks, lockout.until), (2, Some(minutes(55))), "the other four still count");
        let mut lockout = Lockout::default();
        assert_eq!(five(&mut lockout, 0), (5, 15));
        lockout.reserve(5, minutes(20)).unwrap();
        lockout.give_back(5, minutes(20));
        assert_eq!((lockout.locks, lockout.until), (1, Some(minutes(15))), "one that is over stays");
    }

    #[test]
    fn many_at_once_that_are_right_leave_nothing_behind() {
        let mut lockout = Lockout::default();
        let tried: Vec<_> =
            (0..9).map(|n| T0 + Duration::seconds(n)).filter(|&at| lockout.reserve(5, at).is_ok()).collect();
        assert_eq!(tried.len(), 5);
        tried.iter().rev().for_each(|&at| lockout.give_back(5, at));
        assert_eq!(lockout, Lockout::default());
    }
}
