//! A password on its way through the queue, with where its hash is waited for.

use std::time::{Duration, Instant};

use shared::telemetry::traces::spans;
use tokio::sync::oneshot;
use tracing::Span;

use super::{Overloaded, Priority};
use crate::domain::password::{Password, proof::Tag, recipe::Recipe};

pub(crate) type Answer = oneshot::Sender<Result<Tag, Overloaded>>;

pub(crate) struct Job {
    pub(crate) password: Password,
    pub(crate) recipe: Recipe,
    pub(crate) errand: Priority,
    pub(crate) answer: Answer,
    since: Instant,
    waiting: Span,
    asked_by: Span,
}

impl Job {
    pub(crate) fn new(password: Password, recipe: Recipe, errand: Priority, since: Instant, answer: Answer) -> Self {
        let (waiting, asked_by) = (spans::hash_wait(), Span::current());
        Self { password, recipe, errand, answer, since, waiting, asked_by }
    }

    /// The wait is over.
    pub(crate) fn begin(&mut self) -> Span {
        self.waiting = Span::none();
        spans::hash(&std::mem::replace(&mut self.asked_by, Span::none()))
    }

    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(crate) fn refuse(self) {
        // Gone meanwhile, which is its right.
        let _ = self.answer.send(Err(Overloaded));
    }
}
