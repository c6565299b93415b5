//! Counts a guess at codes for its network and for the instance, until it turns out to be right.
//!
//! An unsettled guess takes places of both limits, but it counts as wrong only after a while: then its process has failed.
//! A guess that finds no place, because unsettled ones have taken them, waits until these are settled.

use std::{future::ready, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::rate_limit::guess_shares::{InstanceLimit, InstanceTotals},
    error::Error,
    rng,
    store::{
        self, Connection, PgError,
        guesses::code_attempts::{self, NewAttempt},
        transaction::{Commit, Transaction, Writes},
    },
};

/// How long a guess that has found no place waits, each time; 2.55 seconds in all.
const PAUSES_MS: [u64; 8] = [10, 20, 40, 80, 160, 320, 640, 1_280];

/// With more places than this left, they are not counted again for each guess: fewer guesses are submitted to all APIs
/// together while cached totals are used.
const PLENTY_OF_PLACES: u32 = 1_000;

/// A guess that is counted and committed, but not necessarily on disk. To be settled once it was compared, and before the
/// result is revealed: that waits for the disk, and for the count with it (docs/decisions/0039).
#[must_use = "a guess that is not settled counts as wrong"]
pub(crate) struct CountedGuess {
    id: Uuid,
}

/// Reads the totals of the instance, from memory if they were read a moment ago.
pub(crate) async fn instance_totals(app: &App, connection: &Connection) -> Result<InstanceTotals, PgError> {
    app.instance_guesses.read(|unsettled_since| code_attempts::of_instance(connection, unsettled_since)).await
}

impl CountedGuess {
    /// Counts a guess at this number of codes, the shortest of which has this length. The caller has locked the network,
    /// writes this last, and commits.
    ///
    /// `limit` is that of the instance for this length, if it has one. If it has no place, the commit fails: see
    /// [`has_no_place`].
    pub(crate) fn count_in<'a>(
        writes: &mut Writes<'a>,
        network: &'a [u8; 32],
        (length, codes): (u8, u32),
        limit: Option<(InstanceLimit, &InstanceTotals)>,
        at: OffsetDateTime,
    ) -> Self {
        let id = rng::id_at(at);
        let attempt = NewAttempt { id, network, at, length, codes };
        match limit {
            Some((limit, totals)) if limit.places(totals) <= PLENTY_OF_PLACES => {
                let others = limit.max_wrong().saturating_sub(codes);
                code_attempts::insert_if_places(writes, &attempt, limit.lengths, others, totals.unsettled_since);
            }
            _ => code_attempts::insert(writes, &attempt),
        }
        Self { id }
    }

    /// Settles a right guess in a transaction of the caller, whose commit is durable.
    pub(crate) fn settle_right_in(&self, writes: &mut Writes<'_>) {
        code_attempts::delete(writes, self.id);
    }

    /// Settles a right guess of a request that has failed all the same. If this fails, too, the guess counts as wrong in
    /// the end.
    pub(crate) async fn settle_right(&self, app: &App) {
        let settled = async {
            let connection = app.store.connection().await?;
            let mut writes = Writes::default();
            self.settle_right_in(&mut writes);
            Transaction::in_one_round_trip(&connection, Commit::Asynchronous, writes, ready(Ok(()))).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = settled.await {
            tracing::warn!(%error, "settling a right guess failed; it will count as wrong");
        }
    }

    /// Settles a wrong guess, over the connection that has counted it: a request that had to wait for another one might
    /// fail. If this fails, the client must not learn that the guess was wrong: a crash of Postgres may have undone its
    /// count. Behind a connection pooler the connection survives that, but not the row.
    pub(crate) async fn settle_wrong(&self, connection: &Connection) -> Result<(), Error> {
        let marked = code_attempts::mark_wrong(connection, self.id).await?;
        if marked { Ok(()) } else { Err(Error::Unavailable(anyhow::anyhow!("the count of a guess is lost"))) }
    }
}

/// Whether a commit has failed because the limit of the instance had no place for a guess.
pub(crate) fn has_no_place(error: &PgError) -> bool {
    store::violates(error, code_attempts::HAVE_PLACES)
}

/// The pauses of a guess that has found no place, until unsettled ones are settled.
#[derive(Default)]
pub(crate) struct Pauses {
    taken: usize,
}

impl Pauses {
    /// Waits for a moment. Returns `false` at once if the guess has waited long enough.
    pub(crate) async fn take(&mut self, app: &App) -> bool {
        let Some(&pause) = PAUSES_MS.get(self.taken) else { return false };
        self.taken += 1;
        app.instance_guesses.forget();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app::tests::app, domain::rate_limit::guess_shares::GuessTotals};
    use std::convert::Infallible;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
    const COUNTED: &str = "INSERT INTO code_attempts";

    /// The statements that count a guess at this length after so many wrong ones at six digits.
    fn count(length: u8, wrong: u32) -> Vec<String> {
        let totals = InstanceTotals { guesses: vec![GuessTotals { length: 6, wrong }], ..InstanceTotals::default() };
        let limit = InstanceLimit::of(length, 0).map(|limit| (limit, &totals));
        let mut writes = Writes::default();
        let _ = CountedGuess::count_in(&mut writes, &[0; 32], (length, 1), limit, NOW);
        writes.kinds()
    }

    #[test]
    fn places_are_counted_under_a_lock_when_few_are_left() {
        assert_eq!(count(6, 1_000), [COUNTED], "1001 places are left");
        for wrong in [1_001, 2_001] {
            assert_eq!(count(6, wrong), ["SELECT pg_advisory_xact_lock(key) FROM", COUNTED], "{wrong}");
        }
        assert_eq!(count(8, 2_001), [COUNTED], "this length has no limit");
    }

    #[test]
    fn right_guess_is_deleted() {
        let (mut writes, guess) = (Writes::default(), CountedGuess { id: Uuid::nil() });
        guess.settle_right_in(&mut writes);
        assert_eq!(writes.kinds(), ["DELETE FROM code_attempts"]);
    }

    #[tokio::test(start_paused = true)]
    async fn guess_without_a_place_waits_2550_milliseconds() {
        let app = app();
        let totals = async |activations| {
            let query = async |_| Ok::<_, Infallible>(InstanceTotals { activations, ..InstanceTotals::default() });
            app.instance_guesses.read(query).await.unwrap().activations
        };
        let (began, mut pauses) = (tokio::time::Instant::now(), Pauses::default());
        for pause in 1..=8 {
            totals(0).await;
            assert!(pauses.take(&app).await);
            assert_eq!(totals(pause).await, pause, "the totals are read again");
        }
        assert!(!pauses.take(&app).await);
        assert_eq!(began.elapsed(), Duration::from_millis(2_550));
    }
}
