//! Who was refused last for having used up a limit. Who is refused again and again is told so from memory for a
//! moment, and costs the database nothing; all others are judged anew.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{auth::subject_keys::Names, domain::policy::TooMany};

/// Whoever comes to the same place puts out who was there.
const PLACES: usize = 1024;

/// So many refusals within so long are enough: what remains of that time is refused unasked.
const OFTEN: u32 = 10;
const MOMENT: Duration = Duration::from_secs(1);

pub(crate) struct Spent(Box<[Mutex<Option<Refused>>]>);

struct Refused {
    mark: u64,
    what: TooMany,
    at: Instant,
    /// How often since when.
    times: u32,
    since: Instant,
}

impl Spent {
    pub(crate) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }

    /// Refuses who was refused often enough just now.
    pub(crate) fn check(&self, names: &Names) -> Result<(), TooMany> {
        let now = Instant::now();
        for name in [&names.here, &names.network] {
            let place = self.place(name);
            let Some(refused) = place.as_ref().filter(|refused| refused.mark == mark(name)) else { continue };
            let retry_after = refused.what.retry_after - (now - refused.at);
            if refused.times >= OFTEN && now < refused.since + MOMENT && retry_after.is_positive() {
                return Err(TooMany { retry_after, ..refused.what });
            }
        }
        Ok(())
    }

    /// Whether a refusal is likely: then nothing is asked that it would make vain. A guess, which decides nothing.
    pub(crate) fn likely(&self, names: &Names) -> bool {
        let is_here = |name| self.place(name).as_ref().is_some_and(|refused| refused.mark == mark(name));
        [&names.here, &names.network].into_iter().any(is_here)
    }

    /// Remembers how a name was judged.
    pub(crate) fn note(&self, name: &[u8; 32], judged: Result<(), TooMany>) -> Result<(), TooMany> {
        let (mark, at, mut place) = (mark(name), Instant::now(), self.place(name));
        let before = place.take_if(|refused| refused.mark == mark || judged.is_err());
        if let Err(what) = judged {
            let before = before.filter(|before| before.mark == mark && at < before.since + MOMENT);
            let (times, since) = before.map_or((1, at), |before| (before.times + 1, before.since));
            *place = Some(Refused { mark, what, at, times, since });
        }
        judged
    }

    fn place(&self, name: &[u8; 32]) -> MutexGuard<'_, Option<Refused>> {
        let place = usize::from(u16::from_be_bytes([name[8], name[9]])) % PLACES;
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names are keyed hashes, so any part of one is as good as all of it.
fn mark(name: &[u8; 32]) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|i| name[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Scope;

    fn names(here: u8, network: u8) -> Names {
        Names { address: [0; 32], here: [here; 32], network: [network; 32] }
    }

    fn refused(scope: Scope) -> Result<(), TooMany> {
        Err(TooMany { scope, retry_after: time::Duration::MINUTE })
    }

    #[test]
    fn a_refusal_is_remembered_for_whom_it_was_and_until_it_is_over() {
        let spent = Spent::new();
        assert!(!spent.likely(&names(1, 2)));
        let _ = spent.note(&[1; 32], refused(Scope::Address));
        assert!(spent.likely(&names(1, 3)) && !spent.likely(&names(4, 2)));
        let _ = spent.note(&[2; 32], refused(Scope::Network));
        assert!(spent.likely(&names(5, 2)) && !spent.likely(&names(4, 3)));
        let _ = spent.note(&[1; 32], Ok(()));
        assert!(!spent.likely(&names(1, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_often_is_refused_unasked_and_nobody_else() {
        let spent = Spent::new();
        for _ in 1..OFTEN {
            let _ = spent.note(&[1; 32], refused(Scope::Address));
            assert_eq!(spent.check(&names(1, 2)), Ok(()));
        }
        let _ = spent.note(&[1; 32], refused(Scope::Address));
        let TooMany { scope, retry_after } = spent.check(&names(1, 2)).unwrap_err();
        assert!(scope == Scope::Address && retry_after <= time::Duration::MINUTE);
        assert_eq!(spent.check(&names(3, 2)), Ok(()));
        for _ in 0..OFTEN {
            let _ = spent.note(&[2; 32], refused(Scope::Network));
        }
        assert!(spent.check(&names(3, 2)).is_err(), "all of that network");
        tokio::time::advance(MOMENT).await;
        assert_eq!(spent.check(&names(1, 2)), Ok(()), "once a moment it is asked");
    }

    #[test]
    fn nobody_is_refused_unasked_for_longer_than_the_limit_lasts() {
        let spent = Spent::new();
        for _ in 0..2 * OFTEN {
            let _ = spent.note(&[1; 32], Err(TooMany { scope: Scope::Network, retry_after: time::Duration::ZERO }));
        }
        assert_eq!(spent.check(&names(1, 2)), Ok(()));
    }
}
