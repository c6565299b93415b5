//! Decides when the relay polls the outbox for events. Mails are polled in every round that
//! leases rows.

use std::time::Duration;

use tokio::time::Instant;

/// The minimum interval between two polls while there may be events.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The poll interval for events that no signal announces: their backoff has ended, or another process left them
/// behind.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The poll timer for events.
pub(crate) struct EventPoll {
    polled_at: Option<Instant>,
    may_be_more: bool,
}

impl EventPoll {
    /// A timer whose first poll is due at once.
    pub(crate) fn new() -> Self {
        Self { polled_at: None, may_be_more: true }
    }

    /// The time until the next poll; zero if it is due.
    pub(crate) fn due_in(&self) -> Duration {
        let interval = if self.may_be_more { MIN_INTERVAL } else { POLL_INTERVAL };
        self.polled_at.map_or(Duration::ZERO, |polled_at| interval.saturating_sub(polled_at.elapsed()))
    }

    /// A transaction was committed, most likely with an event.
    pub(crate) fn signal(&mut self) {
        self.may_be_more = true;
    }

    /// Records a poll. `may_be_more`: it returned a full batch, or did not begin with the first row.
    pub(crate) fn record_poll(&mut self, may_be_more: bool) {
        *self = Self { polled_at: Some(Instant::now()), may_be_more };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn events_are_polled_after_a_signal_or_interval() {
        let mut poll = EventPoll::new();
        assert_eq!(poll.due_in(), Duration::ZERO);
        poll.record_poll(false);
        assert_eq!(poll.due_in(), POLL_INTERVAL);
        poll.signal();
        assert_eq!(poll.due_in(), MIN_INTERVAL);
        tokio::time::advance(MIN_INTERVAL).await;
        assert_eq!(poll.due_in(), Duration::ZERO);
        poll.record_poll(true);
        assert_eq!(poll.due_in(), MIN_INTERVAL);
        poll.record_poll(false);
        tokio::time::advance(POLL_INTERVAL).await;
        assert_eq!(poll.due_in(), Duration::ZERO);
    }
}
