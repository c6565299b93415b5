//! A job of the hash queue: the password to hash, and the channel that its result is sent to.

use std::time::{Duration, Instant};

use shared::telemetry::traces::spans;
use tokio::sync::oneshot;
use tracing::Span;

use super::{Overloaded, Priority};
use crate::domain::{
    network::Network,
    password::{Password, computed_hash::Tag, recipe::Recipe},
};

/// Receives the hash, or the rejection. Dropped without either if hashing failed.
pub(crate) type ReplySender = oneshot::Sender<Result<Tag, Overloaded>>;

/// One password to hash.
pub(crate) struct Job {
    pub(crate) password: Password,
    pub(crate) recipe: Recipe,
    /// The network of the client.
    pub(crate) network: Network,
    pub(crate) priority: Priority,
    /// Closed when the client has disconnected.
    pub(crate) reply: ReplySender,
    queued_at: Instant,
    /// Ends when the job starts.
    wait_span: Span,
    request_span: Span,
}

impl Job {
    /// Creates a job, whose wait begins at `queued_at`.
    pub(crate) fn new(
        password: Password,
        recipe: Recipe,
        network: Network,
        priority: Priority,
        queued_at: Instant,
        reply: ReplySender,
    ) -> Self {
        let (wait_span, request_span) = (spans::hash_wait(), Span::current());
        Self { password, recipe, network, priority, reply, queued_at, wait_span, request_span }
    }

    /// Ends the span of the wait and returns that of the hash.
    pub(crate) fn start(&mut self) -> Span {
        self.wait_span = Span::none();
        spans::hash(&std::mem::replace(&mut self.request_span, Span::none()))
    }

    /// How long it has waited.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.queued_at)
    }

    /// Rejects the job without hashing.
    pub(crate) fn reject(self) {
        // The client may have disconnected meanwhile.
        let _ = self.reply.send(Err(Overloaded));
    }
}
