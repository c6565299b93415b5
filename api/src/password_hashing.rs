//! The threads that hash passwords: as many as cores, each with its own memory, and a queue that no
//! password waits in for longer than it is worth.

mod engine;
mod job;
mod queue;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::domain::password::{
    proof::Tag,
    recipe::{Costs, Recipe},
};
use engine::Engine;
pub(crate) use engine::EngineKind;
use job::Job;
pub(crate) use metrics::HashMetrics;
use metrics::RejectReason;
pub(crate) use permit::HashPermit;
pub(crate) use queue::Priority;
use queue::Queue;

/// The pool is full: the password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// What the pool is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashSettings {
    pub(crate) engine: EngineKind,
    /// Of a new hash.
    pub(crate) costs: Costs,
    pub(crate) threads: usize,
    pub(crate) max_wait: Duration,
}

#[derive(Clone)]
pub(crate) struct HashPool {
    shared: Arc<Shared>,
    /// The threads end when the last of these goes.
    _handle: Arc<Handle>,
}

struct Handle(Arc<Shared>);

pub(crate) struct Shared {
    settings: HashSettings,
    counts: HashMetrics,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl HashPool {
    /// Fails when the engine does not compute what it must.
    pub(crate) fn start(settings: HashSettings, counts: HashMetrics) -> anyhow::Result<Self> {
        engine::check(settings.costs)?;
        let mut first = Engine::new(settings.engine, settings.costs);
        let pace = warm(&mut first, settings.costs)?;
        let others = (1..settings.threads).map(|_| Engine::new(settings.engine, settings.costs));
        let queue = Mutex::new(Queue::new(settings.threads, settings.max_wait, pace));
        let shared = Arc::new(Shared { settings, counts, queue, changed: Condvar::new() });
        for (n, engine) in std::iter::once(first).chain(others).enumerate() {
            let (shared, alive) = (Arc::clone(&shared), shared.counts.threads.hold());
            let thread = std::thread::Builder::new().name(format!("hash-{n}"));
            let work = move || {
                let _alive = alive;
                shared.work(engine);
            };
            thread.spawn(work).context("cannot start the hash threads")?;
        }
        Ok(Self { _handle: Arc::new(Handle(Arc::clone(&shared))), shared })
    }

    /// The costs of a new hash.
    pub(crate) fn costs(&self) -> Costs {
        self.shared.settings.costs
    }

    /// Takes a place in the queue, or is told at once that there is none.
    pub(crate) fn admit(&self, errand: Priority) -> Result<HashPermit, Overloaded> {
        let promised = self.shared.queue().promise(errand);
        promised.inspect_err(|_| self.shared.counts.refused(RejectReason::Full))?;
        Ok(HashPermit::new(Arc::clone(&self.shared), errand))
    }

    /// Whether its threads live, and get on with what waits. One that is merely full is well: to send people elsewhere
    /// for it would only fill the next one, and what needs no hash is answered here as ever.
    pub(crate) fn is_well(&self) -> bool {
        let Shared { counts, settings, .. } = &*self.shared;
        counts.threads.get() == i64::try_from(settings.threads).unwrap_or(i64::MAX)
            && !self.shared.queue().is_stuck(now())
    }

    /// For who looks at the metrics.
    pub(crate) fn see(&self) {
        let waiting = self.shared.queue().len();
        self.shared.counts.waiting.set(waiting);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two lines of ours, so a panic elsewhere spoils nothing.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a password. `None` when there will be none any more.
    fn next(&self) -> Option<Job> {
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

    fn work(&self, mut engine: Engine) {
        let HashSettings { engine: kind, costs, .. } = self.settings;
        // So that the first password does not pay for the memory. What is wrong with it will be told then.
        let _ = warm(&mut engine, costs);
        while let Some(mut job) = self.next() {
            let (begun, span) = (now(), job.begin());
            // A panic must not cost the pool a thread: it would run dry without a word.
            let hashed = catch_unwind(AssertUnwindSafe(|| hash(&mut engine, &job, costs)));
            drop(span);
            let took = now() - begun;
            self.queue().done(matches!(hashed, Ok(Ok(_))).then_some(took));
            match hashed {
                Ok(Ok(tag)) => {
                    self.counts.hashed(job.waited(begun), took);
                    let _ = job.answer.send(Ok(tag));
                }
                // Nobody answers, and that says it.
                Ok(Err(Overloaded)) => {}
                Err(_) => engine = Engine::new(kind, costs),
            }
        }
    }
}

/// Returns how long a hash of these costs takes.
fn warm(engine: &mut Engine, costs: Costs) -> anyhow::Result<Duration> {
    let begun = now();
    engine.hash(b"vestibule", &Recipe { costs, salt: [0; 16] })?;
    Ok(now() - begun)
}

fn hash(engine: &mut Engine, job: &Job, costs: Costs) -> Result<Tag, Overloaded> {
    let failed = |error| {
        tracing::error!(error = format!("{error:#}"), "a password could not be hashed");
        Overloaded
    };
    let tag = engine.hash(job.password.bytes(), &job.recipe).map_err(failed)?;
    // A hash from before the costs were raised takes as long as a new one: whose it is must not show.
    if let Some(rest) = job.recipe.costs.short_of(costs) {
        engine.hash(job.password.bytes(), &Recipe { costs: rest, ..job.recipe }).map_err(failed)?;
    }
    Ok(tag)
}

#[expect(clippy::disallowed_methods, reason = "how long work has waited is this pool's own business")]
fn now() -> Instant {
    Instant::now()
}

mod metrics;
mod permit;
#[cfg(test)]
mod tests;
