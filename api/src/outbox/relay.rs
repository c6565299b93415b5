//! The outbox relay: leases rows in batches, hands them to the delivery, and writes the outcomes back. It knows nothing
//! of brokers, mail or subscribers.
//!
//! Delivery is at least once: after a crash a row is delivered again under the same id.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::future::try_join;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::outbox_capacity::{Capacity, LanesWithBacklog},
    error::Error,
    metrics::Metrics,
    outbox::{delivery::OutboxDelivery, event_poll::EventPoll, in_flight::InFlight, read_positions::ReadPositions},
    rng,
    store::{
        self, Store,
        outbox::{self, Lease, LeasedBatch},
        transaction::{Commit, Transaction},
    },
};

/// The minimum time from the start of one round to the next. All messages of this time are one round's work, and a round
/// costs Postgres nearly the same for one message as for ten.
const MIN_ROUND_INTERVAL: Duration = Duration::from_millis(10);

/// The lease of a message in flight is renewed, so this is how long the rows of a crashed relay have to wait.
const LEASE_DURATION: Duration = Duration::from_secs(15);

/// The poll interval: the longest time that a row waits when no signal announces it, because another process wrote it
/// or left it behind, or because its backoff has ended.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long an outcome waits to be written while nothing else needs a round: with its neighbours, or with the next batch.
/// Its row is leased meanwhile, so only a message that failed waits for this.
const OUTCOME_DELAY: Duration = Duration::from_millis(100);

/// Backoff after a failed round.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The longest time until the next round while messages wait for capacity.
const PAUSE_IN_BACKLOG: Duration = Duration::from_millis(250);

/// A database that does not answer within this time counts as unavailable.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(7);

/// On shutdown: the time to write the last outcomes.
const FINAL_WRITE_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs until `stop`. Messages in flight are then finished or released, so that no lease outlives the relay.
///
/// `wake` signals that a transaction wrote to the outbox. `positions` are those of this relay.
pub(crate) async fn run(
    store: Store,
    delivery: OutboxDelivery,
    wake: Arc<Notify>,
    positions: Arc<ReadPositions>,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let lease = Lease { owner: rng::id(), duration: LEASE_DURATION };
    let in_flight = InFlight::new(Arc::clone(&delivery.deliver), Arc::clone(&metrics.published));
    let mut relay = Relay {
        store,
        delivery,
        in_flight,
        event_poll: EventPoll::new(),
        polled_at: Instant::now(),
        positions,
        lease,
        metrics,
        is_failing: false,
    };
    let mut due = Due::Rows;
    while !stop.is_cancelled() {
        let round_started = Instant::now();
        let backlog = match relay.round(due).await {
            Ok(backlog) => Some(backlog),
            Err(error) => {
                relay.round_failed(error);
                None
            }
        };
        let next_round = async {
            let due = relay.wait_for_work(backlog, &wake).await;
            tokio::time::sleep_until(round_started + MIN_ROUND_INTERVAL).await;
            due
        };
        due = tokio::select! {
            due = next_round => due,
            () = stop.cancelled() => break,
        };
    }
    relay.drain().await
}

struct Relay {
    store: Store,
    delivery: OutboxDelivery,
    in_flight: InFlight,
    event_poll: EventPoll,
    /// When the last round began that could lease rows.
    polled_at: Instant,
    positions: Arc<ReadPositions>,
    lease: Lease,
    metrics: Metrics,
    /// Whether the last round that used Postgres failed.
    is_failing: bool,
}

/// What a round is for.
enum Due {
    /// There may be rows to lease.
    Rows,
    /// There are only outcomes to write, or leases to renew.
    Outcomes,
}

impl Relay {
    fn capacity(&self) -> Capacity {
        let OutboxDelivery { is_up, max_in_flight, .. } = &self.delivery;
        if is_up() { Capacity::remaining(self.in_flight.by_lane(), max_in_flight()) } else { Capacity::NONE }
    }

    /// Waits until the next round is due. `backlog` is what the last one found, if it did not fail.
    async fn wait_for_work(&mut self, backlog: Option<LanesWithBacklog>, wake: &Notify) -> Due {
        let Some(backlog) = backlog else {
            // A signal or an outcome would only lead to the next failure.
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            return Due::Rows;
        };
        if backlog.any() {
            // A code that is new waits for the others, but not for notices.
            let new_code = async { if backlog.codes { pending().await } else { wake.notified().await } };
            tokio::select! {
                () = self.room_for(backlog) => {}
                () = new_code => {}
                () = tokio::time::sleep(PAUSE_IN_BACKLOG) => {}
            }
            // In a backlog of codes no signal is awaited, so there may have been one.
            self.event_poll.signal();
            return Due::Rows;
        }
        let events_due_in = if self.capacity().events > 0 { self.event_poll.due_in() } else { POLL_INTERVAL };
        let next_poll = self.polled_at + POLL_INTERVAL;
        let outcome = async {
            self.in_flight.next_outcome().await;
            tokio::time::sleep(OUTCOME_DELAY).await;
        };
        tokio::select! {
            biased;
            () = wake.notified() => {
                self.event_poll.signal();
                Due::Rows
            }
            () = tokio::time::sleep(events_due_in) => Due::Rows,
            () = tokio::time::sleep_until(next_poll) => Due::Rows,
            () = outcome => {
                let has_room_for_due_events = self.capacity().events > 0 && self.event_poll.due_in().is_zero();
                if has_room_for_due_events { Due::Rows } else { Due::Outcomes }
            }
        }
    }

    /// Waits for outcomes until a lane with a backlog has room for a large batch.
    async fn room_for(&mut self, backlog: LanesWithBacklog) {
        while !self.capacity().is_worth_a_round(backlog, (self.delivery.max_in_flight)()) {
            self.in_flight.next_outcome().await;
        }
    }

    /// Writes the outcomes and, if that is due, leases a batch and starts its deliveries.
    async fn round(&mut self, due: Due) -> Result<LanesWithBacklog, Error> {
        self.in_flight.collect_outcomes();
        if matches!(due, Due::Outcomes) {
            self.write_updates_and_lease(Capacity::NONE).await?;
            return Ok(LanesWithBacklog { codes: false, notices: false });
        }
        self.polled_at = Instant::now();
        let mut capacity = self.capacity();
        if self.event_poll.due_in() > Duration::ZERO {
            capacity.events = 0;
        }
        if capacity == Capacity::NONE && !self.in_flight.has_updates() {
            // Rows leased now would only be released again. The delivery has logged why it is down.
            return Ok(LanesWithBacklog { codes: true, notices: true });
        }
        let (first, from) = (self.positions.current(), self.positions.next_batch());
        let LeasedBatch { codes, notices, events, .. } = self.write_updates_and_lease(capacity).await?;
        if !(codes.is_empty() && notices.is_empty() && events.is_empty()) {
            shared::fault_points::point("relay-after-lease");
        }
        // More than what was leased; or rows that a batch passed, which did not begin with the first.
        let may_be_more = |leased: &Vec<_>, capacity, from: i64, first: i64| leased.len() >= capacity || from > first;
        if capacity.events > 0 {
            self.event_poll.record_poll(may_be_more(&events, capacity.events, from.events, first.events));
        }
        let backlog = LanesWithBacklog {
            codes: may_be_more(&codes, capacity.codes, from.codes, first.codes),
            notices: may_be_more(&notices, capacity.notices, from.notices, first.notices),
        };
        for row in codes.into_iter().chain(notices).chain(events) {
            self.in_flight.start(row);
        }
        Ok(backlog)
    }

    fn round_failed(&mut self, error: Error) {
        self.positions.restart();
        self.metrics.postgres_errors.inc();
        // Once per outage, not once per second.
        if !std::mem::replace(&mut self.is_failing, true) {
            let error = anyhow::Error::from(error);
            tracing::warn!(error = format!("{error:#}"), "outbox relay failed; messages wait in the outbox");
        }
    }

    /// Writes the outcomes of finished deliveries and leases up to `capacity` rows, in one round trip. The commit does
    /// not wait for the disk: what a crash of Postgres undoes is delivered once more, and recognised by its id.
    async fn write_updates_and_lease(&mut self, capacity: Capacity) -> Result<LeasedBatch, Error> {
        let renew_leases = self.in_flight.must_renew_leases();
        let exchange = with_database_timeout(async {
            // Deliveries may take long: the connection is returned to the pool before them.
            let connection = self.store.connection().await?;
            self.positions.restart_if_new(store::opened_at(&connection));
            let leasing = outbox::lease(&connection, capacity, self.positions.next_batch(), self.lease);
            let reading = try_join(leasing, async {
                match self.positions.must_advance() {
                    true => outbox::later_positions(&connection, self.positions.current()).await.map(Some),
                    false => Ok(None),
                }
            });
            let updates = self.in_flight.updates(self.lease, renew_leases);
            Ok(Transaction::in_one_round_trip(&connection, Commit::Asynchronous, updates, reading).await?)
        });
        let (leased, later) = exchange.await?;
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("outbox relay recovered");
        }
        self.positions.continue_after(leased.ended);
        // After that, because now the next batch begins with the first row again.
        if let Some((later, server_started_at)) = later {
            self.positions.advance(later, server_started_at);
        }
        self.in_flight.updates_committed(renew_leases);
        Ok(leased)
    }

    /// Waits for the messages in flight, aborts those that are not done in time, and releases their leases.
    async fn drain(mut self) -> anyhow::Result<()> {
        let drain_timeout = self.delivery.drain_timeout;
        let finishing = async {
            while self.in_flight.len() > 0 {
                // A mail may take longer than a lease, and another relay would deliver it, too.
                if self.in_flight.must_renew_leases()
                    && let Err(error) = self.write_updates_and_lease(Capacity::NONE).await
                {
                    self.round_failed(error);
                }
                let _ = tokio::time::timeout(POLL_INTERVAL, self.in_flight.next_outcome()).await;
            }
        };
        let _ = tokio::time::timeout(drain_timeout, finishing).await;
        self.in_flight.collect_outcomes();
        self.in_flight.abort_all();
        if !self.in_flight.has_updates() {
            return Ok(());
        }
        let writing = tokio::time::timeout(FINAL_WRITE_TIMEOUT, self.write_updates_and_lease(Capacity::NONE));
        if !writing.await.is_ok_and(|written| written.is_ok()) {
            tracing::warn!("cannot write the last delivery outcomes; some messages will be delivered twice");
        }
        Ok(())
    }
}

async fn with_database_timeout<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let timed_out = |_| Error::Unavailable(anyhow::anyhow!("Postgres did not answer within {DATABASE_TIMEOUT:?}"));
    tokio::time::timeout(DATABASE_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
}
