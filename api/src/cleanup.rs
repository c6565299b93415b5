//! Removes what is over, a little at a time. Nothing waits for it, and no rule misses what it takes.

mod batch;

use std::time::Duration;

use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

use self::batch::Removed;
use crate::{
    domain::{policy::Policy, retention::Retention},
    error::Error,
    metrics::Metrics,
    store::Store,
};

/// How often it is done, and by which rules.
pub(crate) struct Cleanup {
    pub(crate) every: Duration,
    pub(crate) retention: Retention,
    pub(crate) policy: Policy,
    pub(crate) metrics: Metrics,
}

/// Rows of one kind that are taken at once: whoever wants one of them back waits no longer than for these.
const ROWS: u16 = 200;

/// Others come between two batches.
const BREATH: Duration = Duration::from_millis(100);

/// So many in a row, then it says what it did.
const MOST_BATCHES: u32 = 300;

/// A database that says nothing is one that is away.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(7);

/// Runs until told to stop. What it is at then is rolled back, and left to others.
pub(crate) async fn run(store: Store, work: Cleanup, stop: CancellationToken) -> anyhow::Result<()> {
    let work_on = async {
        let (mut pause, mut failing, mut rows) = (work.every, false, ROWS);
        loop {
            tokio::time::sleep(pause).await;
            let (removed, ended) = work.round(&store, rows).await;
            // What takes too long may have too much hanging on it: so much of it, then, that it can be done.
            rows = if ended.is_ok() { ROWS.min(rows * 2) } else { 1.max(rows / 2) };
            removed.count(&work.metrics.removed);
            let told = removed.told();
            if !told.is_empty() {
                tracing::info!(rows = told, "removed what was over");
            }
            pause = if ended.is_ok() && removed.may_be_more { BREATH } else { work.every };
            let failed = std::mem::replace(&mut failing, ended.is_err());
            if ended.is_err() {
                work.metrics.postgres_errors.add(1);
            }
            if let Err(error) = ended
                && !failed
            {
                // Once an outage.
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "what is over stays for now");
            }
        }
    };
    tokio::select! {
        () = work_on => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}

impl Cleanup {
    /// Batch after batch, as long as they are full.
    async fn round(&self, store: &Store, rows: u16) -> (Removed, Result<(), Error>) {
        let mut all = Removed::default();
        for _ in 0..MOST_BATCHES {
            match self.batch(store, rows).await {
                Ok(batch) => all.add(batch),
                Err(error) => return (all, Err(error)),
            }
            if !all.may_be_more {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
        (all, Ok(()))
    }

    async fn batch(&self, store: &Store, rows: u16) -> Result<Removed, Error> {
        // The connection is anybody's between two batches.
        let work = async { batch::remove(self, rows, &store.connection().await?).await };
        let late = |_| Error::Unavailable(anyhow!("Postgres did not answer within {DATABASE_TIMEOUT:?}"));
        tokio::time::timeout(DATABASE_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }
}
