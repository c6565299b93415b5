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
    /// Where the last full batches ended; 0 where the last batch was not full.
    batches_ended: Positions,
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

    /// If the connection that was opened at this time is a new one, begins again: it may lead to another server than before,
    /// such as a promoted standby, whose transaction ids are smaller if it lagged behind.
    pub(crate) fn restart_if_new(&self, opened_at: Instant) {
        let is_new = opened_at >= self.lock().restarted_at;
        if is_new {
            self.restart();
        }
    }

    /// Where to read the next batch from: in a backlog where the last one ended, so that it does not walk past all rows that
    /// are leased, by this or by other relays.
    pub(crate) fn next_batch(&self) -> Positions {
        let State { positions, batches_ended, .. } = *self.lock();
        positions.max(batches_ended)
    }

    /// Continues where these batches ended, until positions are read again: there may be rows before them, of a transaction
    /// that took long, of a failed delivery, or of a relay that crashed.
    pub(crate) fn continue_after(&self, batches_ended: Positions) {
        self.lock().batches_ended = batches_ended;
    }

    /// Below this no row is left.
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
            (state.positions, state.batches_ended) = (positions, Positions::default());
            state.advanced_at = Some(Instant::now());
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
            batches_ended: Positions::default(),
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

    #[test]
    fn full_batches_continue_until_positions_are_read_again() {
        let positions = ReadPositions::new();
        let first = Positions { codes: 3, notices: 2, events: 1 };
        let ended = Positions { codes: 9, notices: 0, events: 0 };
        positions.advance(first, STARTED_AT);
        positions.continue_after(ended);
        assert_eq!(positions.next_batch(), Positions { codes: 9, ..first });
        assert_eq!(positions.current(), first);
        positions.advance(first, STARTED_AT);
        assert_eq!(positions.next_batch(), first);
        positions.continue_after(ended);
        positions.restart();
        assert_eq!(positions.next_batch(), Positions::default());
    }

    /// Without a failure: the relay may have done nothing while the old server went away.
    #[tokio::test(start_paused = true)]
    async fn positions_begin_again_with_a_new_connection() {
        let positions = ReadPositions::new();
        let first_opened = Instant::now();
        positions.restart_if_new(first_opened);
        let later = Positions { codes: 3, notices: 2, events: 1 };
        tokio::time::advance(ADVANCE_INTERVAL).await;
        positions.restart();
        positions.advance(later, STARTED_AT);
        positions.restart_if_new(first_opened);
        assert_eq!(positions.current(), later);
        let second_opened = Instant::now();
        tokio::time::advance(ADVANCE_INTERVAL).await;
        positions.restart_if_new(second_opened);
        assert_eq!(positions.current(), Positions::default());
        positions.advance(later, STARTED_AT);
        for opened in [second_opened, first_opened] {
            positions.restart_if_new(opened);
            assert_eq!(positions.current(), later);
        }
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
