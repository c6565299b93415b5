//! Remembers recent rate-limit rejections in memory, so that a client that keeps retrying costs no database query.
//!
//! A subject that was rejected [`REPEATED`] times within [`WINDOW`] is rejected from memory for the rest of that
//! window. All other requests are checked against the database.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::{policy::RateLimited, subject_keys::SubjectKeys};

/// The size of the cache. A rejection replaces the one that was in the same slot.
const SLOTS: usize = 1024;

/// After so many rejections within [`WINDOW`], a subject is rejected without a query until that window ends.
const REPEATED: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// A fixed-size cache of rejections by subject key.
pub(crate) struct RejectionCache(Box<[Mutex<Option<Rejection>>]>);

/// The last rejection of one subject.
struct Rejection {
    /// Identifies the subject.
    tag: u64,
    limit: RateLimited,
    rejected_at: Instant,
    /// How many rejections there were since `window_start`.
    count: u32,
    window_start: Instant,
}

impl RejectionCache {
    /// Creates an empty cache.
    pub(crate) fn new() -> Self {
        Self((0..SLOTS).map(|_| Mutex::default()).collect())
    }

    /// Rejects a request from memory if one of its subjects was rejected often enough within the current window.
    pub(crate) fn check(&self, keys: &SubjectKeys) -> Result<(), RateLimited> {
        let now = Instant::now();
        for key in [&keys.mailbox_and_network, &keys.network] {
            let slot = self.slot(key);
            let Some(rejection) = slot.as_ref().filter(|rejection| rejection.tag == tag(key)) else { continue };
            let retry_after = rejection.limit.retry_after - (now - rejection.rejected_at);
            let in_window = now < rejection.window_start + WINDOW;
            if rejection.count >= REPEATED && in_window && retry_after.is_positive() {
                return Err(RateLimited { retry_after, ..rejection.limit });
            }
        }
        Ok(())
    }

    /// Whether one of the subjects was rejected last time, so that another rejection is likely and queries that it
    /// would make useless should wait. Only a hint: it never rejects a request.
    pub(crate) fn is_rejection_likely(&self, keys: &SubjectKeys) -> bool {
        let is_cached = |key| self.slot(key).as_ref().is_some_and(|rejection| rejection.tag == tag(key));
        [&keys.mailbox_and_network, &keys.network].into_iter().any(is_cached)
    }

    /// Records the result of a check against the database for one subject, and returns it.
    pub(crate) fn record(&self, key: &[u8; 32], checked: Result<(), RateLimited>) -> Result<(), RateLimited> {
        let tag = tag(key);
        let now = Instant::now();
        let mut slot = self.slot(key);
        let previous = slot.take_if(|rejection| rejection.tag == tag || checked.is_err());
        if let Err(limit) = checked {
            let same_window = previous.filter(|previous| previous.tag == tag && now < previous.window_start + WINDOW);
            let (count, window_start) =
                same_window.map_or((1, now), |previous| (previous.count + 1, previous.window_start));
            *slot = Some(Rejection { tag, limit, rejected_at: now, count, window_start });
        }
        checked
    }

    fn slot(&self, key: &[u8; 32]) -> MutexGuard<'_, Option<Rejection>> {
        let slot = usize::from(u16::from_be_bytes([key[8], key[9]])) % SLOTS;
        self.0[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Subject keys are keyed hashes, so 64 bits of one identify it as well as all of it.
fn tag(key: &[u8; 32]) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| key[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Scope;

    fn keys(mailbox_and_network: u8, network: u8) -> SubjectKeys {
        SubjectKeys {
            email: [0; 32],
            email_and_network: [0; 32],
            mailbox: [0; 32],
            mailbox_and_network: [mailbox_and_network; 32],
            email_and_surroundings: None,
            network: [network; 32],
            password_failures: [0; 32],
            unlock_cookie: None,
        }
    }

    fn rejected(scope: Scope) -> Result<(), RateLimited> {
        Err(RateLimited { scope, retry_after: time::Duration::MINUTE })
    }

    #[test]
    fn rejection_is_likely_for_its_subject_until_accepted() {
        let cache = RejectionCache::new();
        assert!(!cache.is_rejection_likely(&keys(1, 2)));
        let _ = cache.record(&[1; 32], rejected(Scope::Address));
        assert!(cache.is_rejection_likely(&keys(1, 3)) && !cache.is_rejection_likely(&keys(4, 2)));
        let _ = cache.record(&[2; 32], rejected(Scope::Network));
        assert!(cache.is_rejection_likely(&keys(5, 2)) && !cache.is_rejection_likely(&keys(4, 3)));
        let _ = cache.record(&[1; 32], Ok(()));
        assert!(!cache.is_rejection_likely(&keys(1, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_rejections_are_answered_from_memory_for_one_window() {
        let cache = RejectionCache::new();
        for _ in 1..REPEATED {
            let _ = cache.record(&[1; 32], rejected(Scope::Address));
            assert_eq!(cache.check(&keys(1, 2)), Ok(()));
        }
        let _ = cache.record(&[1; 32], rejected(Scope::Address));
        let RateLimited { scope, retry_after } = cache.check(&keys(1, 2)).unwrap_err();
        assert!(scope == Scope::Address && retry_after <= time::Duration::MINUTE);
        assert_eq!(cache.check(&keys(3, 2)), Ok(()));
        for _ in 0..REPEATED {
            let _ = cache.record(&[2; 32], rejected(Scope::Network));
        }
        assert!(cache.check(&keys(3, 2)).is_err(), "the whole network is rejected");
        tokio::time::advance(WINDOW).await;
        assert_eq!(cache.check(&keys(1, 2)), Ok(()), "after each window the database is asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn time_since_the_rejection_is_no_longer_waited_for() {
        let cache = RejectionCache::new();
        for _ in 0..REPEATED {
            let _ = cache.record(&[1; 32], rejected(Scope::Address));
        }
        tokio::time::advance(WINDOW / 4).await;
        let RateLimited { retry_after, .. } = cache.check(&keys(1, 2)).unwrap_err();
        assert_eq!(retry_after, time::Duration::MINUTE - WINDOW / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn rejections_of_an_earlier_window_do_not_count() {
        let cache = RejectionCache::new();
        let reject = |times| {
            for _ in 0..times {
                let _ = cache.record(&[1; 32], rejected(Scope::Address));
            }
        };
        reject(REPEATED - 1);
        tokio::time::advance(WINDOW).await;
        reject(REPEATED - 1);
        assert_eq!(cache.check(&keys(1, 2)), Ok(()));
        tokio::time::advance(WINDOW - Duration::from_nanos(1)).await;
        reject(1);
        assert!(cache.check(&keys(1, 2)).is_err(), "the tenth within one window");
    }

    #[test]
    fn subjects_of_one_slot_are_told_apart() {
        let cache = RejectionCache::new();
        let mut same_slot = [1; 32];
        same_slot[0] = 0;
        for _ in 0..REPEATED {
            let _ = cache.record(&[1; 32], rejected(Scope::Address));
        }
        let other = SubjectKeys { mailbox_and_network: same_slot, ..keys(1, 2) };
        assert!(cache.check(&other).is_ok() && !cache.is_rejection_likely(&other));
        let _ = cache.record(&same_slot, Ok(()));
        assert!(cache.check(&keys(1, 2)).is_err(), "an accepted request forgets its own subject only");
        let _ = cache.record(&same_slot, rejected(Scope::Address));
        assert!(cache.check(&other).is_ok(), "a rejection that replaces another is the first of its own");
    }

    #[test]
    fn subjects_of_different_slots_do_not_replace_each_other() {
        let cache = RejectionCache::new();
        for key in [1, 2, 0xff] {
            let _ = cache.record(&[key; 32], rejected(Scope::Address));
        }
        assert!([1, 2, 0xff].into_iter().all(|key| cache.is_rejection_likely(&keys(key, 0))));
    }

    #[test]
    fn memory_never_rejects_longer_than_the_limit() {
        let cache = RejectionCache::new();
        for _ in 0..2 * REPEATED {
            let limit = RateLimited { scope: Scope::Network, retry_after: time::Duration::ZERO };
            let _ = cache.record(&[1; 32], Err(limit));
        }
        assert_eq!(cache.check(&keys(1, 2)), Ok(()));
    }
}
