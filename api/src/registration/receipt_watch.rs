//! Who waits for news of a registration. One part of the process looks for all of them at once, and only while there is
//! somebody; who waits holds nothing but a place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use shared::telemetry::metrics::{GaugeGuard, Number};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        network::Network,
        policy::{RateLimited, Scope},
    },
    error::Error,
    registration::receipt::{self, Receipt},
};

/// Between two looks. Whoever asks for the receipt as often knows as much.
const EVERY: Duration = Duration::from_millis(500);

/// A database that says nothing is one that is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// For an office behind one address; whoever finds no place asks for the receipt instead.
const MOST_FOR_ONE_NETWORK: usize = 32;

/// Until a place of the same network may be free again.
const RETRY_AFTER: time::Duration = time::Duration::seconds(10);

pub(crate) struct Subscribers {
    hall: Mutex<SubscriberState>,
    somebody: Notify,
    most: usize,
    streams: Arc<Number>,
}

#[derive(Default)]
struct SubscriberState {
    is_closed: bool,
    waiting: usize,
    networks: HashMap<Network, usize>,
    watched: HashMap<Uuid, watch::Sender<Receipt>>,
}

/// Somebody who waits. There is no more news when the sender is gone.
pub(crate) struct Subscription {
    pub(crate) news: watch::Receiver<Receipt>,
    _place: Slot,
}

struct Slot {
    watch: Arc<Subscribers>,
    network: Network,
    _counted: GaugeGuard,
}

impl Subscribers {
    /// So many may wait at a time; `streams` says how many do.
    pub(crate) fn new(most: usize, streams: Arc<Number>) -> Self {
        Self { hall: Mutex::default(), somebody: Notify::new(), most, streams }
    }

    /// Gives a place to whoever has read this receipt just now.
    pub(crate) fn join(self: &Arc<Self>, receipt: Receipt, network: Network) -> Result<Subscription, Error> {
        let mut hall = self.hall();
        if hall.is_closed || hall.waiting >= self.most {
            return Err(Error::Overloaded);
        }
        let share = hall.networks.entry(network).or_default();
        if *share >= MOST_FOR_ONE_NETWORK {
            return Err(RateLimited { scope: Scope::Network, retry_after: RETRY_AFTER }.into());
        }
        *share += 1;
        hall.waiting += 1;
        let id = receipt.registration;
        let sender = hall.watched.entry(id).or_insert_with(|| watch::Sender::new(receipt.clone()));
        let news = sender.subscribe();
        tell(sender, receipt);
        self.somebody.notify_one();
        let place = Slot { watch: Arc::clone(self), network, _counted: self.streams.hold() };
        Ok(Subscription { news, _place: place })
    }

    /// EventKind somebody waits for, and nothing that nobody does any more.
    fn watched(&self) -> Vec<Uuid> {
        let mut hall = self.hall();
        hall.watched.retain(|_, sender| sender.receiver_count() > 0);
        hall.watched.keys().copied().collect()
    }

    /// EventKind was asked for and not found is gone for good.
    fn spread(&self, asked: &[Uuid], found: Vec<Receipt>) {
        let (mut hall, mut found) =
            (self.hall(), found.into_iter().map(|r| (r.registration, r)).collect::<HashMap<_, _>>());
        for id in asked {
            match (found.remove(id), hall.watched.get(id)) {
                (Some(receipt), Some(sender)) => tell(sender, receipt),
                _ => drop(hall.watched.remove(id)),
            }
        }
    }

    /// Nobody waits for the end of a process.
    fn close(&self) {
        let mut hall = self.hall();
        hall.is_closed = true;
        hall.watched.clear();
    }

    fn hall(&self) -> MutexGuard<'_, SubscriberState> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(sender: &watch::Sender<Receipt>, receipt: Receipt) {
    sender.send_if_modified(|known| std::mem::replace(known, receipt.clone()) != receipt);
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut hall = self.watch.hall();
        hall.waiting -= 1;
        if let Some(share) = hall.networks.get_mut(&self.network) {
            *share -= 1;
            if *share == 0 {
                hall.networks.remove(&self.network);
            }
        }
    }
}

/// Looks for news as long as somebody waits for some, until `stop`.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let looking = async {
        loop {
            let asked = app.subscribers.watched();
            if asked.is_empty() {
                app.subscribers.somebody.notified().await;
            } else {
                // Those who wait go on waiting when Postgres is away: each request that meets that says so.
                if let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, receipt::read_all(&app, &asked)).await {
                    app.subscribers.spread(&asked, found);
                }
                tokio::time::sleep(EVERY).await;
            }
        }
    };
    let _ = stop.run_until_cancelled(looking).await.map(|never: std::convert::Infallible| match never {});
    app.subscribers.close();
    Ok(())
}

#[cfg(test)]
mod tests;
