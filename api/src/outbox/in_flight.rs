//! The messages in flight: their delivery tasks, their outcomes, and what has to be written about them.

use std::{
    collections::{HashMap, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use shared::telemetry::metrics::Family;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    domain::{outbox_capacity::Capacity, outbox_message::OutboxLane},
    outbox::delivery::{Deliver, DeliveryError},
    store::{
        outbox::{self, Lease, LeasedRow, Release},
        transaction::Writes,
    },
};

type DeliveryOutcome = (Uuid, Result<(), Failure>);

/// Why a message was not delivered.
enum Failure {
    /// The receiver did not accept it: it is retried without limit.
    Delivery(DeliveryError),
    /// A bug, most likely caused by this message: it is parked after [`MAX_FAILURES`].
    Panic,
}

/// A message in flight.
struct Leased {
    lane: OutboxLane,
    failures: i16,
}

/// The leased messages of one relay.
pub(crate) struct InFlight {
    deliver: Deliver,
    published: Arc<Family<2>>,
    /// Each delivery is a task of its own: one that waits for the only database connection must make progress while the
    /// relay itself waits for it.
    deliveries: JoinSet<DeliveryOutcome>,
    /// All messages in flight.
    leased: HashMap<Uuid, Leased>,
    leases_renewed_at: Instant,
    /// Delivered, but their rows are not deleted yet.
    delivered: Vec<Uuid>,
    /// Failed: to be released for another attempt.
    to_retry: Vec<Release>,
    /// Failed too often, and why.
    to_park: Vec<(Uuid, &'static str)>,
    /// The last error that is not logged yet.
    error: Option<anyhow::Error>,
}

/// How often leases are renewed: well within the lease duration, so that no lease ends while the relay lives.
const LEASE_RENEWAL_INTERVAL: Duration = Duration::from_secs(4);

/// The backoff of a row that cannot be read, or whose delivery panicked; doubled for each time before.
const MIN_PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
const MAX_PAUSE_AFTER_FAILURE: Duration = Duration::from_mins(10);

/// A row that failed so often is parked: after half an hour. Until then, a row that a newer version of the API wrote is most
/// likely published by that version.
const MAX_FAILURES: i16 = 10;

impl InFlight {
    /// `published` counts outcomes by message kind and result.
    pub(crate) fn new(deliver: Deliver, published: Arc<Family<2>>) -> Self {
        Self {
            deliver,
            published,
            deliveries: JoinSet::new(),
            leased: HashMap::new(),
            leases_renewed_at: Instant::now(),
            delivered: Vec::new(),
            to_retry: Vec::new(),
            to_park: Vec::new(),
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
        for Leased { lane, .. } in self.leased.values() {
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
        !(self.delivered.is_empty() && self.to_retry.is_empty() && self.to_park.is_empty()) || self.must_renew_leases()
    }

    /// Whether the lease renewal is due.
    pub(crate) fn must_renew_leases(&self) -> bool {
        !self.leased.is_empty() && self.leases_renewed_at.elapsed() >= LEASE_RENEWAL_INTERVAL
    }

    /// Starts the delivery of a leased message.
    pub(crate) fn start(&mut self, LeasedRow { id, failures, message }: LeasedRow) {
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.row_failed(id, failures, error),
        };
        if self.leased.is_empty() {
            self.leases_renewed_at = Instant::now();
        }
        // A lease that expired while the database was away returns a message that is already in flight here.
        if let Entry::Vacant(vacant) = self.leased.entry(id) {
            vacant.insert(Leased { lane: message.lane(), failures });
            let deliver = Arc::clone(&self.deliver);
            let delivery = AssertUnwindSafe(async move { deliver(message).await }).catch_unwind();
            self.deliveries.spawn(async move {
                let outcome =
                    delivery.await.map_or(Err(Failure::Panic), |delivered| delivered.map_err(Failure::Delivery));
                (id, outcome)
            });
        }
    }

    /// Releases or parks a row that cannot be published because of what it contains.
    fn row_failed(&mut self, id: Uuid, failures: i16, why: &'static str) {
        let failures = failures + 1;
        if failures < MAX_FAILURES {
            let pause = MIN_PAUSE_AFTER_FAILURE.saturating_mul(1 << (failures - 1));
            self.to_retry.push(Release { id, pause: pause.min(MAX_PAUSE_AFTER_FAILURE), failures });
            tracing::warn!(%id, failures, error = why, "outbox row cannot be published; retrying later");
        } else {
            self.to_park.push((id, why));
            tracing::error!(%id, failures, error = why, "outbox row cannot be published; parking it");
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
        let Some(Leased { lane, failures }) = self.leased.remove(&id) else { return };
        let kind = if lane == OutboxLane::Events { "event" } else { "mail" };
        self.published.count([kind, if outcome.is_ok() { "done" } else { "failed" }]);
        match outcome {
            Ok(()) => {
                shared::fault_points::point("relay-after-confirm");
                self.delivered.push(id);
            }
            Err(Failure::Delivery(DeliveryError { error, retry_after: pause })) => {
                self.to_retry.push(Release { id, pause, failures });
                self.error = Some(error);
            }
            Err(Failure::Panic) => self.row_failed(id, failures, "its delivery panicked (logged above)"),
        }
    }

    /// Aborts all deliveries and marks their rows for release: another relay may lease them at once.
    pub(crate) fn abort_all(&mut self) {
        self.deliveries = JoinSet::new();
        let released = self.leased.drain().map(|(id, Leased { failures, .. })| (id, failures));
        self.to_retry.extend(released.map(|(id, failures)| Release { id, pause: Duration::ZERO, failures }));
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
        if !self.to_park.is_empty() {
            outbox::parked::park(&mut writes, &self.to_park, lease.owner);
        }
        if renew_leases {
            // A row that another relay has leased meanwhile, because this process or the database stood still, keeps
            // that lease. Its delivery here goes on all the same: it has begun, most likely succeeds, and then deletes
            // the row.
            outbox::renew(&mut writes, self.leased.keys().copied().collect(), lease);
        }
        writes
    }

    /// The updates are committed. After a failed commit the next round writes them again.
    pub(crate) fn updates_committed(&mut self, renewed_leases: bool) {
        self.delivered.clear();
        self.to_retry.clear();
        self.to_park.clear();
        if renewed_leases {
            self.leases_renewed_at = Instant::now();
        }
    }
}
