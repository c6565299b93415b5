//! Mails that are out and not on record yet. Until they are, nothing else is mailed: a Postgres that can be
//! read but not written (its disk is full, say) would have everything mailed again and again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::store::{End, Store};

/// No more than a worker has in hand.
#[derive(Default)]
pub(crate) struct Debts(Mutex<BTreeSet<Uuid>>);

impl Debts {
    pub(crate) fn add(&self, delivered: Uuid) {
        self.owed().insert(delivered);
    }

    pub(crate) async fn pay(&self, store: &Store) -> Result<()> {
        let owed: Vec<_> = self.owed().iter().copied().collect();
        for id in owed {
            store.record(id, End::Delivered).await.context("what was mailed cannot be put on record")?;
            self.owed().remove(&id);
        }
        Ok(())
    }

    fn owed(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        // Nothing is left half done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
