//! The hash queue: two priorities, a maximum wait, and early rejection of jobs that would exceed it (load shedding, see
//! decision 0014). Time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Overloaded, job::Job};

/// The maximum number of jobs ahead of a new one, however fast the machine is.
const MAX_AHEAD: usize = 1024;

/// The maximum wait is never shorter than this, however short it is set: an idle thread needs this long to wake up.
const THREAD_WAKE_UP_TIME: Duration = Duration::from_millis(10);

/// A job older than the maximum wait and this means that all hash threads are stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The fraction of the maximum wait that the estimated wait may reach. The rest is for the database queries between the
/// permit and the push, and for a machine that has become slower.
const ADMISSION_FRACTION: f64 = 0.75;

/// From this fraction of the maximum wait on, the queue is old: newer jobs are hashed first.
const OLD_FRACTION: f64 = 0.875;

/// The priority of a job: requests of clients that have an account or a code go before new registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// High: logins, activations, password changes.
    High,
    /// Low: new registrations.
    Low,
}

/// The jobs that wait, and the slots reserved for jobs that are still to come.
pub(crate) struct Queue {
    threads: usize,
    /// The maximum time that a job waits.
    max_wait: Duration,
    /// How long a hash takes: a moving average.
    hash_time: Duration,
    /// The number of threads that are hashing.
    busy: usize,
    high: Lane,
    low: Lane,
    pub(crate) closed: bool,
}

/// The jobs of one priority.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Job>,
    /// Permits whose jobs have not been pushed yet.
    reserved: usize,
}

impl Queue {
    /// `hash_time` is the initial estimate of how long a hash takes.
    pub(crate) fn new(threads: usize, max_wait: Duration, hash_time: Duration) -> Self {
        let (high, low) = (Lane::default(), Lane::default());
        Self { threads, max_wait, hash_time, busy: 0, high, low, closed: false }
    }

    /// Reserves a slot, if the estimated wait is well below the maximum wait (see [`ADMISSION_FRACTION`]).
    pub(crate) fn reserve(&mut self, priority: Priority) -> Result<(), Overloaded> {
        let ahead = match priority {
            Priority::High => self.high.len(),
            Priority::Low => self.high.len() + self.low.len(),
        };
        // This many jobs must be done before a thread is free.
        let before = (ahead + self.busy).saturating_sub(self.threads - 1);
        let estimated_wait = self.hash_time.mul_f64(before as f64 / self.threads as f64);
        if ahead >= MAX_AHEAD || estimated_wait > self.max_wait.mul_f64(ADMISSION_FRACTION) {
            return Err(Overloaded);
        }
        self.lane(priority).reserved += 1;
        Ok(())
    }

    /// Releases a reserved slot that was not used.
    pub(crate) fn release(&mut self, priority: Priority) {
        self.lane(priority).reserved -= 1;
    }

    /// Queues a job in a reserved slot.
    pub(crate) fn push(&mut self, job: Job) {
        let lane = self.lane(job.priority);
        lane.reserved -= 1;
        lane.waiting.push_back(job);
    }

    /// Takes the next job whose client still waits; it keeps a thread busy until [`Self::done`]. Rejects expired jobs.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Job> {
        let max_wait = self.max_wait.max(THREAD_WAKE_UP_TIME);
        // In both lanes, so that low-priority jobs are rejected in time while there are high-priority ones.
        for lane in [&mut self.high, &mut self.low] {
            lane.expire(now, max_wait);
        }
        let job = self.high.pop(now, max_wait).or_else(|| self.low.pop(now, max_wait))?;
        self.busy += 1;
        Some(job)
    }

    /// A thread is free again. `took` is how long the hash took, if it succeeded.
    pub(crate) fn done(&mut self, took: Option<Duration>) {
        self.busy -= 1;
        if let Some(took) = took {
            self.hash_time = (self.hash_time * 7 + took) / 8;
        }
    }

    /// The number of waiting jobs and reserved slots.
    pub(crate) fn len(&self) -> usize {
        self.high.len() + self.low.len()
    }

    /// Whether a job waits that any working thread would have rejected long ago.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        let oldest = [&self.high, &self.low].into_iter().filter_map(|lane| lane.waiting.front());
        oldest.into_iter().any(|job| job.waited(now) > self.max_wait + STUCK_AFTER)
    }

    /// The moving average of how long a hash takes.
    #[cfg(test)]
    pub(crate) fn hash_time(&self) -> Duration {
        self.hash_time
    }

    fn lane(&mut self, priority: Priority) -> &mut Lane {
        match priority {
            Priority::High => &mut self.high,
            Priority::Low => &mut self.low,
        }
    }
}

impl Lane {
    fn len(&self) -> usize {
        self.waiting.len() + self.reserved
    }

    /// Removes the oldest jobs whose client has disconnected or that have waited longer than `max_wait`.
    fn expire(&mut self, now: Instant, max_wait: Duration) {
        while self.waiting.front().is_some_and(|job| job.reply.is_closed() || job.waited(now) > max_wait) {
            if let Some(late) = self.waiting.pop_front() {
                late.reject();
            }
        }
    }

    fn pop(&mut self, now: Instant, max_wait: Duration) -> Option<Job> {
        // An old queue means that hashing is slower than estimated. Newest first answers some jobs in time, where
        // oldest first would answer all of them just too late.
        let is_old = self.waiting.front().is_some_and(|job| job.waited(now) > max_wait.mul_f64(OLD_FRACTION));
        loop {
            let job = if is_old { self.waiting.pop_back() } else { self.waiting.pop_front() }?;
            if !job.reply.is_closed() {
                return Some(job);
            }
        }
    }
}

#[cfg(test)]
mod tests;
