//! The threads that hash passwords: as many as cores, each with its own memory, and a queue that no
//! password waits in for longer than it is worth.

mod engine;
mod queue;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::sync::oneshot;

use self::{engine::Engine, queue::Queue};
pub(crate) use self::{engine::Kind, queue::Errand};
use crate::domain::password::{
    Password,
    proof::{Proof, Tag},
    recipe::{Costs, Recipe},
};

/// The pool is full: the password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

/// What the pool is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) engine: Kind,
    /// Of a new hash.
    pub(crate) costs: Costs,
    pub(crate) threads: usize,
    pub(crate) patience: Duration,
}

#[derive(Clone)]
pub(crate) struct HashPool {
    shared: Arc<Shared>,
    /// The threads end when the last of these goes.
    _handle: Arc<Handle>,
}

struct Handle(Arc<Shared>);

struct Shared {
    settings: Settings,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The right to have one password hashed, taken before anything else is done for a request.
pub(crate) struct Place {
    shared: Arc<Shared>,
    errand: Errand,
    used: bool,
}

struct Job {
    password: Password,
    recipe: Recipe,
    errand: Errand,
    since: Instant,
    answer: oneshot::Sender<Result<Tag, Overloaded>>,
}

impl HashPool {
    /// Fails when the engine does not compute what it must.
    pub(crate) fn start(settings: Settings) -> anyhow::Result<Self> {
        engine::check(settings.costs)?;
        let mut first = Engine::new(settings.engine, settings.costs);
        let pace = warm(&mut first, settings.costs)?;
        let others = (1..settings.threads).map(|_| Engine::new(settings.engine, settings.costs));
        let queue = Mutex::new(Queue::new(settings.threads, settings.patience, pace));
        let shared = Arc::new(Shared { settings, queue, changed: Condvar::new() });
        for (n, engine) in std::iter::once(first).chain(others).enumerate() {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("hash-{n}"));
            thread.spawn(move || shared.work(engine)).context("cannot start the hash threads")?;
        }
        Ok(Self { _handle: Arc::new(Handle(Arc::clone(&shared))), shared })
    }

    /// The costs of a new hash.
    pub(crate) fn costs(&self) -> Costs {
        self.shared.settings.costs
    }

    /// Takes a place in the queue, or is told at once that there is none.
    pub(crate) fn admit(&self, errand: Errand) -> Result<Place, Overloaded> {
        self.shared.queue().promise(errand)?;
        Ok(Place { shared: Arc::clone(&self.shared), errand, used: false })
    }
}

impl Place {
    /// Dropping the future takes the password out of the queue, as far as anybody can tell.
    pub(crate) async fn prove(mut self, password: Password, recipe: Recipe) -> Result<Proof, Overloaded> {
        let (answer, tag) = oneshot::channel();
        self.used = true;
        self.shared.queue().push(Job { password, recipe, errand: self.errand, since: now(), answer });
        self.shared.changed.notify_one();
        let tag = tag.await.unwrap_or(Err(Overloaded))?;
        Ok(Proof::new(recipe, tag))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.used {
            self.shared.queue().release(self.errand);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.changed.notify_all();
    }
}

impl Job {
    fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    fn refuse(self) {
        // Gone meanwhile, which is its right.
        let _ = self.answer.send(Err(Overloaded));
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
        let Settings { engine: kind, costs, .. } = self.settings;
        // So that the first password does not pay for the memory. What is wrong with it will be told then.
        let _ = warm(&mut engine, costs);
        while let Some(job) = self.next() {
            let begun = now();
            // A panic must not cost the pool a thread: it would run dry without a word.
            let hashed = catch_unwind(AssertUnwindSafe(|| hash(&mut engine, &job, costs)));
            self.queue().done(matches!(hashed, Ok(Ok(_))).then(|| now() - begun));
            let tag = hashed.unwrap_or_else(|_| {
                engine = Engine::new(kind, costs);
                Err(Overloaded)
            });
            let _ = job.answer.send(tag);
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

#[cfg(test)]
mod tests;
