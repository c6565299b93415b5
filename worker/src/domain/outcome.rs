//! The outcome of one delivery attempt, which decides whether the message is acked, retried, postponed or parked.

use tracing::Span;

/// What happens to a message after a delivery attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The outcome is recorded in the database: ack.
    Completed(Completion),
    /// Transient failure of the mail server: retry with an increasing delay (backoff).
    Retry(String),
    /// Something that the worker depends on is unavailable, for example Postgres: retry after a short, constant delay.
    Postpone(String),
    /// The message can never be processed: park it as a dead letter for the operator.
    Park(&'static str),
    /// This process is stopping and nothing was sent: requeue at once, for another worker.
    Requeue,
}

impl Outcome {
    /// Marks the span as failed if the message is not completed, so that the trace shows it.
    pub(crate) fn mark_failure(&self, span: &Span) {
        if !matches!(self, Self::Completed(_)) {
            span.record("failed", true);
        }
    }
}

/// How a message was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    Delivered,
    Dropped(&'static str),
    Undeliverable,
    /// The outcome was recorded before: this is a duplicate of the message.
    AlreadyRecorded,
}
