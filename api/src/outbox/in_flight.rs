//! The messages that a relay has in hand, and what became of the last ones.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::anyhow;
use futures_util::FutureExt;
use shared::telemetry::metrics::Family;
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use crate::{
    outbox::delivery::{Deliver, DeliveryError, OutboxMessage},
    store::{
        outbox::{self, Lease},
        transaction::Writes,
    },
};

type Outcome = (Uuid, Result<(), DeliveryError>);

pub(crate) struct InFlight {
    deliver: Deliver,
    published: Arc<Family<2>>,
    /// Each a task of its own: one that has been promised the only connection must get on while the relay
    /// itself waits for it.
    deliveries: JoinSet<Outcome>,
    ids: HashSet<Uuid>,
    /// Those of them that are events.
    events: HashSet<Uuid>,
    renewed: Instant,
    /// Delivered, but their rows are still there.
    gone: Vec<Uuid>,
    /// To be taken again after so long.
    back: Vec<(Uuid, Duration)>,
}

/// So often that a lease never ends under a living relay.
const RENEWAL: Duration = Duration::from_secs(4);

const AFTER_PANIC: Duration = Duration::from_secs(5);

impl InFlight {
    pub(crate) fn new(deliver: Deliver, published: Arc<Family<2>>) -> Self {
        Self {
            deliver,
            published,
            deliveries: JoinSet::new(),
            ids: HashSet::new(),
            events: HashSet::new(),
            renewed: Instant::now(),
            gone: Vec::new(),
            back: Vec::new(),
        }
    }

    pub(crate) fn busy(&self) -> usize {
        self.deliveries.len()
    }

    pub(crate) fn mails(&self) -> usize {
        self.busy() - self.events()
    }

    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Whether there is anything that the database should hear of.
    pub(crate) fn have_news(&self) -> bool {
        !(self.gone.is_empty() && self.back.is_empty()) || self.must_renew()
    }

    pub(crate) fn must_renew(&self) -> bool {
        !self.ids.is_empty() && self.renewed.elapsed() >= RENEWAL
    }

    pub(crate) fn take(&mut self, id: Uuid, outgoing: OutboxMessage) {
        if self.ids.is_empty() {
            self.renewed = Instant::now();
        }
        // A lease that ran out while the database was away brings here what is in hand already.
        if self.ids.insert(id) {
            if matches!(outgoing, OutboxMessage::Event(_)) {
                self.events.insert(id);
            }
            let delivery = AssertUnwindSafe((self.deliver)(outgoing)).catch_unwind();
            self.deliveries.spawn(async move { (id, delivery.await.unwrap_or_else(|_| Err(panicked()))) });
        }
    }

    /// Waits for the next outcome. Never returns when nothing is in hand.
    pub(crate) async fn outcome(&mut self) {
        let Some(first) = self.deliveries.join_next().await else { return std::future::pending().await };
        let why = first.ok().and_then(|first| self.note(first));
        self.collect(why);
    }

    /// Takes the outcomes that are there.
    pub(crate) fn collect(&mut self, mut why: Option<anyhow::Error>) {
        while let Some(next) = self.deliveries.try_join_next() {
            why = next.ok().and_then(|next| self.note(next)).or(why);
        }
        if let Some(why) = why {
            // One line for all that failed together: most likely for the same reason.
            tracing::warn!(why = format!("{why:#}"), messages = self.back.len(), "undelivered: will be tried again");
        }
    }

    fn note(&mut self, (id, outcome): Outcome) -> Option<anyhow::Error> {
        self.ids.remove(&id);
        let what = if self.events.remove(&id) { "event" } else { "mail" };
        self.published.count([what, if outcome.is_ok() { "done" } else { "failed" }]);
        match outcome {
            Ok(()) => {
                shared::fault_points::point("relay-after-confirm");
                self.gone.push(id);
                None
            }
            Err(undelivered) => {
                self.back.push((id, undelivered.again_after));
                Some(undelivered.why)
            }
        }
    }

    /// Drops what is in hand: somebody may take it at once.
    pub(crate) fn give_up(&mut self) {
        self.deliveries = JoinSet::new();
        self.events.clear();
        self.back.extend(self.ids.drain().map(|id| (id, Duration::ZERO)));
    }

    /// EventKind is to be written down: what became of those that were in hand, and that the others are kept.
    pub(crate) fn news(&self, lease: Lease, renew: bool) -> Writes<'_> {
        let mut writes = Writes::default();
        outbox::by_index(&mut writes);
        if !self.gone.is_empty() {
            outbox::delete(&mut writes, &self.gone);
        }
        if !self.back.is_empty() {
            outbox::release(&mut writes, &self.back, lease.by);
        }
        if renew {
            // A row that another relay has taken meanwhile, because we or the database stood still, is its own
            // now. Ours goes on here all the same: it is under way already, most likely delivered, and if so
            // the row goes with it.
            outbox::renew(&mut writes, self.ids.iter().copied().collect(), lease);
        }
        writes
    }

    /// The database has all of it. EventKind fails before this is done again the next time.
    pub(crate) fn settled(&mut self, renewed: bool) {
        self.gone.clear();
        self.back.clear();
        if renewed {
            self.renewed = Instant::now();
        }
    }
}

fn panicked() -> DeliveryError {
    DeliveryError { why: anyhow!("a panic, told above"), again_after: AFTER_PANIC }
}
