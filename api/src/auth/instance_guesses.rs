//! Cached totals of the wrong guesses and the activations of the instance: one query for all requests of a moment.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::domain::rate_limit::guess_shares::InstanceTotals;

/// For how long totals are used without another query.
const TTL: Duration = Duration::from_secs(1);

/// The totals, as this process has read them last.
#[derive(Default)]
pub(crate) struct InstanceGuesses(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    totals: InstanceTotals,
    /// When another request will read them again; at once if there is no time.
    refresh_at: Option<Instant>,
}

impl InstanceGuesses {
    /// Returns the totals from memory, or by `query` if they are too old. While one request reads them, others use the old
    /// ones, so they are about two seconds old at most while the database responds.
    ///
    /// The argument of `query` is the time before which all guesses are settled: it need not search them.
    pub(crate) async fn read<E, F: Future<Output = Result<InstanceTotals, E>>>(
        &self,
        query: impl FnOnce(Option<OffsetDateTime>) -> F,
    ) -> Result<InstanceTotals, E> {
        let unsettled_since = match self.cached() {
            Ok(totals) => return Ok(totals),
            Err(unsettled_since) => unsettled_since,
        };
        let totals = query(unsettled_since).await?;
        *self.lock() = Cached { totals: totals.clone(), refresh_at: Some(Instant::now() + TTL) };
        Ok(totals)
    }

    /// Makes the next request read the totals again.
    pub(crate) fn forget(&self) {
        self.lock().refresh_at = None;
    }

    /// The totals; or what the caller needs to read them.
    fn cached(&self) -> Result<InstanceTotals, Option<OffsetDateTime>> {
        let now = Instant::now();
        let mut cached = self.lock();
        if cached.refresh_at.is_some_and(|refresh_at| now < refresh_at) {
            return Ok(cached.totals.clone());
        }
        // The caller reads them. Should it fail, another request does after this time.
        cached.refresh_at = cached.refresh_at.map(|_| now + TTL);
        Err(cached.totals.unsettled_since)
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    async fn read(cache: &InstanceGuesses, activations: u32) -> u32 {
        let query = async |_| Ok::<_, Infallible>(InstanceTotals { activations, ..InstanceTotals::default() });
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
        let failed = cache.read(async |_| {
            assert_eq!(read(&cache, 2).await, 1);
            Err(())
        });
        assert_eq!(failed.await, Err(()));
        assert_eq!(read(&cache, 3).await, 1);
        tokio::time::advance(TTL).await;
        assert_eq!(read(&cache, 4).await, 4);
    }

    #[tokio::test]
    async fn settled_guesses_are_not_searched_again() {
        let cache = InstanceGuesses::default();
        let read = async |expected: Option<OffsetDateTime>, result: Result<InstanceTotals, ()>| {
            cache.forget();
            let query = async |unsettled_since| {
                assert_eq!(unsettled_since, expected);
                result
            };
            let _ = cache.read(query).await;
        };
        let totals = InstanceTotals { unsettled_since: Some(OffsetDateTime::UNIX_EPOCH), ..InstanceTotals::default() };
        read(None, Err(())).await;
        read(None, Ok(totals.clone())).await;
        read(totals.unsettled_since, Err(())).await;
        read(totals.unsettled_since, Ok(totals.clone())).await;
    }
}
