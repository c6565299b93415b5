//! Moves outbox rows to whoever carries them on. Knows nothing of brokers or mail.

mod hands;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use shared::message::Envelope;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use self::hands::Hands;
use crate::{
    chance,
    refusal::Refusal,
    store::{
        Store,
        outbox::{self, Lease, Leased},
        transaction::{Commit, Transaction},
    },
};

/// Takes a message away for good: `Ok` means that it is safely somebody else's, or over and on record.
pub type Deliver = Arc<dyn Fn(Envelope) -> BoxFuture<'static, Result<(), Undelivered>> + Send + Sync>;

/// The row stays, and its turn comes again.
pub struct Undelivered {
    pub why: anyhow::Error,
    pub again_after: Duration,
}

/// Where the outbox leads.
#[derive(Clone)]
pub struct Outlet {
    pub deliver: Deliver,
    /// Whether it is open just now.
    pub is_up: Arc<dyn Fn() -> bool + Send + Sync>,
    /// How many messages it may carry at once.
    pub in_hand: usize,
}

const BATCH: usize = 500;

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

/// What is in hand when told to stop has this long to be done, and what became of it to be taken down.
const DRAIN: Duration = Duration::from_secs(5);
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Runs until told to stop; what is in hand then is finished, or given back, so that no lease outlives it.
pub(crate) async fn run(
    store: Store,
    outlet: Outlet,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let lease = Lease { by: chance::id(), length: LEASE_LENGTH };
    let mut relay = Relay { hands: Hands::new(Arc::clone(&outlet.deliver)), store, outlet, lease };
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
            Err(refusal) => {
                // Once an outage, not once a second.
                if !std::mem::replace(&mut failing, true) {
                    let error = anyhow::Error::from(refusal);
                    tracing::warn!(error = format!("{error:#}"), "messages wait in the outbox");
                }
                PAUSE_AFTER_FAILURE
            }
        };
        // A signal shortens none but the longest pause: after a failure it would only lead to the next.
        let listening = pause == POLL && !failing && relay.room() > 0;
        tokio::select! {
            () = relay.hands.outcome(), if !failing => {}
            () = wake.notified(), if listening => {}
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
    outlet: Outlet,
    hands: Hands,
    lease: Lease,
}

impl Relay {
    fn room(&self) -> usize {
        if (self.outlet.is_up)() { self.outlet.in_hand.saturating_sub(self.hands.busy()).min(BATCH) } else { 0 }
    }

    /// Puts on record what became of those in hand, and takes as many as there is room for. Returns how
    /// long it may take until the next round.
    async fn round(&mut self) -> Result<Duration, Refusal> {
        self.hands.collect(None);
        let room = self.room();
        if room == 0 && !self.hands.have_news() {
            // Leasing would only be followed by giving back. Whoever runs the outlet has said why it is closed.
            return Ok(PAUSE_WITHOUT_ROOM);
        }
        let leased = self.exchange(room).await?;
        if !leased.is_empty() {
            failpoint::point("relay-after-lease");
        }
        let may_be_more = room > 0 && leased.len() == room;
        for (id, row) in leased {
            match row {
                Ok(envelope) => self.hands.take(id, envelope),
                // A newer version of us wrote it, most likely, and will take it. It keeps its lease, so that
                // it holds up nobody and is looked at again when that ends.
                Err(why) => tracing::error!(%id, why, "a row of the outbox cannot be read"),
            }
        }
        Ok(match room {
            0 => PAUSE_WITHOUT_ROOM,
            _ if may_be_more => Duration::ZERO,
            _ => POLL,
        })
    }

    /// Tells the database what became of those in hand, and takes up to so many in the same breath. None of it
    /// has to survive a crash of Postgres: what comes back then is delivered once more, and known by its id.
    async fn exchange(&mut self, room: usize) -> Result<Vec<Leased>, Refusal> {
        let renew = self.hands.must_renew();
        let exchanged = soon(async {
            // Delivering may take long: the connection goes back before.
            let connection = self.store.connection().await?;
            let leasing = async {
                let room = i64::try_from(room).unwrap_or(i64::MAX);
                if room == 0 { Ok(vec![]) } else { outbox::lease(&connection, room, self.lease).await }
            };
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
        if !tokio::time::timeout(LAST_WORDS, self.exchange(0)).await.is_ok_and(|settled| settled.is_ok()) {
            tracing::warn!("Postgres does not take it down: some messages will be delivered a second time");
        }
        Ok(())
    }
}

/// A database that says nothing is one that is away.
async fn soon<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let late = |_| Refusal::Unavailable(anyhow::anyhow!("Postgres did not answer within {DATABASE_TIMEOUT:?}"));
    tokio::time::timeout(DATABASE_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}
