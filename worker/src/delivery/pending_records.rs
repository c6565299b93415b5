//! Counts the mails that are out and cannot be put on record. While there are any, nothing else is mailed: with
//! a Postgres that can be read and not written (its disk is full, say), none of it could be recorded either.

use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Default)]
pub(crate) struct PendingRecords(AtomicUsize);

/// One mail that is owed its record, until this is dropped.
pub(crate) struct PendingRecord<'a>(&'a PendingRecords);

impl PendingRecords {
    pub(crate) fn owe(&self) -> PendingRecord<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        PendingRecord(self)
    }

    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for PendingRecord<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
