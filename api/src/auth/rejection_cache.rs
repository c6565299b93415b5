//! Who was refused last for having used up a limit. Who is refused again and again is told so from memory for a
//! moment, and costs the database nothing; all others are judged anew.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{auth::subject_keys::SubjectKeys, domain::policy::RateLimited};

/// Whoever comes to the same place puts out who was there.
const PLACES: usize = 1024;

/// So many operation_problems within so long are enough: what remains of that time is refused unasked.
const OFTEN: u32 = 10;
const MOMENT: Duration = Duration::from_secs(1);

pub(crate) struct RejectionCache(Box<[Mutex<Option<Rejection>>]>);

struct Rejection {
    mark: u64,
    what: RateLimited,
    at: Instant,
    /// How often since when.
    times: u32,
    since: Instant,
}

impl RejectionCache {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }

    /// Refuses who was refused often enough just now.
    pub(crate) fn check(&self, keys: &SubjectKeys) -> Result<(), RateLimited> {
        let now = Instant::now();
        for name in [&keys.here, &keys.network] {
            let place = self.place(name);
            let Some(refused) = place.as_ref().filter(|refused| refused.mark == mark(name)) else { continue };
            let retry_after = refused.what.retry_after - (now - refused.at);
            if refused.times >= OFTEN && now < refused.since + MOMENT && retry_after.is_positive() {
                return Err(RateLimited { retry_after, ..refused.what });
            }
        }
        Ok(())
    }

    /// Whether a error is likely: then nothing is asked that it would make vain. A guess, which decides nothing.
    pub(crate) fn likely(&self, keys: &SubjectKeys) -> bool {
        let is_here = |name| self.place(name).as_ref().is_some_and(|refused| refused.mark == mark(name));
        [&keys.here, &keys.network].into_iter().any(is_here)
    }

    /// Remembers how a name was judged.
    pub(crate) fn note(&self, name: &[u8; 32], judged: Result<(), RateLimited>) -> Result<(), RateLimited> {
        let (mark, at, mut place) = (mark(name), Instant::now(), self.place(name));
        let before = place.take_if(|refused| refused.mark == mark || judged.is_err());
        if let Err(what) = judged {
            let before = before.filter(|before| before.mark == mark && at < before.since + MOMENT);
            let (times, since) = before.map_or((1, at), |before| (before.times + 1, before.since));
            *place = Some(Rejection { mark, what, at, times, since });
        }
        judged
    }

    fn place(&self, name: &[u8; 32]) -> MutexGuard<'_, Option<Rejection>> {
        let place = usize::from(u16::from_be_bytes([name[8], name[9]])) % PLACES;
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// SubjectKeys are keyed hashes, so any part of one is as good as all of it.
fn mark(name: &[u8; 32]) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| name[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Scope;

    fn keys(here: u8, network: u8) -> SubjectKeys {
        SubjectKeys { address: [0; 32], here: [here; 32], network: [network; 32] }
    }

    fn refused(scope: Scope) -> Result<(), RateLimited> {
        Err(RateLimited { scope, retry_after: time::Duration::MINUTE })
    }

    #[test]
    fn a_refusal_is_remembered_for_whom_it_was_and_until_it_is_over() {
        let spent = RejectionCache::new();
        assert!(!spent.likely(&keys(1, 2)));
        let _ = spent.note(&[1; 32], refused(Scope::Address));
        assert!(spent.likely(&keys(1, 3)) && !spent.likely(&keys(4, 2)));
        let _ = spent.note(&[2; 32], refused(Scope::Network));
        assert!(spent.likely(&keys(5, 2)) && !spent.likely(&keys(4, 3)));
        let _ = spent.note(&[1; 32], Ok(()));
        assert!(!spent.likely(&keys(1, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_often_is_refused_unasked_and_nobody_else() {
        let spent = RejectionCache::new();
        for _ in 1..OFTEN {
            let _ = spent.note(&[1; 32], refused(Scope::Address));
            assert_eq!(spent.check(&keys(1, 2)), Ok(()));
        }
        let _ = spent.note(&[1; 32], refused(Scope::Address));
        let RateLimited { scope, retry_after } = spent.check(&keys(1, 2)).unwrap_err();
        assert!(scope == Scope::Address && retry_after <= time::Duration::MINUTE);
        assert_eq!(spent.check(&keys(3, 2)), Ok(()));
        for _ in 0..OFTEN {
            let _ = spent.note(&[2; 32], refused(Scope::Network));
        }
        assert!(spent.check(&keys(3, 2)).is_err(), "all of that network");
        tokio::time::advance(MOMENT).await;
        assert_eq!(spent.check(&keys(1, 2)), Ok(()), "once a moment it is asked");
    }

    #[test]
    fn nobody_is_refused_unasked_for_longer_than_the_limit_lasts() {
        let spent = RejectionCache::new();
        for _ in 0..2 * OFTEN {
            let _ = spent.note(&[1; 32], Err(RateLimited { scope: Scope::Network, retry_after: time::Duration::ZERO }));
        }
        assert_eq!(spent.check(&keys(1, 2)), Ok(()));
    }
}
