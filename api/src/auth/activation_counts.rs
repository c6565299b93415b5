//! Counts activations for the limits on wrong codes, which are a share of them: in memory first, so that no activation waits
//! for a row that others write, too. A crash loses those of a few seconds, which only keeps the limits lower.

use std::{
    collections::HashMap,
    future::ready,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    error::Error,
    store::{
        guesses::activations,
        transaction::{Commit, Transaction, Writes},
    },
};

/// How often the counts are added to the database.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// The activations of each network that the database does not have yet.
#[derive(Default)]
pub(crate) struct ActivationCounts(Mutex<HashMap<[u8; 32], i32>>);

impl ActivationCounts {
    /// Counts an activation by this network.
    pub(crate) fn add(&self, network: [u8; 32]) {
        *self.lock().entry(network).or_default() += 1;
    }

    fn take(&self) -> HashMap<[u8; 32], i32> {
        mem::take(&mut self.lock())
    }

    fn put_back(&self, counts: HashMap<[u8; 32], i32>) {
        let mut all = self.lock();
        for (network, count) in counts {
            *all.entry(network).or_default() += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the counts to the database every few seconds until `stop` is cancelled. The caller [adds](flush) the last ones.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let mut is_failing = false;
    while stop.run_until_cancelled(tokio::time::sleep(FLUSH_INTERVAL)).await.is_some() {
        let flushed = flush(&app).await;
        let failed_before = mem::replace(&mut is_failing, flushed.is_err());
        if let Err(error) = flushed
            && !failed_before
        {
            tracing::warn!(%error, "counting activations failed; retrying");
        }
    }
    Ok(())
}

/// Adds the counts to the database.
pub(crate) async fn flush(app: &App) -> Result<(), Error> {
    let counts = app.activation_counts.take();
    if counts.is_empty() {
        return Ok(());
    }
    let added = async {
        let connection = app.store.connection().await?;
        let mut writes = Writes::default();
        activations::add(&mut writes, &counts);
        Transaction::in_one_round_trip(&connection, Commit::Asynchronous, writes, ready(Ok(()))).await?;
        Ok::<_, Error>(())
    };
    let added = added.await;
    if added.is_err() {
        // Should they have been committed after all, the limits are a little higher for a day.
        app.activation_counts.put_back(counts);
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_are_kept_until_the_database_has_them() {
        let app = crate::app::tests::app();
        for network in [1, 2, 1] {
            app.activation_counts.add([network; 32]);
        }
        assert!(flush(&app).await.is_err(), "there is no database");
        app.activation_counts.add([1; 32]);
        assert_eq!(app.activation_counts.take(), [([1; 32], 3), ([2; 32], 1)].into());
        assert!(flush(&app).await.is_ok(), "nothing is left to add");
    }
}
