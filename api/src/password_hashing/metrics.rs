//! The metrics of the hash pool.

use std::{sync::Arc, time::Duration};

use shared::telemetry::metrics::{Family, Gauge, Histogram, Registry, names};

/// Durations, threads, queue length and rejections.
pub(crate) struct HashMetrics {
    hash_seconds: Histogram,
    wait_seconds: Histogram,
    /// The number of live threads: each holds one.
    pub(crate) threads: Gauge,
    pub(crate) queue_length: Gauge,
    rejections: Arc<Family<1>>,
}

/// Why a password was not hashed.
#[derive(Clone, Copy)]
pub(crate) enum RejectReason {
    /// The queue was full: rejected before anything else was done for the request.
    Full,
    /// It had a permit, and then waited longer than estimated: more than the maximum wait.
    Late,
    Failed,
}

impl HashMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            hash_seconds: registry.one(names::HASH_SECONDS),
            wait_seconds: registry.one(names::HASH_WAIT_SECONDS),
            threads: registry.one(names::HASH_THREADS),
            queue_length: registry.one(names::HASH_QUEUE),
            rejections: registry.family(names::HASH_REFUSALS).with([["full"], ["late"], ["failed"]]),
        }
    }

    /// Counts a password that was not hashed.
    pub(crate) fn rejected(&self, reason: RejectReason) {
        self.rejections.count(match reason {
            RejectReason::Full => ["full"],
            RejectReason::Late => ["late"],
            RejectReason::Failed => ["failed"],
        });
    }

    /// Records how long a hashed password waited, and how long its hash took.
    pub(crate) fn hashed(&self, waited: Duration, took: Duration) {
        self.wait_seconds.observe(waited.as_secs_f64());
        self.hash_seconds.observe(took.as_secs_f64());
    }
}
