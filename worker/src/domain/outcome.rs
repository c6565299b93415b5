//! The outcome of one delivery attempt, which decides whether the message is acked, retried, postponed or parked.

use tracing::Span;

/// What happens to a message after a delivery attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The outcome is recorded in the database: ack.
    Completed(Completion),
    /// Transient failure of the mail server: retry with an increasing delay (backoff).
    Retry(String),
    /// The message could not be processed, because of its row or of a bug: retry a limited number of times, likewise.
    RetryAfterError(String),
    /// Something that the worker depends on is unavailable, for example Postgres: retry after a short, constant delay.
    Postpone(String),
    /// The message can never be processed: park it as a dead letter for the operator.
    Park(&'static str),
    /// This process is stopping and nothing was sent: requeue at once, for another worker.
    Requeue,
}

impl Outcome {
    /// Whether the message goes back to the broker, for another attempt.
    pub(crate) fn is_given_back(&self) -> bool {
        matches!(self, Self::Retry(_) | Self::RetryAfterError(_) | Self::Postpone(_) | Self::Requeue)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    };
    use tracing::{Subscriber, span};
    use tracing_subscriber::{
        Layer,
        layer::{Context, SubscriberExt},
    };

    /// Whether a value was recorded in a span.
    #[derive(Clone, Default)]
    struct Recorded(Arc<AtomicBool>);

    impl<S: Subscriber> Layer<S> for Recorded {
        fn on_record(&self, _: &span::Id, _: &span::Record<'_>, _: Context<'_, S>) {
            self.0.store(true, Relaxed);
        }
    }

    fn is_marked(outcome: &Outcome) -> bool {
        let recorded = Recorded::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recorded.clone()), || {
            outcome.mark_failure(&tracing::info_span!("delivery", failed = tracing::field::Empty));
        });
        recorded.0.load(Relaxed)
    }

    #[test]
    fn only_a_message_that_is_not_completed_has_failed() {
        use Completion::{AlreadyRecorded, Delivered, Dropped, Undeliverable};
        let completed = [Delivered, Dropped("expired"), Undeliverable, AlreadyRecorded].map(Outcome::Completed);
        assert!(!completed.iter().any(is_marked));
        let given_back = [Outcome::Retry, Outcome::RetryAfterError, Outcome::Postpone].map(|kind| kind(String::new()));
        assert!(
            given_back.iter().chain(&[Outcome::Requeue]).all(|outcome| is_marked(outcome) && outcome.is_given_back())
        );
        assert!(is_marked(&Outcome::Park("unknown")) && !Outcome::Park("unknown").is_given_back());
    }
}
