//! The threads that hash passwords: as many as cores, each with its own memory, and a queue that no
//! password waits in for longer than it is worth.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use argon2::Block;
use tokio::sync::oneshot;

use crate::domain::password::{Password, Proof, Recipe};

/// However fast the machine, nobody waits behind more than this many passwords.
const MAX_WAITING: usize = 1024;

/// The pool is full: the password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

#[derive(Clone)]
pub(crate) struct HashPool(Arc<Handle>);

/// The threads end when the last handle goes.
struct Handle(Arc<Queue>);

struct Queue {
    patience: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: std::collections::VecDeque<Job>,
    closed: bool,
}

struct Job {
    password: Password,
    recipe: Recipe,
    since: Instant,
    answer: oneshot::Sender<Result<Proof, Overloaded>>,
}

impl HashPool {
    pub(crate) fn start(threads: usize, patience: Duration) -> anyhow::Result<Self> {
        let queue = Arc::new(Queue { patience, state: Mutex::default(), changed: Condvar::new() });
        for n in 0..threads {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("hash-{n}")).spawn(move || queue.work())?;
        }
        Ok(Self(Arc::new(Handle(queue))))
    }

    /// The answer that `prove` would give now to whoever comes now.
    pub(crate) fn check_room(&self) -> Result<(), Overloaded> {
        self.0.0.state().check_room(self.0.0.patience, now())
    }

    /// Dropping the future takes the password out of the queue, as far as anybody can tell.
    pub(crate) async fn prove(&self, password: Password, recipe: Recipe) -> Result<Proof, Overloaded> {
        let (answer, proof) = oneshot::channel();
        self.0.0.push(Job { password, recipe, since: now(), answer })?;
        proof.await.unwrap_or(Err(Overloaded))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
    }
}

impl State {
    fn check_room(&self, patience: Duration, now: Instant) -> Result<(), Overloaded> {
        // The oldest has waited too long already: whoever comes now would wait longer.
        let late = self.waiting.front().is_some_and(|first| now.saturating_duration_since(first.since) > patience);
        if late || self.waiting.len() >= MAX_WAITING { Err(Overloaded) } else { Ok(()) }
    }
}

impl Queue {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is whole between any two lines of ours, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), Overloaded> {
        let mut state = self.state();
        state.check_room(self.patience, job.since)?;
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        let mut memory = Vec::new();
        while let Some(job) = self.next() {
            // The client has gone: nobody would see the answer.
            if job.answer.is_closed() {
                continue;
            }
            let answer = if now() - job.since > self.patience { Err(Overloaded) } else { prove(&job, &mut memory) };
            // Gone meanwhile, which is its right.
            let _ = job.answer.send(answer);
        }
    }
}

/// A panic in the hash function must not cost the pool a thread: it would run dry without a word.
fn prove(job: &Job, memory: &mut Vec<Block>) -> Result<Proof, Overloaded> {
    let hash = AssertUnwindSafe(|| {
        memory.resize(job.recipe.memory_blocks().max(memory.len()), Block::default());
        job.recipe.prove(&job.password, memory)
    });
    catch_unwind(hash).map_err(|_| Overloaded)?.map_err(|error| {
        tracing::error!(%error, "a password could not be hashed");
        Overloaded
    })
}

#[expect(clippy::disallowed_methods, reason = "how long work has waited is this pool's own business")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> Password {
        Password::given("correct horse").unwrap()
    }

    #[tokio::test]
    async fn a_password_is_proved_by_the_same_password_only() {
        let pool = HashPool::start(2, Duration::from_secs(60)).unwrap();
        let recipe = Recipe::new([1; 16]);
        let (one, other) = tokio::join!(
            pool.prove(password(), recipe.clone()),
            pool.prove(Password::given("another horse").unwrap(), recipe.clone())
        );
        let stored = one.unwrap().to_stored().unwrap();
        assert!(!other.unwrap().matches(&stored));
        assert!(pool.prove(password(), recipe).await.unwrap().matches(&stored));
    }

    #[tokio::test]
    async fn nobody_waits_beyond_the_patience() {
        let pool = HashPool::start(1, Duration::ZERO).unwrap();
        let burst = (0..20).map(|_| pool.prove(password(), Recipe::new([1; 16])));
        let answers = futures_util::future::join_all(burst).await;
        assert!(answers.iter().any(|answer| matches!(answer, Err(Overloaded))));
    }
}
