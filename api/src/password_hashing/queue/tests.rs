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

type ReplyReceiver = Receiver<Result<Tag, Overloaded>>;

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

    /// Pushes a job that many milliseconds after the start. Its salt identifies it. The caller keeps the receiver, also
    /// while the job is hashed: dropping it means that the client has disconnected.
    fn enqueue(&mut self, id: u8, priority: Priority, at_ms: u64) -> ReplyReceiver {
        self.queue.lane(priority).reserved += 1;
        let (reply, receiver) = oneshot::channel();
        let recipe = Recipe { costs: Costs { memory_kib: 8, passes: 1 }, salt: [id; 16] };
        let password = Password::parse("correct horse").unwrap();
        self.queue.push(Job::new(password, recipe, priority, self.started_at + ms(at_ms), reply));
        receiver
    }

    /// Pops a job that many milliseconds after the start; returns its id.
    fn pop(&mut self, at_ms: u64) -> Option<u8> {
        let job = self.queue.pop(self.started_at + ms(at_ms));
        job.map(|job| job.recipe.salt[0])
    }

    /// Reserves as many slots as possible; returns how many.
    fn reserve_all(&mut self, priority: Priority) -> usize {
        std::iter::from_fn(|| self.queue.reserve(priority).ok()).take(5_000).count()
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
    busy.queue.done(Some(HASH_TIME));
    busy.queue.release(Priority::Low);
    assert_eq!(busy.reserve_all(Priority::Low), 2);
}

#[test]
fn slower_hashing_leaves_fewer_slots() {
    let mut test = TestQueue::new(1);
    let _reply = test.enqueue(1, Priority::Low, 0);
    test.pop(0);
    test.queue.done(Some(HASH_TIME * 25));
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
