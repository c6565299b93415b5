//! How many connections there may be, and how many of them one network may have.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::network::Network;

pub(crate) struct ConnectionLimit {
    free: Arc<Semaphore>,
    taken: Taken,
    most_for_one: usize,
    /// Whether the address is that of a client. Those behind a proxy cannot be told apart here.
    counts: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// What each network has. Those that have nothing are not in it.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<HashMap<Network, NetworkCount>>>);

#[derive(Default)]
struct NetworkCount {
    places: usize,
    /// Once, not each time that a place goes and is taken again.
    is_logged: bool,
}

/// One place, until it is dropped.
pub(crate) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    of: Option<(Network, Taken)>,
}

impl ConnectionLimit {
    /// A quarter of them for one network.
    pub(crate) fn new(all: usize, counts: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self {
            free: Arc::new(Semaphore::new(all)),
            taken: Taken::default(),
            most_for_one: (all / 4).max(1),
            counts: Box::new(counts),
        }
    }

    /// Waits until there is one. Nobody closes the semaphore.
    pub(crate) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Gives a free place to a client, unless its network has its share already.
    pub(crate) fn give(&self, permit: OwnedSemaphorePermit, client: IpAddr) -> Option<ConnectionPermit> {
        if !(self.counts)(client) {
            return Some(ConnectionPermit { _permit: permit, of: None });
        }
        let network = Network::of(client);
        let mut taken = self.taken.lock();
        let share = taken.entry(network).or_default();
        if share.places == self.most_for_one {
            if !std::mem::replace(&mut share.is_logged, true) {
                tracing::warn!(share.places, "one network has as many connections as it may, and gets no more");
            }
            return None;
        }
        share.places += 1;
        Some(ConnectionPermit { _permit: permit, of: Some((network, self.taken.clone())) })
    }
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, HashMap<Network, NetworkCount>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some((network, taken)) = self.of.take() else { return };
        if let Entry::Occupied(mut share) = taken.lock().entry(network) {
            share.get_mut().places -= 1;
            if share.get().places == 0 {
                share.remove();
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

    async fn come(places: &ConnectionLimit, address: &str) -> Option<ConnectionPermit> {
        places.give(places.free().await.unwrap(), ip(address))
    }

    #[tokio::test]
    async fn one_network_has_a_quarter_of_the_places_and_gets_them_back() {
        let places = ConnectionLimit::new(8, |_| true);
        let first = come(&places, "2001:db8:1:2::1").await.unwrap();
        let second = come(&places, "2001:db8:1:2:ffff::2").await.unwrap();
        assert!(come(&places, "2001:db8:1:2::3").await.is_none());
        let _other = come(&places, "2001:db8:1:3::1").await.unwrap();
        drop(first);
        let third = come(&places, "2001:db8:1:2::3").await.unwrap();
        assert!(come(&places, "2001:db8:1:2::1").await.is_none());
        drop((second, third));
        assert_eq!(places.taken.lock().len(), 1, "who has none is forgotten");
        assert_eq!(places.free.available_permits(), 7);
    }

    #[tokio::test]
    async fn a_proxy_may_have_them_all() {
        let places = ConnectionLimit::new(4, |address| address != ip("10.0.0.1"));
        let mut taken = vec![];
        for _ in 0..4 {
            taken.push(come(&places, "10.0.0.1").await.unwrap());
        }
        assert_eq!(places.free.available_permits(), 0);
    }

    #[tokio::test]
    async fn there_is_always_one_for_a_network() {
        let places = ConnectionLimit::new(1, |_| true);
        let only = come(&places, "203.0.113.7").await.unwrap();
        drop(only);
        assert!(come(&places, "203.0.113.8").await.is_some());
    }
}
