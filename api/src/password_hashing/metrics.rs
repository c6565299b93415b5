//! What the pool counts about itself.

use std::{sync::Arc, time::Duration};

use shared::telemetry::metrics::{Family, Number, Registry, histogram::Histogram, names};

pub(crate) struct Counts {
    took: Arc<Histogram>,
    waited: Arc<Histogram>,
    /// Each thread holds one.
    pub(crate) threads: Arc<Number>,
    pub(crate) waiting: Arc<Number>,
    refusals: Arc<Family<1>>,
}

/// Why a password was not hashed.
#[derive(Clone, Copy)]
pub(crate) enum Why {
    /// It was told so at the door.
    Full,
    /// It had a place, and waited longer than was foreseen.
    Late,
    Failed,
}

impl Counts {
    pub(crate) fn new(all: &Registry) -> Self {
        Self {
            took: all.one(names::HASH_SECONDS),
            waited: all.one(names::HASH_WAIT_SECONDS),
            threads: all.one(names::HASH_THREADS),
            waiting: all.one(names::HASH_QUEUE),
            refusals: all.family(names::HASH_REFUSALS).with([["full"], ["late"], ["failed"]]),
        }
    }

    pub(crate) fn refused(&self, why: Why) {
        self.refusals.count(match why {
            Why::Full => ["full"],
            Why::Late => ["late"],
            Why::Failed => ["failed"],
        });
    }

    pub(crate) fn hashed(&self, waited: Duration, took: Duration) {
        self.waited.observe(waited);
        self.took.observe(took);
    }
}
