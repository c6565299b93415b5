//! When a relay asks for events: mails it asks for in every round.

use std::time::Duration;

use tokio::time::Instant;

/// Between two times, where there may be some.
const BREATH: Duration = Duration::from_millis(100);

/// Where no signal tells of one: it has rested, or another process left it behind.
const POLL: Duration = Duration::from_secs(1);

pub(crate) struct EventPoll {
    asked: Option<Instant>,
    may_be_some: bool,
}

impl EventPoll {
    pub(crate) fn new() -> Self {
        Self { asked: None, may_be_some: true }
    }

    /// How long it is until then.
    pub(crate) fn after(&self) -> Duration {
        let pause = if self.may_be_some { BREATH } else { POLL };
        self.asked.map_or(Duration::ZERO, |asked| pause.saturating_sub(asked.elapsed()))
    }

    /// Something was committed: an event, most likely.
    pub(crate) fn signal(&mut self) {
        self.may_be_some = true;
    }

    pub(crate) fn asked(&mut self, may_be_more: bool) {
        *self = Self { asked: Some(Instant::now()), may_be_some: may_be_more };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn they_are_asked_for_when_there_may_be_some_but_not_in_every_round() {
        let mut turn = EventPoll::new();
        assert_eq!(turn.after(), Duration::ZERO);
        turn.asked(false);
        assert_eq!(turn.after(), POLL);
        turn.signal();
        assert_eq!(turn.after(), BREATH);
        tokio::time::advance(BREATH).await;
        assert_eq!(turn.after(), Duration::ZERO);
        turn.asked(true);
        assert_eq!(turn.after(), BREATH);
        turn.asked(false);
        tokio::time::advance(POLL).await;
        assert_eq!(turn.after(), Duration::ZERO);
    }
}
