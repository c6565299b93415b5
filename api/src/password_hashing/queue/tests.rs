//! Who comes first, who is sent away: to the edge, without a clock.

use tokio::sync::oneshot::{self, Receiver};

use super::*;
use crate::domain::password::{
    Password,
    proof::Tag,
    recipe::{Costs, Recipe},
};

const PACE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(100);

type Answer = Receiver<Result<Tag, Overloaded>>;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

struct SubscriberState {
    queue: Queue,
    begun: Instant,
}

impl SubscriberState {
    fn new(threads: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an Instant cannot be had otherwise")]
        Self { queue: Queue::new(threads, PATIENCE, PACE), begun: Instant::now() }
    }

    /// Somebody who came that many milliseconds after the beginning; the name is told by the salt.
    fn enqueue(&mut self, name: u8, errand: Priority, at: u64) -> Answer {
        self.queue.line(errand).promised += 1;
        let (answer, receiver) = oneshot::channel();
        let recipe = Recipe { costs: Costs { memory_kib: 8, passes: 1 }, salt: [name; 16] };
        let password = Password::given("correct horse").unwrap();
        self.queue.push(Job::new(password, recipe, errand, self.begun + ms(at), answer));
        receiver
    }

    fn pop(&mut self, at: u64) -> Option<u8> {
        let job = self.queue.pop(self.begun + ms(at));
        // The client of a job that is at work still waits: its answer must not look dropped.
        job.map(|job| job.recipe.salt[0])
    }

    fn places(&mut self, errand: Priority) -> usize {
        std::iter::from_fn(|| self.queue.promise(errand).ok()).take(5_000).count()
    }
}

#[test]
fn as_many_have_a_place_as_are_done_within_three_quarters_of_the_patience() {
    // 75 ms at 10 ms each: the first at once, and 7 behind it.
    assert_eq!(SubscriberState::new(1).places(Priority::RegisterRequest), 8);
    // Two are worked on at once, so twice as many.
    assert_eq!(SubscriberState::new(2).places(Priority::RegisterRequest), 17);
    let mut busy = SubscriberState::new(1);
    let _answer = busy.enqueue(1, Priority::RegisterRequest, 0);
    busy.pop(0);
    assert_eq!(busy.places(Priority::RegisterRequest), 7);
    busy.queue.done(Some(PACE));
    busy.queue.release(Priority::RegisterRequest);
    assert_eq!(busy.places(Priority::RegisterRequest), 2);
}

#[test]
fn when_hashing_is_slower_fewer_have_a_place() {
    let mut hall = SubscriberState::new(1);
    let _answer = hall.enqueue(1, Priority::RegisterRequest, 0);
    hall.pop(0);
    hall.queue.done(Some(PACE * 25));
    assert_eq!(hall.queue.pace, PACE * 4);
    assert_eq!(hall.places(Priority::RegisterRequest), 2);
}

#[test]
fn without_patience_only_a_free_thread_will_do() {
    let mut hall = SubscriberState::new(2);
    hall.queue.max_wait = Duration::ZERO;
    assert_eq!(hall.places(Priority::RegisterRequest), 2);
}

#[test]
fn however_fast_it_goes_the_queue_has_an_end() {
    let mut hall = SubscriberState::new(1);
    hall.queue.pace = Duration::from_nanos(1);
    assert_eq!(hall.places(Priority::RegisterRequest), MOST_AHEAD);
}

#[test]
fn who_enters_goes_before_who_registers() {
    let mut hall = SubscriberState::new(1);
    assert_eq!(hall.places(Priority::RegisterRequest), 8);
    assert_eq!(hall.places(Priority::Entering), 8);
    let mut hall = SubscriberState::new(1);
    let _answers = [
        (1, Priority::RegisterRequest),
        (2, Priority::RegisterRequest),
        (3, Priority::Entering),
        (4, Priority::Entering),
    ]
    .map(|(name, errand)| hall.enqueue(name, errand, 0));
    assert_eq!([(); 5].map(|()| hall.pop(1)), [Some(3), Some(4), Some(1), Some(2), None]);
}

#[test]
fn the_newest_go_first_once_the_queue_is_old() {
    let mut hall = SubscriberState::new(1);
    let _answers: Vec<_> =
        (1..=4).map(|name| hall.enqueue(name, Priority::RegisterRequest, u64::from(name) * 10)).collect();
    assert_eq!(hall.pop(97), Some(1), "87 ms are not old yet");
    assert_eq!(hall.pop(108), Some(4), "88 ms are");
    assert_eq!(hall.pop(109), Some(3));
    assert_eq!(hall.pop(110), Some(2));
}

#[test]
fn who_waited_too_long_is_told_so_and_not_hashed() {
    let mut hall = SubscriberState::new(1);
    let mut late = hall.enqueue(1, Priority::RegisterRequest, 0);
    let _in_time = hall.enqueue(2, Priority::RegisterRequest, 1);
    assert_eq!(hall.pop(101), Some(2), "100 ms are waited, and no more");
    assert_eq!(late.try_recv().unwrap(), Err(Overloaded));
}

#[test]
fn who_has_gone_is_passed_over_from_either_end() {
    let mut hall = SubscriberState::new(1);
    let mut answers: Vec<_> = (1..=5).map(|name| Some(hall.enqueue(name, Priority::RegisterRequest, 0))).collect();
    answers[0] = None;
    answers[4] = None;
    assert_eq!(hall.pop(1), Some(2));
    assert_eq!(hall.pop(90), Some(4), "an old queue, from its end");
    answers[2] = None;
    assert_eq!(hall.pop(91), None);
}

#[test]
fn who_registers_is_told_in_time_though_others_enter() {
    let mut hall = SubscriberState::new(1);
    let mut late = hall.enqueue(1, Priority::RegisterRequest, 0);
    let _entering = hall.enqueue(2, Priority::Entering, 100);
    assert_eq!(hall.pop(101), Some(2));
    assert_eq!(late.try_recv().unwrap(), Err(Overloaded));
}

#[test]
fn without_patience_a_free_thread_still_has_the_moment_that_it_needs_to_wake() {
    let mut hall = SubscriberState::new(1);
    hall.queue.max_wait = Duration::ZERO;
    let _answer = hall.enqueue(1, Priority::RegisterRequest, 0);
    assert_eq!(hall.pop(5), Some(1));
}

#[test]
fn a_pool_is_stuck_when_somebody_waits_whom_any_free_thread_would_have_sent_away() {
    let mut hall = SubscriberState::new(1);
    let _waits = hall.enqueue(1, Priority::RegisterRequest, 0);
    let stuck = |at| hall.queue.is_stuck(hall.begun + ms(at));
    assert!(!stuck(30_100) && stuck(30_101));
}
