//! Cached totals of the wrong guesses and the activations of the instance: one query for all requests of a moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::rate_limit::guess_shares::InstanceTotals;

/// For how long totals are used without another query.
const TTL: Duration = Duration::from_secs(1);

/// The totals, as this process has read them last.
#[derive(Default)]
pub(crate) struct InstanceGuesses(Mutex<Option<Cached>>);

struct Cached {
    totals: InstanceTotals,
    /// When another request will read them again.
    refresh_at: Instant,
}

impl InstanceGuesses {
    /// Returns the totals from memory, or by `query` if they are too old. While one request reads them, others use the old
    /// ones, so they are about two seconds old at most while the database responds.
    pub(crate) async fn read<E>(
        &self,
        query: impl Future<Output = Result<InstanceTotals, E>>,
    ) -> Result<InstanceTotals, E> {
        if let Some(totals) = self.cached() {
            return Ok(totals);
        }
        let totals = query.await?;
        *self.lock() = Some(Cached { totals: totals.clone(), refresh_at: Instant::now() + TTL });
        Ok(totals)
    }

    /// Makes the next request read the totals again.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// The totals, unless the caller has to read them.
    fn cached(&self) -> Option<InstanceTotals> {
        let now = Instant::now();
        let mut cached = self.lock();
        let cached = cached.as_mut()?;
        if now >= cached.refresh_at {
            // The caller reads them. Should it fail, another request does after this time.
            cached.refresh_at = now + TTL;
            return None;
        }
        Some(cached.totals.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cached>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn read(cache: &InstanceGuesses, activations: u32) -> u32 {
        let query = async { Ok::<_, Infallible>(InstanceTotals { activations, ..InstanceTotals::default() }) };
        cache.read(query).await.unwrap().activations
    }

    #[tokio::test(start_paused = true)]
    async fn totals_are_read_once_per_second() {
        let cache = InstanceGuesses::default();
        assert_eq!([read(&cache, 1).await, read(&cache, 2).await], [1, 1]);
        tokio::time::advance(TTL).await;
        assert_eq!([read(&cache, 3).await, read(&cache, 4).await], [3, 3]);
        cache.forget();
        assert_eq!(read(&cache, 5).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_refreshes_while_others_use_old_totals() {
        let cache = InstanceGuesses::default();
        read(&cache, 1).await;
        tokio::time::advance(TTL).await;
        let failed = cache.read(async {
            assert_eq!(read(&cache, 2).await, 1);
            Err(())
        });
        assert_eq!(failed.await, Err(()));
        assert_eq!(read(&cache, 3).await, 1);
        tokio::time::advance(TTL).await;
        assert_eq!(read(&cache, 4).await, 4);
    }
}
