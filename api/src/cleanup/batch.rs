//! One batch of the cleanup job: one transaction that deletes a limited number of expired rows of every table.

use std::collections::BTreeMap;

use shared::telemetry::metrics::Family;
use time::OffsetDateTime;

use super::Cleanup;
use crate::{
    error::Error,
    store::{
        Connection,
        cleanup::lock,
        deliveries,
        guesses::{self, activations, code_attempts},
        lockouts::{self, known_networks, unlocks},
        mail_suppressions,
        notices::{account_deletions, password_changes},
        rate_limits::{self, LimitKind},
        registrations, resets, sessions,
        transaction::{Commit, Transaction, Writes},
    },
};

/// The numbers of deleted rows, by table.
#[derive(Default)]
pub(crate) struct Deleted {
    tables: BTreeMap<&'static str, u64>,
    /// At least one statement deleted as many rows as it may.
    pub(crate) may_be_more: bool,
}

/// Deletes up to `max_rows` rows with each statement; nothing while another process holds the cleanup lock, because
/// that process deletes everything. The commit is asynchronous: rows that a crash of Postgres restores are deleted
/// again.
pub(crate) async fn delete_expired(
    cleanup: &Cleanup,
    max_rows: u16,
    connection: &Connection,
) -> Result<Deleted, Error> {
    let locking = lock::try_acquire(connection);
    let (transaction, locked_at) = Transaction::begin(connection, Commit::Asynchronous, &[], locking).await?;
    let Some(now) = locked_at else { return Ok(Deleted::default()) };
    let deletions = Deletions::new(cleanup, now, max_rows.into());
    let counts = transaction.commit(deletions.writes).await?;
    let mut deleted = Deleted::default();
    for (table, count) in deletions.tables.into_iter().zip(counts) {
        *deleted.tables.entry(table).or_default() += count;
        deleted.may_be_more |= count >= max_rows.into();
    }
    Ok(deleted)
}

/// The statements of a batch, and the table of each.
struct Deletions {
    writes: Writes<'static>,
    tables: Vec<&'static str>,
}

impl Deletions {
    fn new(cleanup: &Cleanup, now: OffsetDateTime, max_rows: i64) -> Self {
        let cutoffs = cleanup.retention.cutoffs(&cleanup.policy, now);
        let (mut writes, mut tables) = (Writes::default(), vec![]);
        registrations::delete_expired_pending(&mut writes, cutoffs.pending, max_rows);
        registrations::delete_expired_ended(&mut writes, cutoffs.ended, max_rows);
        tables.extend(["registrations", "registrations"]);
        deliveries::delete_expired(&mut writes, cutoffs.deliveries, max_rows);
        resets::delete_expired(&mut writes, cutoffs.resets, max_rows);
        password_changes::delete_expired(&mut writes, cutoffs.password_changes, max_rows);
        account_deletions::delete_expired(&mut writes, cutoffs.account_deletions, max_rows);
        tables.extend(["deliveries", "resets", "password_changes", "account_deletions"]);
        for (kind, cutoff) in [
            (LimitKind::Codes, cutoffs.codes),
            (LimitKind::CodesPerNetwork, cutoffs.codes_per_network),
            (LimitKind::RegistrationsPerNetwork, cutoffs.registrations_per_network),
            (LimitKind::WrongCodesPerNetwork, cutoffs.wrong_codes_per_network),
            (LimitKind::WrongPasswordsPerNetwork, cutoffs.wrong_passwords_per_network),
            (LimitKind::PasswordChanges, cutoffs.password_change_limits),
            (LimitKind::OwnResets, cutoffs.own_resets),
            (LimitKind::MutedResets, cutoffs.muted_resets),
            (LimitKind::FormerKnownNetworks, cutoffs.known_networks),
            (LimitKind::UnlockLinks, cutoffs.unlock_links),
            (LimitKind::UnlockMails, cutoffs.unlock_links),
        ] {
            rate_limits::delete_expired(&mut writes, kind, cutoff, max_rows);
            tables.push("budgets");
        }
        guesses::delete_expired(&mut writes, cutoffs.guesses, max_rows);
        guesses::delete_expired_hours(&mut writes, cutoffs.guess_hours, max_rows);
        code_attempts::delete_expired(&mut writes, cutoffs.code_attempts, max_rows);
        activations::delete_expired(&mut writes, cutoffs.activations, max_rows);
        tables.extend(["guesses", "guesses_by_hour", "code_attempts", "activations_by_hour"]);
        lockouts::delete_expired(&mut writes, cutoffs.lockouts, max_rows);
        known_networks::delete_expired(&mut writes, cutoffs.known_networks, max_rows);
        unlocks::delete_expired(&mut writes, cutoffs.unlocks, max_rows);
        tables.extend(["lockouts", "known_networks", "unlocks"]);
        // No rule looks at a session or a mail suppression after its end.
        sessions::delete_expired(&mut writes, now, max_rows);
        mail_suppressions::delete_expired(&mut writes, now, max_rows);
        tables.extend(["sessions", "mutes"]);
        // Last, because it deletes nothing: the others are counted by their position.
        code_attempts::mark_overdue(&mut writes, cutoffs.overdue_attempts, max_rows);
        Self { writes, tables }
    }
}

impl Deleted {
    /// Adds the next batch.
    pub(crate) fn add(&mut self, batch: Self) {
        for (table, rows) in batch.tables {
            *self.tables.entry(table).or_default() += rows;
        }
        self.may_be_more = batch.may_be_more;
    }

    /// Adds the numbers to the metric.
    pub(crate) fn count(&self, metric: &Family<1>) {
        for (table, rows) in &self.tables {
            metric.of([table]).inc_by(*rows);
        }
    }

    /// Whether no row was deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.values().all(|&rows| rows == 0)
    }

    /// For the log, like `12 registrations, 3 budgets`.
    pub(crate) fn summary(&self) -> String {
        let nonzero = self.tables.iter().filter(|&(_, &rows)| rows > 0);
        nonzero.map(|(table, rows)| format!("{rows} {table}")).collect::<Vec<_>>().join(", ")
    }
}
