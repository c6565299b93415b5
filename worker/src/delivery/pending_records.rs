//! Counts the mails that were sent but whose delivery is not recorded yet.
//!
//! While there are any, no other mail is sent: if Postgres can be read but not written (its disk is full, for example),
//! the delivery of another mail could not be recorded either.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of sent mails that are not recorded.
#[derive(Default)]
pub(crate) struct PendingRecords(AtomicUsize);

/// Counts one sent mail as not recorded until it is dropped.
#[must_use = "the mail counts as recorded when this is dropped"]
pub(crate) struct PendingRecord<'a>(&'a PendingRecords);

impl PendingRecords {
    /// Counts one more mail as sent and not recorded.
    pub(crate) fn add(&self) -> PendingRecord<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        PendingRecord(self)
    }

    /// Whether any sent mail is not recorded yet.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for PendingRecord<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
