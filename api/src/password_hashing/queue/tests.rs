//! Tests of the order and the rejections of the queue at their exact limits, without a clock.

use tokio::sync::oneshot::{self, Receiver};

use super::*;
use crate::domain::password::{
    Password,
    computed_hash::Tag,
    recipe::{Costs, Recipe},
};

const HASH_TIME: Duration = Duration::from_millis(10);
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Addresses in different networks.
const ADA: &str = "192.0.2.1";
const BOB: &str = "192.0.2.2";
const EVE: &str = "192.0.2.3";

type ReplyReceiver = Receiver<Result<Tag, Overloaded>>;

fn network(address: &str) -> Network {
    Network::of(address.parse().unwrap())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

struct TestQueue {
    queue: Queue,
    started_at: Instant,
}

impl TestQueue {
    fn new(threads: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "there is no other way to get an Instant")]
        Self { queue: Queue::new(threads, MAX_WAIT, HASH_TIME), started_at: Instant::now() }
    }

    /// Pushes a job of [`ADA`]: see [`Self::enqueue_from`].
    fn enqueue(&mut self, id: u8, priority: Priority, at_ms: u64) -> ReplyReceiver {
        self.enqueue_from(ADA, id, priority, at_ms)
    }

    /// Pushes a job of a client with this address, that many milliseconds after the start. Its salt identifies it. The
    /// caller keeps the receiver, also while the job is hashed: dropping it means that the client has disconnected.
    fn enqueue_from(&mut self, address: &str, id: u8, priority: Priority, at_ms: u64) -> ReplyReceiver {
        self.queue.turns.reserve(network(address), priority);
        let (reply, receiver) = oneshot::channel();
        let recipe = Recipe { costs: Costs { memory_kib: 8, passes: 1 }, salt: [id; 16] };
        let password = Password::parse("correct horse").unwrap();
        self.queue.push(Job::new(password, recipe, network(address), priority, self.started_at + ms(at_ms), reply));
        receiver
    }

    /// Pops a job that many milliseconds after the start; returns its id.
    fn pop(&mut self, at_ms: u64) -> Option<u8> {
        let job = self.queue.pop(self.started_at + ms(at_ms));
        job.map(|job| job.recipe.salt[0])
    }

    /// Reserves as many slots as possible for [`ADA`]; returns how many.
    fn reserve_all(&mut self, priority: Priority) -> usize {
        self.reserve_all_from(ADA, priority)
    }

    fn reserve_all_from(&mut self, address: &str, priority: Priority) -> usize {
        std::iter::from_fn(|| self.queue.reserve(network(address), priority).ok()).take(5_000).count()
    }

    /// Pushes one low-priority job for each address, with ids from 1 on.
    fn enqueue_all(&mut self, addresses: &[&str]) -> Vec<ReplyReceiver> {
        (1..).zip(addresses).map(|(id, address)| self.enqueue_from(address, id, Priority::Low, 0)).collect()
    }

    /// The ids of all jobs in the order in which one thread hashes them.
    fn drain(&mut self) -> Vec<u8> {
        let next = || {
            let job = self.queue.pop(self.started_at)?;
            self.queue.done(job.network, None);
            Some(job.recipe.salt[0])
        };
        std::iter::from_fn(next).collect()
    }
}

#[test]
fn slots_fill_three_quarters_of_the_max_wait() {
    // 75 ms at 10 ms each: the first is hashed at once, and 7 wait behind it.
    assert_eq!(TestQueue::new(1).reserve_all(Priority::Low), 8);
    // Two threads hash at once, so twice as many.
    assert_eq!(TestQueue::new(2).reserve_all(Priority::Low), 17);
    let mut busy = TestQueue::new(1);
    let _reply = busy.enqueue(1, Priority::Low, 0);
    busy.pop(0);
    assert_eq!(busy.reserve_all(Priority::Low), 7);
    busy.queue.done(network(ADA), Some(HASH_TIME));
    busy.queue.release(network(ADA), Priority::Low);
    assert_eq!(busy.reserve_all(Priority::Low), 2);
}

#[test]
fn slower_hashing_leaves_fewer_slots() {
    let mut test = TestQueue::new(1);
    let _reply = test.enqueue(1, Priority::Low, 0);
    test.pop(0);
    test.queue.done(network(ADA), Some(HASH_TIME * 25));
    assert_eq!(test.queue.hash_time, HASH_TIME * 4);
    assert_eq!(test.reserve_all(Priority::Low), 2);
}

#[test]
fn zero_max_wait_admits_only_free_threads() {
    let mut test = TestQueue::new(2);
    test.queue.max_wait = Duration::ZERO;
    assert_eq!(test.reserve_all(Priority::Low), 2);
}

#[test]
fn queue_length_is_bounded_however_fast_hashing_is() {
    let mut test = TestQueue::new(1);
    test.queue.hash_time = Duration::from_nanos(1);
    assert_eq!(test.reserve_all(Priority::Low), MAX_AHEAD);
}

#[test]
fn high_priority_is_hashed_before_low_priority() {
    let mut test = TestQueue::new(1);
    assert_eq!(test.reserve_all(Priority::Low), 8);
    assert_eq!(test.reserve_all(Priority::High), 8);
    let mut test = TestQueue::new(1);
    let _replies = [(1, Priority::Low), (2, Priority::Low), (3, Priority::High), (4, Priority::High)]
        .map(|(id, priority)| test.enqueue(id, priority, 0));
    assert_eq!([(); 5].map(|()| test.pop(1)), [Some(3), Some(4), Some(1), Some(2), None]);
}

#[test]
fn old_queue_is_hashed_newest_first() {
    let mut test = TestQueue::new(1);
    let _replies: Vec<_> = (1..=4).map(|id| test.enqueue(id, Priority::Low, u64::from(id) * 10)).collect();
    assert_eq!(test.pop(97), Some(1), "87 ms are not old yet");
    assert_eq!(test.pop(108), Some(4), "88 ms are");
    assert_eq!(test.pop(109), Some(3));
    assert_eq!(test.pop(110), Some(2));
}

#[test]
fn job_older_than_the_max_wait_is_rejected() {
    let mut test = TestQueue::new(1);
    let mut late = test.enqueue(1, Priority::Low, 0);
    let _in_time = test.enqueue(2, Priority::Low, 1);
    assert_eq!(test.pop(101), Some(2), "100 ms is the maximum wait");
    assert_eq!(late.try_recv().unwrap(), Err(Overloaded));
}

#[test]
fn dropped_jobs_are_skipped_at_both_ends() {
    let mut test = TestQueue::new(1);
    let mut replies: Vec<_> = (1..=5).map(|id| Some(test.enqueue(id, Priority::Low, 0))).collect();
    replies[0] = None;
    replies[4] = None;
    assert_eq!(test.pop(1), Some(2));
    assert_eq!(test.pop(90), Some(4), "an old queue, from its end");
    replies[2] = None;
    assert_eq!(test.pop(91), None);
}

#[test]
fn low_priority_is_rejected_in_time_behind_high_priority() {
    let mut test = TestQueue::new(1);
    let mut late = test.enqueue(1, Priority::Low, 0);
    let _entering = test.enqueue(2, Priority::High, 100);
    assert_eq!(test.pop(101), Some(2));
    assert_eq!(late.try_recv().unwrap(), Err(Overloaded));
}

#[test]
fn zero_max_wait_lets_a_thread_wake_up() {
    let mut test = TestQueue::new(1);
    test.queue.max_wait = Duration::ZERO;
    let _reply = test.enqueue(1, Priority::Low, 0);
    assert_eq!(test.pop(5), Some(1));
}

#[test]
fn queue_is_stuck_when_expired_jobs_remain() {
    let mut test = TestQueue::new(1);
    let _waits = test.enqueue(1, Priority::Low, 0);
    let stuck = |at| test.queue.is_stuck(test.started_at + ms(at));
    assert!(!stuck(30_100) && stuck(30_101));
}

#[test]
fn networks_are_hashed_in_turn() {
    let mut test = TestQueue::new(1);
    let _replies = test.enqueue_all(&[EVE, EVE, EVE, EVE, ADA, ADA, BOB]);
    assert_eq!(test.drain(), [1, 5, 7, 2, 6, 3, 4]);
}

#[test]
fn site_takes_turns_before_its_networks() {
    let mut test = TestQueue::new(1);
    let (eve, eves_second, other_site) = ("2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:2:1::1");
    let _replies = test.enqueue_all(&[eve, eve, eves_second, eves_second, other_site, other_site, "2001:db8:1:1::2"]);
    assert_eq!(test.drain(), [1, 5, 3, 6, 2, 4, 7], "7 is in the /64 of 1");
}

#[test]
fn first_login_of_a_network_goes_ahead() {
    let mut test = TestQueue::new(1);
    let _registrations = test.enqueue_all(&[ADA, BOB]);
    let _logins = [3, 4].map(|id| test.enqueue_from(EVE, id, Priority::High, 0));
    let _own_login = test.enqueue_from(BOB, 5, Priority::High, 0);
    assert_eq!(test.drain(), [3, 5, 1, 4, 2], "further logins take turns with the registrations of others");
}

/// A registration does not wait for a flood while there are few, nor does it wait behind all others if there are many.
#[test]
fn four_newcomers_go_before_a_network_in_turn() {
    let mut test = TestQueue::new(1);
    let mut replies = test.enqueue_all(&[EVE, EVE, EVE]);
    assert_eq!(test.pop(0), Some(1));
    let address = |n: u8| format!("198.51.100.{n}");
    replies.extend((4..10).map(|n| test.enqueue_from(&address(n), n, Priority::Low, 0)));
    test.queue.done(network(EVE), None);
    assert_eq!(test.drain(), [4, 5, 6, 7, 2, 8, 9, 3]);
}

/// A network that always has a login queued would otherwise always go ahead.
#[test]
fn continuous_logins_starve_no_registration() {
    let mut test = TestQueue::new(1);
    let _registrations = test.enqueue_all(&[ADA, ADA, ADA, BOB]);
    let mut replies = vec![test.enqueue_from(EVE, 10, Priority::High, 0)];
    let mut hashed = vec![];
    for id in 11..21 {
        let job = test.queue.pop(test.started_at).unwrap();
        hashed.push(job.recipe.salt[0]);
        replies.push(test.enqueue_from(EVE, id, Priority::High, 0));
        test.queue.done(job.network, None);
    }
    assert_eq!(hashed[..7], [10, 1, 4, 11, 2, 12, 3]);
}

#[test]
fn quiet_network_is_admitted_to_a_full_queue() {
    for flood in [Priority::Low, Priority::High] {
        let mut test = TestQueue::new(1);
        assert_eq!(test.reserve_all_from(EVE, flood), 8);
        // Each waits for one job of the flood.
        assert_eq!(test.reserve_all_from(ADA, Priority::Low), 4);
        assert!(test.queue.reserve(network(BOB), Priority::Low).is_ok());
        assert!(test.queue.reserve(network(BOB), Priority::High).is_ok());
        assert!(test.queue.reserve(network(EVE), flood).is_err());
    }
}

#[test]
fn network_gets_half_of_the_queue_while_another_waits() {
    let mut test = TestQueue::new(1);
    assert!(test.queue.reserve(network(ADA), Priority::Low).is_ok());
    assert_eq!(test.reserve_all_from(EVE, Priority::High), 4);
    test.queue.release(network(ADA), Priority::Low);
    assert_eq!(test.reserve_all_from(EVE, Priority::High), 4, "all of it alone");
}

#[test]
fn half_of_the_queue_is_for_all_of_a_site() {
    let mut test = TestQueue::new(1);
    assert!(test.queue.reserve(network("2001:db8:2::1"), Priority::Low).is_ok());
    let eve = |n: u16| format!("2001:db8:1:{n:x}::1");
    let slots: usize = (0..8).map(|n| test.reserve_all_from(&eve(n), Priority::High)).sum();
    assert_eq!(slots, 4);
}

#[test]
fn waiting_networks_share_the_queue() {
    let mut test = TestQueue::new(1);
    let address = |n: u8| format!("192.0.2.{n}");
    let slots: Vec<_> = (1..=10).map(|n| test.reserve_all_from(&address(n), Priority::Low)).collect();
    // As many as are in time if each of the others gets a turn before each of them.
    assert_eq!(slots, [8, 4, 2, 2, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn total_is_bounded_however_many_networks_wait() {
    let mut test = TestQueue::new(1);
    test.queue.hash_time = Duration::from_nanos(1);
    let address = |n: u32| std::net::Ipv4Addr::from_bits(n).to_string();
    let slots: usize = (0..2_000).map(|n| test.reserve_all_from(&address(n), Priority::High)).sum();
    assert_eq!((slots, test.queue.len()), (MAX_QUEUED, MAX_QUEUED));
}

#[test]
fn idle_networks_are_forgotten() {
    let mut test = TestQueue::new(1);
    let mut replies = test.enqueue_all(&[ADA, BOB, EVE, "2001:db8::1"]);
    assert!(test.queue.reserve(network("192.0.2.4"), Priority::High).is_ok());
    assert_eq!(test.queue.turns.len(), 5);
    test.queue.release(network("192.0.2.4"), Priority::High);
    assert_eq!(test.pop(0), Some(1));
    test.queue.done(network(ADA), None);
    drop(replies.remove(1));
    assert_eq!(test.pop(0), Some(3), "2 has disconnected");
    assert_eq!((test.queue.turns.len(), test.queue.len()), (2, 1), "one is being hashed");
    test.queue.done(network(EVE), None);
    assert_eq!(test.pop(101), None, "4 has expired");
    assert!(test.queue.turns.is_idle() && test.queue.waiting.is_empty() && test.queue.len() == 0);
}

#[test]
fn expired_jobs_of_all_networks_are_rejected() {
    let mut test = TestQueue::new(1);
    let mut late: Vec<_> = test.enqueue_all(&[ADA, BOB]);
    let _login = test.enqueue_from(EVE, 3, Priority::High, 50);
    assert_eq!(test.pop(101), Some(3));
    for reply in &mut late {
        assert_eq!(reply.try_recv().unwrap(), Err(Overloaded));
    }
}

#[test]
fn old_jobs_of_a_network_are_hashed_newest_first() {
    let mut test = TestQueue::new(1);
    let _old = [1, 2].map(|id| test.enqueue_from(EVE, id, Priority::Low, u64::from(id)));
    let _new = [3, 4].map(|id| test.enqueue_from(ADA, id, Priority::Low, 80));
    assert_eq!([90; 4].map(|at| test.pop(at)), [Some(2), Some(3), Some(1), Some(4)]);
}
