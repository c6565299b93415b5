//! Limits and notifications of the subscriptions, without a database.

use time::OffsetDateTime;

use super::*;
use crate::domain::receipt::RegistrationStatus;

fn receipt(id: u128, status: RegistrationStatus) -> Receipt {
    let at = OffsetDateTime::UNIX_EPOCH;
    Receipt {
        registration: Uuid::from_u128(id),
        status,
        requested_at: at,
        sent_at: None,
        expires_at: None,
        resend_at: at,
        code_length: 4,
        attempts_left: 3,
    }
}

fn network(n: usize) -> Network {
    Network::of(std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap()).into())
}

/// Subscribes a client of the network to a registration whose mail is queued.
fn subscribe(subscribers: &Arc<Subscribers>, id: u128, client_network: usize) -> Result<Subscription, Error> {
    subscribers.join(receipt(id, RegistrationStatus::Queued), network(client_network))
}

#[test]
fn changed_receipt_notifies_exactly_its_own_subscriptions() {
    let subscribers = Arc::new(Subscribers::new(10, Gauge::default()));
    let [mut first, mut second, mut other] =
        [(1, 1), (1, 2), (2, 1)].map(|(id, network)| subscribe(&subscribers, id, network).unwrap());
    let mut ids = subscribers.watched_ids();
    ids.sort();
    assert_eq!(ids, [1, 2].map(Uuid::from_u128), "each registration is polled once");
    let found = vec![receipt(1, RegistrationStatus::Sent), receipt(2, RegistrationStatus::Queued)];
    subscribers.notify(&ids, found);
    for subscription in [&mut first, &mut second] {
        assert!(subscription.updates.has_changed().unwrap());
        assert_eq!(subscription.updates.borrow_and_update().status, RegistrationStatus::Sent);
    }
    assert!(!other.updates.has_changed().unwrap(), "an unchanged receipt notifies no client");
    drop((first, second));
    assert_eq!(subscribers.watched_ids(), [Uuid::from_u128(2)], "a receipt without subscriptions is not polled");
    subscribers.notify(&[Uuid::from_u128(2)], vec![]);
    assert!(other.updates.has_changed().is_err(), "the subscriptions of a deleted registration end");
    assert_eq!(other.updates.borrow_and_update().status, RegistrationStatus::Queued);
}

#[test]
fn later_subscription_with_newer_receipt_notifies_earlier_ones() {
    let subscribers = Arc::new(Subscribers::new(10, Gauge::default()));
    let first = subscribe(&subscribers, 1, 1).unwrap();
    let second = subscribers.join(receipt(1, RegistrationStatus::Sent), network(2)).unwrap();
    assert!(first.updates.has_changed().unwrap());
    assert_eq!(second.updates.borrow().status, RegistrationStatus::Sent);
}

#[test]
fn network_limit_rejects_until_a_subscription_is_dropped() {
    let subscribers = Arc::new(Subscribers::new(1_000, Gauge::default()));
    let mut subscriptions: Vec<_> = (0..MAX_PER_NETWORK).map(|_| subscribe(&subscribers, 1, 1).unwrap()).collect();
    let rejected = subscribe(&subscribers, 2, 1).err().unwrap();
    assert!(matches!(rejected, Error::RateLimited(RateLimited { scope: Scope::Network, .. })), "{rejected:?}");
    let _other = subscribe(&subscribers, 2, 2).unwrap();
    subscriptions.pop();
    subscriptions.push(subscribe(&subscribers, 1, 1).unwrap());
    drop(subscriptions);
    let state = subscribers.state();
    assert_eq!((state.subscriptions, state.per_network.len()), (1, 1), "a network without subscriptions is forgotten");
    drop(state);
}

#[test]
fn full_or_closed_subscribers_reject_as_overloaded() {
    let subscribers = Arc::new(Subscribers::new(2, Gauge::default()));
    let [first, second] = [1, 2].map(|n| subscribe(&subscribers, 1, n).unwrap());
    assert!(matches!(subscribe(&subscribers, 1, 3), Err(Error::Overloaded)));
    drop(first);
    subscribers.close();
    assert!(second.updates.has_changed().is_err(), "closing ends all subscriptions");
    assert!(matches!(subscribe(&subscribers, 1, 3), Err(Error::Overloaded)));
}
