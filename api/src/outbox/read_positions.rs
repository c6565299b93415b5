//! Where a relay begins to read the outbox. Rows that were deleted and cannot be vacuumed yet, because an old snapshot is
//! held, are before these positions, so that a round costs the same however many there are.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::store::outbox::Positions;

/// How often later positions are read. All rows that are deleted within this time are walked past in each round.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);

/// The positions of the relay of this process. Shared with the metrics, which read the outbox, too.
pub(crate) struct ReadPositions(Mutex<State>);

struct State {
    positions: Positions,
    /// When the server was started that the positions are of, if that is known.
    server_started_at: Option<OffsetDateTime>,
    advanced_at: Option<Instant>,
    restarted_at: Instant,
}

impl ReadPositions {
    /// Begins with the first row.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::first()))
    }

    /// Where to read from on a connection that was opened at this time. If that is a new one, from the beginning: it may
    /// lead to another server than before, such as a promoted standby, whose transaction ids are smaller if it lagged behind.
    pub(crate) fn on_connection(&self, opened_at: Instant) -> Positions {
        let is_new = opened_at >= self.lock().restarted_at;
        if is_new {
            self.restart();
        }
        self.current()
    }

    /// Where the relay reads from.
    pub(crate) fn current(&self) -> Positions {
        self.lock().positions
    }

    /// Whether it is time to read later positions.
    pub(crate) fn must_advance(&self) -> bool {
        self.lock().advanced_at.is_none_or(|advanced_at| advanced_at.elapsed() >= ADVANCE_INTERVAL)
    }

    /// Continues from these positions; from the beginning if they are of another server than before. Behind a connection
    /// pooler a fail-over needs no new connection.
    pub(crate) fn advance(&self, positions: Positions, server_started_at: OffsetDateTime) {
        let mut state = self.lock();
        if state.server_started_at.is_some_and(|known| known != server_started_at) {
            *state = State::first();
        } else {
            (state.positions, state.advanced_at) = (positions, Some(Instant::now()));
        }
        state.server_started_at = Some(server_started_at);
    }

    /// Continues with the first row: the database may be another one now.
    pub(crate) fn restart(&self) {
        *self.lock() = State::first();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn first() -> Self {
        Self {
            positions: Positions::default(),
            server_started_at: None,
            advanced_at: None,
            restarted_at: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED_AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[tokio::test(start_paused = true)]
    async fn positions_advance_every_second() {
        let positions = ReadPositions::new();
        assert!(positions.must_advance());
        let later = Positions { codes: 3, notices: 2, events: 1 };
        positions.advance(later, STARTED_AT);
        assert!(!positions.must_advance());
        assert_eq!(positions.current(), later);
        tokio::time::advance(ADVANCE_INTERVAL).await;
        assert!(positions.must_advance());
        assert_eq!(positions.current(), later);
    }

    /// Without a failure: the relay may have done nothing while the old server went away.
    #[tokio::test(start_paused = true)]
    async fn positions_begin_again_with_a_new_connection() {
        let positions = ReadPositions::new();
        let first_opened = Instant::now();
        assert_eq!(positions.on_connection(first_opened), Positions::default());
        let later = Positions { codes: 3, notices: 2, events: 1 };
        tokio::time::advance(ADVANCE_INTERVAL).await;
        positions.restart();
        positions.advance(later, STARTED_AT);
        assert_eq!(positions.on_connection(first_opened), later);
        let second_opened = Instant::now();
        tokio::time::advance(ADVANCE_INTERVAL).await;
        assert_eq!(positions.on_connection(second_opened), Positions::default());
        positions.advance(later, STARTED_AT);
        assert_eq!(positions.on_connection(second_opened), later);
        assert_eq!(positions.on_connection(first_opened), later);
    }

    /// Behind a connection pooler, the relay may not notice a fail-over in any other way.
    #[tokio::test]
    async fn positions_begin_again_with_another_server() {
        let positions = ReadPositions::new();
        let later = Positions { codes: 3, notices: 2, events: 1 };
        let other_started_at = STARTED_AT + Duration::from_secs(1);
        positions.advance(later, STARTED_AT);
        positions.advance(later, other_started_at);
        assert_eq!(positions.current(), Positions::default());
        assert!(positions.must_advance());
        positions.advance(later, other_started_at);
        assert_eq!(positions.current(), later);
    }
}
