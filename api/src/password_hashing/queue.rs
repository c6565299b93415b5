//! The hash queue: networks in turn, two priorities, a maximum wait, and early rejection of jobs that would exceed it
//! (load shedding, see decisions 0014 and 0031). Time is an argument.

mod lanes;
mod turns;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Overloaded, job::Job};
use crate::domain::network::Network;
use lanes::Lanes;
use turns::{Position, Share, Turns};

/// The maximum number of jobs ahead of a new one, however fast the machine is.
const MAX_AHEAD: usize = 1024;

/// The maximum number of jobs and slots of all networks. A network that others fill the queue for is admitted by its
/// own position, so the total can be larger than what is ahead of any one.
const MAX_QUEUED: usize = 4 * MAX_AHEAD;

/// The maximum wait is never shorter than this, however short it is set: an idle thread needs this long to wake up.
const THREAD_WAKE_UP_TIME: Duration = Duration::from_millis(10);

/// A job older than the maximum wait and this means that all hash threads are stuck.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The fraction of the maximum wait that the estimated wait may reach. The rest is for the database queries between the
/// permit and the push, and for a machine that has become slower.
const ADMISSION_FRACTION: f64 = 0.75;

/// The prefix lengths of the IPv6 networks that take turns: a customer often controls a whole /48.
const SITE_PREFIX: u8 = 48;
const NETWORK_PREFIX: u8 = 64;

/// The priority of a job: requests of clients that have an account or a code go before new registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// High: logins, activations, password changes.
    High,
    /// Low: new registrations.
    Low,
}

/// Identifies a job in the queue; increases in the order of arrival.
type JobId = u64;

/// The jobs that wait, oldest first.
type Waiting = BTreeMap<JobId, Job>;

/// The jobs that wait, and the slots reserved for jobs that are still to come.
pub(crate) struct Queue {
    threads: usize,
    /// The maximum time that a job waits.
    max_wait: Duration,
    /// How long a hash takes: a moving average.
    hash_time: Duration,
    /// The number of threads that are hashing.
    busy: usize,
    waiting: Waiting,
    next_id: JobId,
    /// In which order the jobs are hashed.
    turns: Turns<SITE_PREFIX, Turns<NETWORK_PREFIX, Lanes>>,
    pub(crate) closed: bool,
}

impl Queue {
    /// `hash_time` is the initial estimate of how long a hash takes.
    pub(crate) fn new(threads: usize, max_wait: Duration, hash_time: Duration) -> Self {
        let (waiting, turns) = (Waiting::new(), Turns::default());
        Self { threads, max_wait, hash_time, busy: 0, waiting, next_id: 0, turns, closed: false }
    }

    /// Reserves a slot, if the estimated wait of this network is well below the maximum wait (see
    /// [`ADMISSION_FRACTION`]), and if the network does not hold half of the queue while others wait.
    pub(crate) fn reserve(&mut self, network: Network, priority: Priority) -> Result<(), Overloaded> {
        let Position { ahead, held } = self.turns.position(network, priority);
        let is_full =
            ahead >= MAX_AHEAD || self.len() >= MAX_QUEUED || self.estimated_wait(ahead) > self.max_estimate();
        if is_full || held > 0 && held >= self.capacity() / 2 {
            return Err(Overloaded);
        }
        self.turns.reserve(network, priority);
        Ok(())
    }

    /// Releases a reserved slot that was not used.
    pub(crate) fn release(&mut self, network: Network, priority: Priority) {
        self.turns.release(network, priority);
    }

    /// Queues a job in a reserved slot.
    pub(crate) fn push(&mut self, job: Job) {
        self.turns.push(self.next_id, job.network, job.priority);
        self.waiting.insert(self.next_id, job);
        self.next_id += 1;
    }

    /// Takes the next job whose client still waits; it keeps a thread busy until [`Self::done`]. Rejects expired jobs.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Job> {
        let max_wait = self.max_wait.max(THREAD_WAKE_UP_TIME);
        // Of all networks and priorities, so that jobs are rejected in time while others are hashed.
        while let Some(oldest) = self.waiting.first_entry()
            && (oldest.get().reply.is_closed() || oldest.get().waited(now) > max_wait)
        {
            let late = oldest.remove();
            self.turns.remove_oldest(late.network, late.priority);
            late.reject();
        }
        let id = self.turns.pop(&mut self.waiting, now, max_wait)?;
        let job = self.waiting.remove(&id)?;
        self.busy += 1;
        Some(job)
    }

    /// The hash of a job of this network has ended: a thread is free again. `took` is how long it took, if it
    /// succeeded.
    pub(crate) fn done(&mut self, network: Network, took: Option<Duration>) {
        self.busy -= 1;
        self.turns.done(network);
        if let Some(took) = took {
            self.hash_time = (self.hash_time * 7 + took) / 8;
        }
    }

    /// The number of waiting jobs and reserved slots.
    pub(crate) fn len(&self) -> usize {
        self.turns.load().total()
    }

    /// Whether a job waits that any working thread would have rejected long ago.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        let oldest = self.waiting.first_key_value();
        oldest.is_some_and(|(_, job)| job.waited(now) > self.max_wait + STUCK_AFTER)
    }

    /// How long a job waits for a thread that has this many ahead.
    fn estimated_wait(&self, ahead: usize) -> Duration {
        // This many jobs must be done before a thread is free.
        let before = (ahead + self.busy).saturating_sub(self.threads - 1);
        self.hash_time.mul_f64(before as f64 / self.threads as f64)
    }

    /// The longest estimated wait that is admitted.
    fn max_estimate(&self) -> Duration {
        self.max_wait.mul_f64(ADMISSION_FRACTION)
    }

    /// How many jobs one network alone can queue while no thread is busy.
    fn capacity(&self) -> usize {
        let in_time = self.max_estimate().as_secs_f64() * self.threads as f64 / self.hash_time.as_secs_f64();
        (in_time as usize).saturating_add(self.threads).min(MAX_AHEAD)
    }
}

#[cfg(test)]
mod tests;
