//! Limits the number of open connections, in total and per client network: load shedding before a request is read.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::network::Network;

/// The connection limit of the server.
pub(crate) struct ConnectionLimit {
    semaphore: Arc<Semaphore>,
    per_network: NetworkConnections,
    max_per_network: usize,
    /// Whether the limit per network applies to an address. Not for proxies, because all their clients have the same
    /// address.
    is_limited: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// Open connections by network. Networks without a connection have no entry.
#[derive(Clone, Default)]
struct NetworkConnections(Arc<Mutex<HashMap<Network, NetworkCount>>>);

#[derive(Default)]
struct NetworkCount {
    connections: usize,
    /// Rejections are logged once, not each time that a connection of the network ends and another takes its place.
    is_logged: bool,
}

/// The right to keep one connection open. Dropping it releases the connection's share of both limits.
#[must_use = "dropping the permit frees the connection's place"]
pub(crate) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    counted_for: Option<(Network, NetworkConnections)>,
}

impl ConnectionLimit {
    /// Allows `max` connections, a quarter of them for one network.
    pub(crate) fn new(max: usize, is_limited: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self {
            semaphore: Arc::new(Semaphore::new(max)),
            per_network: NetworkConnections::default(),
            max_per_network: (max / 4).max(1),
            is_limited: Box::new(is_limited),
        }
    }

    /// Waits until the total limit allows one more connection. Never `None`: the semaphore is never closed.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).acquire_owned().await.ok()
    }

    /// Turns a permit into that of a client's connection. `None` if the client's network has reached its limit.
    pub(crate) fn admit(&self, permit: OwnedSemaphorePermit, client: IpAddr) -> Option<ConnectionPermit> {
        if !(self.is_limited)(client) {
            return Some(ConnectionPermit { _permit: permit, counted_for: None });
        }
        let network = Network::of(client);
        let mut counts = self.per_network.lock();
        let count = counts.entry(network).or_default();
        if count.connections == self.max_per_network {
            if !std::mem::replace(&mut count.is_logged, true) {
                tracing::warn!(
                    count.connections,
                    "connection limit of one network reached; closing its new connections"
                );
            }
            return None;
        }
        count.connections += 1;
        Some(ConnectionPermit { _permit: permit, counted_for: Some((network, self.per_network.clone())) })
    }
}

impl NetworkConnections {
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, NetworkCount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some((network, per_network)) = self.counted_for.take() else { return };
        if let Entry::Occupied(mut count) = per_network.lock().entry(network) {
            count.get_mut().connections -= 1;
            if count.get().connections == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    async fn connect(limit: &ConnectionLimit, address: &str) -> Option<ConnectionPermit> {
        limit.admit(limit.acquire().await.unwrap(), ip(address))
    }

    #[tokio::test]
    async fn one_network_gets_a_quarter_of_the_connections() {
        let limit = ConnectionLimit::new(8, |_| true);
        let first = connect(&limit, "2001:db8:1:2::1").await.unwrap();
        let second = connect(&limit, "2001:db8:1:2:ffff::2").await.unwrap();
        assert!(connect(&limit, "2001:db8:1:2::3").await.is_none());
        let _other = connect(&limit, "2001:db8:1:3::1").await.unwrap();
        drop(first);
        let third = connect(&limit, "2001:db8:1:2::3").await.unwrap();
        assert!(connect(&limit, "2001:db8:1:2::1").await.is_none());
        drop((second, third));
        assert_eq!(limit.per_network.lock().len(), 1, "networks without connections are removed");
        assert_eq!(limit.semaphore.available_permits(), 7);
    }

    #[tokio::test]
    async fn proxy_may_use_all_connections() {
        let limit = ConnectionLimit::new(4, |address| address != ip("10.0.0.1"));
        let mut permits = vec![];
        for _ in 0..4 {
            permits.push(connect(&limit, "10.0.0.1").await.unwrap());
        }
        assert_eq!(limit.semaphore.available_permits(), 0);
    }

    #[tokio::test]
    async fn every_network_may_have_one_connection() {
        let limit = ConnectionLimit::new(1, |_| true);
        let only = connect(&limit, "203.0.113.7").await.unwrap();
        drop(only);
        assert!(connect(&limit, "203.0.113.8").await.is_some());
    }
}
