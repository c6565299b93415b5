//! The clients that watch receipts: their subscriptions, and how many there may be. A subscription holds no database
//! connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shared::telemetry::metrics::{Gauge, GaugeGuard};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::{
    domain::{
        network::Network,
        policy::{RateLimited, Scope},
        receipt::Receipt,
    },
    error::Error,
};

/// Subscriptions per network: enough for an office behind one address. Further clients can poll the receipt instead.
const MAX_PER_NETWORK: usize = 32;

/// After how long a client whose network has too many subscriptions should retry.
const RETRY_AFTER: time::Duration = time::Duration::seconds(10);

/// All current subscriptions.
pub(crate) struct Subscribers {
    state: Mutex<SubscriberState>,
    /// Wakes the polling task when there is a first subscription.
    subscribed: Notify,
    max_subscriptions: usize,
    streams: Gauge,
}

#[derive(Default)]
struct SubscriberState {
    is_closed: bool,
    subscriptions: usize,
    per_network: HashMap<Network, usize>,
    /// By the id of the registration.
    receipts: HashMap<Uuid, watch::Sender<Receipt>>,
}

/// The subscription of one client. Its slot is released on drop.
pub(crate) struct Subscription {
    /// The newest receipt. The sender is dropped when the registration is deleted or the process stops.
    pub(crate) updates: watch::Receiver<Receipt>,
    _slot: SubscriptionSlot,
}

/// Counts one subscription until it is dropped.
struct SubscriptionSlot {
    subscribers: Arc<Subscribers>,
    network: Network,
    _gauge: GaugeGuard,
}

impl Subscribers {
    /// Allows at most `max_subscriptions` at a time. `streams` is the gauge of how many there are.
    pub(crate) fn new(max_subscriptions: usize, streams: Gauge) -> Self {
        Self { state: Mutex::default(), subscribed: Notify::new(), max_subscriptions, streams }
    }

    /// Subscribes a client to a receipt that it has just read. Fails if there are too many subscriptions in all or of
    /// this network, or if the process stops.
    pub(crate) fn join(self: &Arc<Self>, receipt: Receipt, network: Network) -> Result<Subscription, Error> {
        let mut state = self.state();
        if state.is_closed || state.subscriptions >= self.max_subscriptions {
            return Err(Error::Overloaded);
        }
        let of_network = state.per_network.entry(network).or_default();
        if *of_network >= MAX_PER_NETWORK {
            return Err(RateLimited { scope: Scope::Network, retry_after: RETRY_AFTER }.into());
        }
        *of_network += 1;
        state.subscriptions += 1;
        let id = receipt.registration;
        let sender = state.receipts.entry(id).or_insert_with(|| watch::Sender::new(receipt.clone()));
        let updates = sender.subscribe();
        send_if_changed(sender, receipt);
        self.subscribed.notify_one();
        let slot = SubscriptionSlot { subscribers: Arc::clone(self), network, _gauge: GaugeGuard::new(&self.streams) };
        Ok(Subscription { updates, _slot: slot })
    }

    /// The ids of the registrations that have subscriptions. Forgets those that have none any more.
    pub(crate) fn watched_ids(&self) -> Vec<Uuid> {
        let mut state = self.state();
        state.receipts.retain(|_, sender| sender.receiver_count() > 0);
        state.receipts.keys().copied().collect()
    }

    /// Sends the polled receipts to their subscriptions. A registration that was polled and not found is deleted: its
    /// subscriptions end.
    pub(crate) fn notify(&self, polled: &[Uuid], found: Vec<Receipt>) {
        let mut found: HashMap<_, _> = found.into_iter().map(|receipt| (receipt.registration, receipt)).collect();
        let mut state = self.state();
        for id in polled {
            match (found.remove(id), state.receipts.get(id)) {
                (Some(receipt), Some(sender)) => send_if_changed(sender, receipt),
                _ => drop(state.receipts.remove(id)),
            }
        }
    }

    /// Ends all subscriptions and rejects new ones, so that open streams do not delay a shutdown.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.receipts.clear();
    }

    /// Waits for the first subscription.
    pub(crate) async fn subscribed(&self) {
        self.subscribed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, SubscriberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_if_changed(sender: &watch::Sender<Receipt>, receipt: Receipt) {
    sender.send_if_modified(|known| std::mem::replace(known, receipt.clone()) != receipt);
}

impl Drop for SubscriptionSlot {
    fn drop(&mut self) {
        let mut state = self.subscribers.state();
        state.subscriptions -= 1;
        if let Some(of_network) = state.per_network.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                state.per_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests;
