//! What became of a message in a worker's hand.

use tracing::Span;

/// What is to be done with a message that was worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its end is on record.
    Done(Done),
    /// The mail server would not take it now: it may later, so later and later.
    Retry(String),
    /// Something of ours is away: as soon as that is back.
    Postpone(String),
    /// It can never succeed: a person has to look at it.
    Park(&'static str),
    /// This process is about to end, and nothing was begun: somebody else's, at once.
    GiveBack,
}

impl Outcome {
    /// Whoever looks at the trace sees that it is not over.
    pub(crate) fn tell(&self, span: &Span) {
        if !matches!(self, Self::Done(_)) {
            span.record("failed", true);
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Delivered,
    Dropped(&'static str),
    Undeliverable,
    /// It was on record already.
    Before,
}
