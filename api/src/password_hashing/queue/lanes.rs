//! The jobs of one network: a lane for each priority.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    JobId, Priority, Waiting,
    turns::{Load, Position, Share},
};
use crate::domain::network::Network;

/// From this fraction of the maximum wait on, a lane is old: newer jobs are hashed first.
const OLD_FRACTION: f64 = 0.875;

/// The jobs and reserved slots of one network.
#[derive(Default)]
pub(super) struct Lanes {
    high: Lane,
    low: Lane,
    /// Jobs that are being hashed.
    running: usize,
}

/// The jobs of one priority.
#[derive(Default)]
struct Lane {
    /// Oldest first.
    jobs: VecDeque<JobId>,
    /// Permits whose jobs have not been pushed yet.
    reserved: usize,
}

impl Lanes {
    fn lane(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::High => &mut self.high,
            Priority::Low => &mut self.low,
        }
    }
}

impl Share for Lanes {
    fn load(&self) -> Load {
        Load { high: self.high.len(), low: self.low.len() }
    }

    fn position(&self, _: Network, priority: Priority) -> Position {
        let ahead = match priority {
            Priority::High => self.high.len(),
            Priority::Low => self.high.len() + self.low.len(),
        };
        Position { ahead, held: 0 }
    }

    fn reserve(&mut self, _: Network, priority: Priority) {
        self.lane(priority).reserved += 1;
    }

    fn release(&mut self, _: Network, priority: Priority) {
        self.lane(priority).reserved -= 1;
    }

    fn push(&mut self, id: JobId, _: Network, priority: Priority) {
        let lane = self.lane(priority);
        lane.reserved -= 1;
        lane.jobs.push_back(id);
    }

    fn next_priority(&self) -> Option<Priority> {
        match (self.high.jobs.is_empty(), self.low.jobs.is_empty()) {
            (false, _) => Some(Priority::High),
            (true, false) => Some(Priority::Low),
            (true, true) => None,
        }
    }

    fn pop(&mut self, waiting: &mut Waiting, now: Instant, max_wait: Duration) -> Option<JobId> {
        let id = self.high.pop(waiting, now, max_wait).or_else(|| self.low.pop(waiting, now, max_wait))?;
        self.running += 1;
        Some(id)
    }

    fn remove_oldest(&mut self, _: Network, priority: Priority) {
        self.lane(priority).jobs.pop_front();
    }

    fn done(&mut self, _: Network) {
        self.running -= 1;
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.load() == Load::default()
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.jobs.len() + self.reserved
    }

    fn pop(&mut self, waiting: &mut Waiting, now: Instant, max_wait: Duration) -> Option<JobId> {
        // An old lane means that hashing is slower than estimated. Newest first answers some jobs in time, where oldest
        // first would answer all of them just too late.
        let oldest = self.jobs.front().and_then(|id| waiting.get(id));
        let is_old = oldest.is_some_and(|job| job.waited(now) > max_wait.mul_f64(OLD_FRACTION));
        loop {
            let id = if is_old { self.jobs.pop_back() } else { self.jobs.pop_front() }?;
            if waiting.get(&id).is_some_and(|job| !job.reply.is_closed()) {
                return Some(id);
            }
            waiting.remove(&id);
        }
    }
}
