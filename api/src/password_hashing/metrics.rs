//! What the pool counts about itself.

use std::{sync::Arc, time::Duration};

use shared::telemetry::metrics::{Family, Number, Registry, histogram::Histogram, names};

pub(crate) struct HashMetrics {
    took: Arc<Histogram>,
    waited: Arc<Histogram>,
    /// Each thread holds one.
    pub(crate) threads: Arc<Number>,
    pub(crate) waiting: Arc<Number>,
    operation_problems: Arc<Family<1>>,
}

/// RejectReason a password was not hashed.
#[derive(Clone, Copy)]
pub(crate) enum RejectReason {
    /// It was told so at the door.
    Full,
    /// It had a place, and waited longer than was foreseen.
    Late,
    Failed,
}

impl HashMetrics {
    pub(crate) fn new(all: &Registry) -> Self {
        Self {
            took: all.one(names::HASH_SECONDS),
            waited: all.one(names::HASH_WAIT_SECONDS),
            threads: all.one(names::HASH_THREADS),
            waiting: all.one(names::HASH_QUEUE),
            operation_problems: all.family(names::HASH_REFUSALS).with([["full"], ["late"], ["failed"]]),
        }
    }

    pub(crate) fn refused(&self, why: RejectReason) {
        self.operation_problems.count(match why {
            RejectReason::Full => ["full"],
            RejectReason::Late => ["late"],
            RejectReason::Failed => ["failed"],
        });
    }

    pub(crate) fn hashed(&self, waited: Duration, took: Duration) {
        self.waited.observe(waited);
        self.took.observe(took);
    }
}
