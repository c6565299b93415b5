//! Moves outbox rows to whoever carries them on. Knows nothing of brokers, mail or listeners.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    metrics::Metrics,
    outbox::{capacity::Capacity, delivery::OutboxDelivery, event_poll::EventPoll, in_flight::InFlight},
    rng,
    store::{
        Store,
        outbox::{self, Lease, Leased},
        transaction::{Commit, Transaction},
    },
};

/// Between two rounds, unless there is more than one round can take: what happens in this time is one round's
/// work, and a round costs Postgres nearly the same for one message as for ten.
const BREATH: Duration = Duration::from_millis(10);

/// A row in hand is kept by renewal, so this is how long those of a relay that died must wait.
const LEASE_LENGTH: Duration = Duration::from_secs(15);

/// How long a row waits at most when no signal tells of it: one that another process left behind.
const POLL: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
const PAUSE_WITHOUT_ROOM: Duration = Duration::from_millis(100);
const DATABASE_TIMEOUT: Duration = Duration::from_secs(7);

/// EventKind is in hand when told to stop has this long to be done, and what became of it to be taken down.
const DRAIN: Duration = Duration::from_secs(5);
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Runs until told to stop; what is in hand then is finished, or given back, so that no lease outlives it.
pub(crate) async fn run(
    store: Store,
    delivery: OutboxDelivery,
    (wake, metrics): (Arc<Notify>, Metrics),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let lease = Lease { by: rng::id(), length: LEASE_LENGTH };
    let hands = InFlight::new(Arc::clone(&delivery.deliver), metrics.published);
    let mut relay = Relay { store, delivery, hands, events: EventPoll::new(), lease };
    let mut failing = false;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let pause = match relay.round().await {
            Ok(pause) => {
                // A round without room may not have asked Postgres for anything.
                if pause != PAUSE_WITHOUT_ROOM && std::mem::take(&mut failing) {
                    tracing::info!("the outbox moves again");
                }
                pause
            }
            Err(error) => {
                metrics.postgres_errors.add(1);
                // Once an outage, not once a second.
                if !std::mem::replace(&mut failing, true) {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(error = format!("{error:#}"), "messages wait in the outbox");
                }
                PAUSE_AFTER_FAILURE
            }
        };
        // After a failure a signal would only lead to the next.
        let listening = pause > Duration::ZERO && !failing && relay.room().mails > 0;
        tokio::select! {
            () = relay.hands.outcome(), if !failing => {}
            () = wake.notified(), if listening => relay.events.signal(),
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        if pause > Duration::ZERO {
            tokio::time::sleep_until(begun + BREATH).await;
        }
    }
    relay.drain().await
}

struct Relay {
    store: Store,
    delivery: OutboxDelivery,
    hands: InFlight,
    events: EventPoll,
    lease: Lease,
}

impl Relay {
    fn room(&self) -> Capacity {
        let OutboxDelivery { is_up, in_hand, .. } = &self.delivery;
        if is_up() { Capacity::beside(self.hands.mails(), self.hands.events(), *in_hand) } else { Capacity::NONE }
    }

    /// Puts on record what became of those in hand, and takes as many as there is room for. Returns how
    /// long it may take until the next round.
    async fn round(&mut self) -> Result<Duration, Error> {
        self.hands.collect(None);
        let mut room = self.room();
        if self.events.after() > Duration::ZERO {
            room.events = 0;
        }
        if room == Capacity::NONE && !self.hands.have_news() {
            // Leasing would only be followed by giving back. Whoever runs the delivery has said why it is closed.
            return Ok(PAUSE_WITHOUT_ROOM);
        }
        let (mails, events) = self.exchange(room).await?;
        if !(mails.is_empty() && events.is_empty()) {
            shared::fault_points::point("relay-after-lease");
        }
        if room.events > 0 {
            self.events.asked(events.len() == room.events);
        }
        let may_be_more = room.mails > 0 && mails.len() == room.mails;
        for (id, row) in mails.into_iter().chain(events) {
            match row {
                Ok(outgoing) => self.hands.take(id, outgoing),
                // A newer version of us wrote it, most likely, and will take it. It keeps its lease, so that
                // it holds up nobody and is looked at again when that ends.
                Err(why) => tracing::error!(%id, why, "a row of the outbox cannot be read"),
            }
        }
        Ok(match room.mails {
            0 => PAUSE_WITHOUT_ROOM,
            _ if may_be_more => Duration::ZERO,
            _ if self.room().events > 0 => self.events.after().min(POLL),
            _ => POLL,
        })
    }

    /// Tells the database what became of those in hand, and takes up to so many in the same breath. None of it
    /// has to survive a crash of Postgres: what comes back then is delivered once more, and known by its id.
    async fn exchange(&mut self, room: Capacity) -> Result<(Vec<Leased>, Vec<Leased>), Error> {
        let renew = self.hands.must_renew();
        let exchanged = soon(async {
            // Delivering may take long: the connection goes back before.
            let connection = self.store.connection().await?;
            let leasing = outbox::lease(&connection, room, self.lease);
            let news = self.hands.news(self.lease, renew);
            Ok(Transaction::at_once(&connection, Commit::Soon, news, leasing).await?)
        });
        let leased = exchanged.await?;
        self.hands.settled(renew);
        Ok(leased)
    }

    async fn drain(mut self) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN;
        while self.hands.busy() > 0 && tokio::time::timeout_at(until, self.hands.outcome()).await.is_ok() {}
        self.hands.give_up();
        if !self.hands.have_news() {
            return Ok(());
        }
        if !tokio::time::timeout(LAST_WORDS, self.exchange(Capacity::NONE)).await.is_ok_and(|settled| settled.is_ok()) {
            tracing::warn!("Postgres does not take it down: some messages will be delivered a second time");
        }
        Ok(())
    }
}

/// A database that says nothing is one that is away.
async fn soon<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Unavailable(anyhow::anyhow!("Postgres did not answer within {DATABASE_TIMEOUT:?}"));
    tokio::time::timeout(DATABASE_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}
