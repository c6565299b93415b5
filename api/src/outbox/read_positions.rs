//! Where a relay begins to read the outbox. Rows that were deleted and cannot be vacuumed yet, because an old snapshot is
//! held, are before these positions, so that a round costs the same however many there are.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::store::outbox::Positions;

/// How often later positions are read. All rows that are deleted within this time are walked past in each round.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);

/// How often a relay reads from the beginning, in case that transaction ids went back without a new connection, as behind a
/// connection pooler: rows that are then before the positions wait for no longer than this.
const RESTART_INTERVAL: Duration = Duration::from_secs(60);

/// The positions of the relay of this process. Shared with the metrics, which read the outbox, too.
pub(crate) struct ReadPositions(Mutex<State>);

struct State {
    positions: Positions,
    advanced_at: Option<Instant>,
    restarted_at: Instant,
}

impl ReadPositions {
    /// Begins with the first row.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State { positions: Positions::default(), advanced_at: None, restarted_at: Instant::now() }))
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

    /// Whether it is time to read later positions. Now and then that is from the beginning.
    pub(crate) fn must_advance(&self) -> bool {
        let is_old = self.lock().restarted_at.elapsed() >= RESTART_INTERVAL;
        if is_old {
            self.restart();
        }
        self.lock().advanced_at.is_none_or(|advanced_at| advanced_at.elapsed() >= ADVANCE_INTERVAL)
    }

    /// Continues from these positions.
    pub(crate) fn advance(&self, positions: Positions) {
        let mut state = self.lock();
        (state.positions, state.advanced_at) = (positions, Some(Instant::now()));
    }

    /// Continues with the first row: the database may be another one now.
    pub(crate) fn restart(&self) {
        *self.lock() = State { positions: Positions::default(), advanced_at: None, restarted_at: Instant::now() };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn positions_advance_every_second_and_begin_again_every_minute() {
        let positions = ReadPositions::new();
        assert!(positions.must_advance());
        let later = Positions { codes: 3, notices: 2, events: 1 };
        positions.advance(later);
        assert!(!positions.must_advance());
        assert_eq!(positions.current(), later);
        tokio::time::advance(ADVANCE_INTERVAL).await;
        assert!(positions.must_advance());
        assert_eq!(positions.current(), later);
        tokio::time::advance(RESTART_INTERVAL).await;
        assert!(positions.must_advance());
        assert_eq!(positions.current(), Positions::default());
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
        positions.advance(later);
        assert_eq!(positions.on_connection(first_opened), later);
        let second_opened = Instant::now();
        tokio::time::advance(ADVANCE_INTERVAL).await;
        assert_eq!(positions.on_connection(second_opened), Positions::default());
        positions.advance(later);
        assert_eq!(positions.on_connection(second_opened), later);
        assert_eq!(positions.on_connection(first_opened), later);
    }
}
