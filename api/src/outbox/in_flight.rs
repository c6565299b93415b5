//! The messages in flight: their delivery tasks, their outcomes, and what has to be written about them.

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use anyhow::anyhow;
use futures_util::FutureExt;
use shared::telemetry::metrics::Family;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    domain::{
        outbox_capacity::Capacity,
        outbox_message::{OutboxLane, OutboxMessage},
    },
    outbox::delivery::{Deliver, DeliveryError},
    store::{
        outbox::{self, Lease},
        transaction::Writes,
    },
};

type DeliveryOutcome = (Uuid, Result<(), DeliveryError>);

/// The leased messages of one relay.
pub(crate) struct InFlight {
    deliver: Deliver,
    published: Arc<Family<2>>,
    /// Each delivery is a task of its own: one that waits for the only database connection must make progress while the
    /// relay itself waits for it.
    deliveries: JoinSet<DeliveryOutcome>,
    /// All messages in flight.
    lanes: HashMap<Uuid, OutboxLane>,
    leases_renewed_at: Instant,
    /// Delivered, but their rows are not deleted yet.
    delivered: Vec<Uuid>,
    /// Failed: to be released for another attempt after this backoff.
    to_retry: Vec<(Uuid, Duration)>,
    /// The last error that is not logged yet.
    error: Option<anyhow::Error>,
}

/// How often leases are renewed: well within the lease duration, so that no lease ends while the relay lives.
const LEASE_RENEWAL_INTERVAL: Duration = Duration::from_secs(4);

const RETRY_AFTER_PANIC: Duration = Duration::from_secs(5);

impl InFlight {
    /// `published` counts outcomes by message kind and result.
    pub(crate) fn new(deliver: Deliver, published: Arc<Family<2>>) -> Self {
        Self {
            deliver,
            published,
            deliveries: JoinSet::new(),
            lanes: HashMap::new(),
            leases_renewed_at: Instant::now(),
            delivered: Vec::new(),
            to_retry: Vec::new(),
            error: None,
        }
    }

    /// The number of messages in flight.
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// The number of messages in flight of each lane.
    pub(crate) fn by_lane(&self) -> Capacity {
        let mut counts = Capacity::NONE;
        for lane in self.lanes.values() {
            *match lane {
                OutboxLane::Codes => &mut counts.codes,
                OutboxLane::Notices => &mut counts.notices,
                OutboxLane::Events => &mut counts.events,
            } += 1;
        }
        counts
    }

    /// Whether there is something to write to the database: outcomes, or leases to renew.
    pub(crate) fn has_updates(&self) -> bool {
        !(self.delivered.is_empty() && self.to_retry.is_empty()) || self.must_renew_leases()
    }

    /// Whether the lease renewal is due.
    pub(crate) fn must_renew_leases(&self) -> bool {
        !self.lanes.is_empty() && self.leases_renewed_at.elapsed() >= LEASE_RENEWAL_INTERVAL
    }

    /// Starts the delivery of a leased message.
    pub(crate) fn start(&mut self, id: Uuid, message: OutboxMessage) {
        if self.lanes.is_empty() {
            self.leases_renewed_at = Instant::now();
        }
        // A lease that expired while the database was away returns a message that is already in flight here.
        if let Entry::Vacant(vacant) = self.lanes.entry(id) {
            vacant.insert(message.lane());
            let delivery = AssertUnwindSafe((self.deliver)(message)).catch_unwind();
            self.deliveries.spawn(async move { (id, delivery.await.unwrap_or_else(|_| Err(panicked()))) });
        }
    }

    /// Waits for the next outcome, and records all that are available. Never returns when nothing is in flight.
    pub(crate) async fn next_outcome(&mut self) {
        let Some(first) = self.deliveries.join_next().await else { return std::future::pending().await };
        self.record_outcome(first);
        self.record_available();
    }

    /// Records the outcomes that are available without waiting, and logs the failures since the last call.
    pub(crate) fn collect_outcomes(&mut self) {
        self.record_available();
        if let Some(error) = self.error.take() {
            // One line for all messages that failed together: most likely for the same reason.
            tracing::warn!(error = format!("{error:#}"), messages = self.to_retry.len(), "publish failed; retrying");
        }
    }

    fn record_available(&mut self) {
        while let Some(next) = self.deliveries.try_join_next() {
            self.record_outcome(next);
        }
    }

    fn record_outcome(&mut self, outcome: Result<DeliveryOutcome, JoinError>) {
        // A delivery catches its panic, so its task ends otherwise only when it is aborted.
        let Ok((id, outcome)) = outcome else { return };
        let kind = if self.lanes.remove(&id) == Some(OutboxLane::Events) { "event" } else { "mail" };
        self.published.count([kind, if outcome.is_ok() { "done" } else { "failed" }]);
        match outcome {
            Ok(()) => {
                shared::fault_points::point("relay-after-confirm");
                self.delivered.push(id);
            }
            Err(failure) => {
                self.to_retry.push((id, failure.retry_after));
                self.error = Some(failure.error);
            }
        }
    }

    /// Aborts all deliveries and marks their rows for release: another relay may lease them at once.
    pub(crate) fn abort_all(&mut self) {
        self.deliveries = JoinSet::new();
        self.to_retry.extend(self.lanes.drain().map(|(id, _)| (id, Duration::ZERO)));
    }

    /// The statements that delete delivered rows, release failed ones, and renew the leases of the others if
    /// `renew_leases`. After their commit the caller calls [`Self::updates_committed`].
    pub(crate) fn updates(&self, lease: Lease, renew_leases: bool) -> Writes<'_> {
        let mut writes = Writes::default();
        outbox::disable_sequential_scans(&mut writes);
        if !self.delivered.is_empty() {
            outbox::delete(&mut writes, &self.delivered);
        }
        if !self.to_retry.is_empty() {
            outbox::release(&mut writes, &self.to_retry, lease.owner);
        }
        if renew_leases {
            // A row that another relay has leased meanwhile, because this process or the database stood still, keeps
            // that lease. Its delivery here goes on all the same: it has begun, most likely succeeds, and then deletes
            // the row.
            outbox::renew(&mut writes, self.lanes.keys().copied().collect(), lease);
        }
        writes
    }

    /// The updates are committed. After a failed commit the next round writes them again.
    pub(crate) fn updates_committed(&mut self, renewed_leases: bool) {
        self.delivered.clear();
        self.to_retry.clear();
        if renewed_leases {
            self.leases_renewed_at = Instant::now();
        }
    }
}

fn panicked() -> DeliveryError {
    DeliveryError { error: anyhow!("the delivery panicked (logged above)"), retry_after: RETRY_AFTER_PANIC }
}
