use time::OffsetDateTime;

use super::*;
use crate::registration::receipt::Status;

fn receipt(id: u128, status: Status) -> Receipt {
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

fn queued(watch: &Arc<Subscribers>, id: u128, from: usize) -> Result<Subscription, Error> {
    watch.join(receipt(id, Status::Queued), network(from))
}

#[test]
fn a_change_is_told_to_all_who_wait_for_it_and_to_nobody_else() {
    let watch = Arc::new(Subscribers::new(10, Arc::default()));
    let [mut one, mut two, mut other] = [(1, 1), (1, 2), (2, 1)].map(|(id, from)| queued(&watch, id, from).unwrap());
    let mut asked = watch.watched();
    asked.sort();
    assert_eq!(asked, [1, 2].map(Uuid::from_u128), "each is asked for once");
    watch.spread(&asked, vec![receipt(1, Status::Sent), receipt(2, Status::Queued)]);
    for watcher in [&mut one, &mut two] {
        assert!(watcher.news.has_changed().unwrap());
        assert_eq!(watcher.news.borrow_and_update().status, Status::Sent);
    }
    assert!(!other.news.has_changed().unwrap(), "nothing new is no news");
    drop((one, two));
    assert_eq!(watch.watched(), [Uuid::from_u128(2)], "what nobody waits for is not asked for");
    watch.spread(&[Uuid::from_u128(2)], vec![]);
    assert!(other.news.has_changed().is_err(), "what is gone has no news any more");
    assert_eq!(other.news.borrow_and_update().status, Status::Queued);
}

#[test]
fn who_comes_later_brings_the_news() {
    let watch = Arc::new(Subscribers::new(10, Arc::default()));
    let first = queued(&watch, 1, 1).unwrap();
    let second = watch.join(receipt(1, Status::Sent), network(2)).unwrap();
    assert!(first.news.has_changed().unwrap());
    assert_eq!(second.news.borrow().status, Status::Sent);
}

#[test]
fn a_network_has_its_share_and_gets_it_back() {
    let watch = Arc::new(Subscribers::new(1_000, Arc::default()));
    let mut waiting: Vec<_> = (0..MOST_FOR_ONE_NETWORK).map(|_| queued(&watch, 1, 1).unwrap()).collect();
    let refused = queued(&watch, 2, 1).err().unwrap();
    assert!(matches!(refused, Error::RateLimited(RateLimited { scope: Scope::Network, .. })), "{refused:?}");
    let _other = queued(&watch, 2, 2).unwrap();
    waiting.pop();
    waiting.push(queued(&watch, 1, 1).unwrap());
    drop(waiting);
    let hall = watch.hall();
    assert_eq!((hall.waiting, hall.networks.len()), (1, 1), "who has no place is forgotten");
    drop(hall);
}

#[test]
fn there_are_so_many_places_and_none_at_the_end() {
    let watch = Arc::new(Subscribers::new(2, Arc::default()));
    let [first, second] = [1, 2].map(|n| queued(&watch, 1, n).unwrap());
    assert!(matches!(queued(&watch, 1, 3), Err(Error::Overloaded)));
    drop(first);
    watch.close();
    assert!(second.news.has_changed().is_err(), "all are told that it ends");
    assert!(matches!(queued(&watch, 1, 3), Err(Error::Overloaded)));
}
