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

/// A guess that is counted and committed. To be [settled](Self::settle) once it was compared.
#[must_use = "a guess that is not settled counts as wrong"]
pub(crate) struct CountedGuess {
    id: Uuid,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuessOutcome {
    /// Right, whatever becomes of the request.
    Right,
    Wrong,
}

/// Reads the totals of the instance, from memory if they were read a moment ago.
pub(crate) async fn instance_totals(app: &App, connection: &Connection) -> Result<InstanceTotals, PgError> {
    app.instance_guesses.read(code_attempts::of_instance(connection)).await
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
        let id = rng::id();
        let attempt = NewAttempt { id, network, at, length, codes };
        match limit {
            Some((limit, totals)) if limit.places(totals) <= PLENTY_OF_PLACES => {
                let others = limit.max_wrong().saturating_sub(codes);
                code_attempts::insert_if_places(writes, &attempt, limit.lengths, others);
            }
            _ => code_attempts::insert(writes, &attempt),
        }
        Self { id }
    }

    /// Settles a right guess in a transaction of the caller.
    pub(crate) fn settle_right_in(&self, writes: &mut Writes<'_>) {
        code_attempts::delete(writes, self.id);
    }

    /// Settles the guess in a transaction of its own. If that fails, the guess counts as wrong in the end.
    pub(crate) async fn settle(&self, app: &App, outcome: GuessOutcome) {
        let mut writes = Writes::default();
        match outcome {
            GuessOutcome::Right => code_attempts::delete(&mut writes, self.id),
            GuessOutcome::Wrong => code_attempts::mark_wrong(&mut writes, self.id),
        }
        let settled = async {
            let connection = app.store.connection().await?;
            Transaction::in_one_round_trip(&connection, Commit::Asynchronous, writes, ready(Ok(()))).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = settled.await {
            tracing::warn!(?outcome, %error, "settling a guess failed; it will count as wrong");
        }
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
