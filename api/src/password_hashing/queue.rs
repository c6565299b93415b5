//! Which password is hashed next, and who is told at once that it would take too long. Time is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Overloaded, job::Job};

/// However fast the machine, nobody waits behind more than this many passwords.
const MOST_AHEAD: usize = 1024;

/// However short the max_wait: a thread that is free needs this to wake.
const MOMENT: Duration = Duration::from_millis(10);

/// Nobody waits so long while any thread gets on.
const STUCK: Duration = Duration::from_secs(30);

/// Who comes in already has an account or a code, and goes before those who only want one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    Entering,
    RegisterRequest,
}

pub(crate) struct Queue {
    threads: usize,
    /// Nobody waits longer.
    max_wait: Duration,
    /// For how long one password kept a thread, lately.
    pace: Duration,
    busy: usize,
    entering: Line,
    registering: Line,
    pub(crate) closed: bool,
}

/// Those with one errand.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Job>,
    /// ConnectionLimit whose passwords have not come yet.
    promised: usize,
}

impl Queue {
    pub(crate) fn new(threads: usize, max_wait: Duration, pace: Duration) -> Self {
        let (entering, registering) = (Line::default(), Line::default());
        Self { threads, max_wait, pace, busy: 0, entering, registering, closed: false }
    }

    /// A place, if the password would be hashed well before the max_wait ends: the rest of it is for the way
    /// through the database, and for a machine that is slower than it was.
    pub(crate) fn promise(&mut self, errand: Priority) -> Result<(), Overloaded> {
        let ahead = match errand {
            Priority::Entering => self.entering.len(),
            Priority::RegisterRequest => self.entering.len() + self.registering.len(),
        };
        // So many must be done before a thread is free.
        let before = (ahead + self.busy).saturating_sub(self.threads - 1);
        let wait = self.pace.mul_f64(before as f64 / self.threads as f64);
        if ahead >= MOST_AHEAD || wait > self.max_wait.mul_f64(0.75) {
            return Err(Overloaded);
        }
        self.line(errand).promised += 1;
        Ok(())
    }

    /// The place was not used.
    pub(crate) fn release(&mut self, errand: Priority) {
        self.line(errand).promised -= 1;
    }

    pub(crate) fn push(&mut self, job: Job) {
        let line = self.line(job.errand);
        line.promised -= 1;
        line.waiting.push_back(job);
    }

    /// The next one that somebody still waits for; it keeps a thread busy until `done`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Job> {
        let max_wait = self.max_wait.max(MOMENT);
        // In both lines: who waits behind those who enter is told in time, too.
        for line in [&mut self.entering, &mut self.registering] {
            line.expire(now, max_wait);
        }
        let job = self.entering.pop(now, max_wait).or_else(|| self.registering.pop(now, max_wait))?;
        self.busy += 1;
        Some(job)
    }

    /// A thread is free again, after so long if it has hashed.
    pub(crate) fn done(&mut self, took: Option<Duration>) {
        self.busy -= 1;
        if let Some(took) = took {
            self.pace = (self.pace * 7 + took) / 8;
        }
    }

    /// All that wait, and all that are still to come.
    pub(crate) fn len(&self) -> usize {
        self.entering.len() + self.registering.len()
    }

    /// Whether somebody waits whom any thread that is free would have sent away long ago.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        let oldest = [&self.entering, &self.registering].into_iter().filter_map(|line| line.waiting.front());
        oldest.into_iter().any(|job| job.waited(now) > self.max_wait + STUCK)
    }

    #[cfg(test)]
    pub(crate) fn pace(&self) -> Duration {
        self.pace
    }

    fn line(&mut self, errand: Priority) -> &mut Line {
        match errand {
            Priority::Entering => &mut self.entering,
            Priority::RegisterRequest => &mut self.registering,
        }
    }
}

impl Line {
    fn len(&self) -> usize {
        self.waiting.len() + self.promised
    }

    /// Drops those whose client has gone, or would hear of it too late; the oldest are asked first.
    fn expire(&mut self, now: Instant, max_wait: Duration) {
        while self.waiting.front().is_some_and(|job| job.answer.is_closed() || job.waited(now) > max_wait) {
            if let Some(late) = self.waiting.pop_front() {
                late.refuse();
            }
        }
    }

    fn pop(&mut self, now: Instant, max_wait: Duration) -> Option<Job> {
        // Things go slower than was foreseen: rather some in good time than all of them just too late.
        let old = self.waiting.front().is_some_and(|job| job.waited(now) > max_wait.mul_f64(0.875));
        loop {
            let job = if old { self.waiting.pop_back() } else { self.waiting.pop_front() }?;
            if !job.answer.is_closed() {
                return Some(job);
            }
        }
    }
}

#[cfg(test)]
mod tests;
