//! The thread pool that hashes passwords: one thread per core, each with its own memory, and a queue in which
//! networks take turns, with two priorities and a maximum wait. Requests that would exceed the maximum wait are rejected at once (load shedding: 503
//! `overloaded`).

mod engine;
mod job;
mod metrics;
mod permit;
mod queue;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use shared::telemetry::metrics::{GaugeGuard, gauge_value};

use crate::domain::{
    network::Network,
    password::{
        computed_hash::Tag,
        recipe::{Costs, Recipe},
    },
};
use engine::Engine;
pub(crate) use engine::EngineKind;
use job::Job;
pub(crate) use metrics::HashMetrics;
use metrics::RejectReason;
pub(crate) use permit::HashPermit;
pub(crate) use queue::Priority;
use queue::Queue;

/// The password was not hashed: the pool is overloaded, or hashing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// The settings of the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashSettings {
    pub(crate) engine: EngineKind,
    /// The costs of new hashes.
    pub(crate) costs: Costs,
    pub(crate) threads: usize,
    /// The maximum time that a password waits for a thread.
    pub(crate) max_wait: Duration,
}

/// A handle of the pool. The threads end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct HashPool {
    shared: Arc<Shared>,
    _close_on_drop: Arc<CloseOnDrop>,
}

struct CloseOnDrop(Arc<Shared>);

/// What the threads share.
pub(crate) struct Shared {
    settings: HashSettings,
    metrics: HashMetrics,
    queue: Mutex<Queue>,
    /// Notified when a job is pushed or the queue is closed.
    changed: Condvar,
}

impl HashPool {
    /// Starts the threads. Fails when an engine computes wrong hashes.
    pub(crate) fn start(settings: HashSettings, metrics: HashMetrics) -> anyhow::Result<Self> {
        engine::check(settings.engine, settings.costs)?;
        let mut first = Engine::new(settings.engine, settings.costs);
        let hash_time = warm_up(&mut first, settings.costs)?;
        let others = (1..settings.threads).map(|_| Engine::new(settings.engine, settings.costs));
        let queue = Mutex::new(Queue::new(settings.threads, settings.max_wait, hash_time));
        let shared = Arc::new(Shared { settings, metrics, queue, changed: Condvar::new() });
        for (n, engine) in std::iter::once(first).chain(others).enumerate() {
            let thread_shared = Arc::clone(&shared);
            let alive = GaugeGuard::new(&shared.metrics.threads);
            let work = move || {
                let _alive = alive;
                thread_shared.work(engine);
            };
            std::thread::Builder::new().name(format!("hash-{n}")).spawn(work).context("cannot start a hash thread")?;
        }
        Ok(Self { _close_on_drop: Arc::new(CloseOnDrop(Arc::clone(&shared))), shared })
    }

    /// The costs of new hashes.
    pub(crate) fn costs(&self) -> Costs {
        self.shared.settings.costs
    }

    /// Reserves a slot in the queue for a client in this network, or rejects at once if the estimated wait is too long.
    pub(crate) fn reserve(&self, network: Network, priority: Priority) -> Result<HashPermit, Overloaded> {
        let reserved = self.shared.queue().reserve(network, priority);
        reserved.inspect_err(|_| self.shared.metrics.rejected(RejectReason::Full))?;
        Ok(HashPermit::new(Arc::clone(&self.shared), network, priority))
    }

    /// Whether all threads are alive and the queue makes progress. A full queue is healthy: to take this process out of
    /// the load balancer would only fill the queue of the next one, and requests without a hash are still answered
    /// here.
    pub(crate) fn is_healthy(&self) -> bool {
        let Shared { metrics, settings, .. } = &*self.shared;
        metrics.threads.get() == i64::try_from(settings.threads).unwrap_or(i64::MAX)
            && !self.shared.queue().is_stuck(now())
    }

    /// Updates the metric of the queue length, before the metrics are read.
    pub(crate) fn update_metrics(&self) {
        let queue_length = self.shared.queue().len();
        self.shared.metrics.queue_length.set(gauge_value(queue_length));
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock leaves the queue inconsistent, so a poisoned lock is safe to use.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job. `None` when the pool is closed and the queue is empty.
    fn next_job(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.pop(now()) {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The loop of a hash thread.
    fn work(&self, mut engine: Engine) {
        let HashSettings { engine: kind, costs, .. } = self.settings;
        // So that the first password does not wait for the memory. An error would occur again with that password.
        let _ = warm_up(&mut engine, costs);
        while let Some(mut job) = self.next_job() {
            let started_at = now();
            let span = job.start();
            // A panic must not end the thread: the pool would shrink silently.
            let hashed = catch_unwind(AssertUnwindSafe(|| hash(&mut engine, &job, costs)));
            drop(span);
            let took = now() - started_at;
            self.queue().done(job.network, matches!(hashed, Ok(Ok(_))).then_some(took));
            match hashed {
                Ok(Ok(tag)) => {
                    self.metrics.hashed(job.waited(started_at), took);
                    let _ = job.reply.send(Ok(tag));
                }
                // Dropping `reply` reports the failure.
                Ok(Err(Overloaded)) => {}
                Err(_) => engine = Engine::new(kind, costs),
            }
        }
    }
}

/// Hashes once, so that the memory is allocated; returns how long a hash with these costs takes.
fn warm_up(engine: &mut Engine, costs: Costs) -> anyhow::Result<Duration> {
    let started_at = now();
    engine.hash(b"vestibule", &Recipe { costs, salt: [0; 16] })?;
    Ok(now() - started_at)
}

/// Hashes the password of a job. Takes at least as long as a hash with `costs`.
fn hash(engine: &mut Engine, job: &Job, costs: Costs) -> Result<Tag, Overloaded> {
    let failed = |error| {
        tracing::error!(error = format!("{error:#}"), "password hash failed");
        Overloaded
    };
    let tag = engine.hash(job.password.bytes(), &job.recipe).map_err(failed)?;
    // A hash from before the costs were raised must take as long as a new one: the response time would reveal that the
    // email address has an account.
    if let Some(padding) = job.recipe.costs.padding_to(costs) {
        engine.hash(job.password.bytes(), &Recipe { costs: padding, ..job.recipe }).map_err(failed)?;
    }
    Ok(tag)
}

#[expect(clippy::disallowed_methods, reason = "the pool measures how long its own jobs wait and take")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
