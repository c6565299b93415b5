//! The cleanup job: deletes expired rows in small batches. No rule depends on when a row is deleted, and requests do
//! not wait for the job. Its setting and its metric are named housekeeping.

mod batch;

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::batch::Deleted;
use crate::{
    domain::{policy::Policy, retention::Retention},
    error::Error,
    metrics::Metrics,
    store::{self, Store},
};

/// The settings of the job.
pub(crate) struct Cleanup {
    /// The interval from one run to the next.
    pub(crate) interval: Duration,
    /// The database has no autovacuum.
    pub(crate) vacuums: bool,
    pub(crate) retention: Retention,
    pub(crate) policy: Policy,
    pub(crate) metrics: Metrics,
}

/// The maximum batch size: rows that each statement deletes. A request that needs one of them waits no longer than for
/// one batch.
const MAX_ROWS: u16 = 200;

/// The pause between two batches is as long as the last one took, but at least this long: cleanup takes half of a connection
/// at most, and keeps up with any rate of inserts.
const MIN_PAUSE_BETWEEN_BATCHES: Duration = Duration::from_millis(5);

/// After this many batches in a row, the job logs what it deleted.
const MAX_BATCHES_PER_ROUND: u32 = 300;

/// A database that does not answer within this time counts as unavailable.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(7);

/// Runs until `stop`. The batch in progress is then rolled back; this or another process deletes its rows later.
pub(crate) async fn run(store: Store, cleanup: Cleanup, stop: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = run_rounds(&store, &cleanup) => Ok(()),
        () = stop.cancelled() => Ok(()),
    }
}

async fn run_rounds(store: &Store, cleanup: &Cleanup) {
    let mut pause = cleanup.interval;
    let mut failing = false;
    let mut max_rows = MAX_ROWS;
    loop {
        tokio::time::sleep(pause).await;
        let (deleted, result) = cleanup.round(store, max_rows).await;
        // A batch that times out may delete too many dependent rows: halve it until it succeeds, then grow again.
        max_rows = if result.is_ok() { MAX_ROWS.min(max_rows * 2) } else { 1.max(max_rows / 2) };
        deleted.count(&cleanup.metrics.removed);
        if !deleted.is_empty() {
            tracing::info!(rows = deleted.summary(), "deleted expired rows");
        }
        pause = if result.is_ok() && deleted.may_be_more { MIN_PAUSE_BETWEEN_BATCHES } else { cleanup.interval };
        let result = if cleanup.vacuums { result.and(vacuum(store).await) } else { result };
        let failed_before = std::mem::replace(&mut failing, result.is_err());
        if let Err(error) = result {
            cleanup.metrics.postgres_errors.inc();
            // Once per outage.
            if !failed_before {
                tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "cleanup failed; retrying later");
            }
        }
    }
}

/// Vacuums and analyzes one table after the other. Requests have the connection meanwhile, if there is only one.
async fn vacuum(store: &Store) -> Result<(), Error> {
    for statement in store::cleanup::vacuum::statements() {
        store::cleanup::vacuum::execute(&store.connection().await?, &statement).await?;
    }
    Ok(())
}

impl Cleanup {
    /// Deletes batch after batch while they are full. On an error, returns what was deleted before it, too.
    async fn round(&self, store: &Store, max_rows: u16) -> (Deleted, Result<(), Error>) {
        let mut total = Deleted::default();
        for _ in 0..MAX_BATCHES_PER_ROUND {
            let began = Instant::now();
            match self.batch(store, max_rows).await {
                Ok(batch) => total.add(batch),
                Err(error) => return (total, Err(error)),
            }
            if !total.may_be_more {
                break;
            }
            tokio::time::sleep(began.elapsed().max(MIN_PAUSE_BETWEEN_BATCHES)).await;
        }
        (total, Ok(()))
    }

    async fn batch(&self, store: &Store, max_rows: u16) -> Result<Deleted, Error> {
        // The connection is returned to the pool between two batches.
        let work = async { batch::delete_expired(self, max_rows, &store.connection().await?).await };
        let timed_out = |_| Error::Unavailable(anyhow!("Postgres did not answer within {DATABASE_TIMEOUT:?}"));
        tokio::time::timeout(DATABASE_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
    }
}
